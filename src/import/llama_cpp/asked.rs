//! What flags say of context, sequences, cache and batch, beside what the question asks.

use super::flags::Line;
use super::{Question, refuse};
use crate::error::{Error, printable};
use crate::runtime::Sequences;

/// Holds the flags to the question.
pub(super) fn check(line: &Line, question: &Question<'_>) -> Result<(), Error> {
    let load = &question.scenario.load;
    let rules = load.runtime.rules();
    let differs = |flag: &str, found: String, hint: String| {
        let expected = "what the question asks";
        Err(refuse().place(flag).expected(expected).found(found).hint(hint))
    };
    let sequences = line.sequences.unwrap_or(1);
    if sequences != load.batch {
        let found = format!("{sequences} sequences, and --batch {}", load.batch);
        return differs("-np", found, format!("--batch {sequences}"));
    }
    if let Some(context) = line.context.filter(|&tokens| tokens > 0) {
        let wanted = load.context.saturating_mul(load.batch);
        if context != wanted {
            let found = format!("{context} tokens in all, and --context x --batch makes {wanted}");
            let hint = format!("--context {}", context.div_ceil(load.batch));
            return differs("-c", found, hint);
        }
    }
    for (flag, kind) in [("-ctk", &line.key_type), ("-ctv", &line.value_type)] {
        let kind = kind.as_deref().unwrap_or("f16");
        if kind != load.kv_type.name() {
            let found = format!("`{}`, and --kv-type {}", printable(kind), load.kv_type.name());
            return differs(flag, found, "--kv-type, for keys and values alike".to_owned());
        }
    }
    if line.flash.is_some_and(|flash| flash != rules.flash_attention) {
        let hint = "--runtime-profile with `flash_attention: true` or `false`".to_owned();
        return differs("-fa", "another choice than the profile's".to_owned(), hint);
    }
    let micro = line.micro_batch.unwrap_or(512).min(line.batch.unwrap_or(2048));
    if micro != rules.micro_batch_tokens {
        let found =
            format!("{micro} tokens at once, and the profile has {}", rules.micro_batch_tokens);
        return differs(
            "-ub",
            found,
            format!("--runtime-profile with `micro_batch_tokens: {micro}`"),
        );
    }
    let together = rules.kv_sequences == Sequences::Together;
    if load.batch > 1 && line.unified.unwrap_or(false) != together {
        let (found, other) = if together {
            ("a cache for each sequence", "separate")
        } else {
            ("one cache", "together")
        };
        return differs(
            "-kvu",
            found.to_owned(),
            format!("--runtime-profile with `kv_sequences: {other}`"),
        );
    }
    if line.fits && !line.layers_said && line.tensor_split.is_empty() && line.overrides.is_empty() {
        return Err(refuse()
            .expected("flags that say where layers go")
            .found("none, so that llama.cpp chooses itself")
            .hint("add what `llama-fit-params` prints, or `--fit off` for all layers on devices"));
    }
    Ok(())
}

/// What is not counted where something is on the host and prompts may be computed on a device.
pub(super) fn offloads(line: &Line) -> Option<String> {
    let last = line.ignored.iter().rev().find(|flag| flag.ends_with("op-offload"));
    (last.map(String::as_str) != Some("--no-op-offload")).then(|| {
        "without --no-op-offload llama.cpp copies what is on the host to a device for long prompts, and that \
         device holds the largest matrix of it on top of what is counted here"
            .to_owned()
    })
}

/// What a user should know of flags that are not followed.
pub(super) fn notes(line: &Line) -> Vec<String> {
    let mut notes = Vec::new();
    if !line.ignored.is_empty() {
        notes.push(format!(
            "read over, because nothing is placed by it: {}",
            line.ignored.join(", ")
        ));
    }
    if line.context.is_none_or(|tokens| tokens == 0) {
        notes.push(
            "without -c llama.cpp takes the context that the model was trained for; priced is --context"
                .to_owned(),
        );
    }
    if line.devices.is_none() && line.tensor_split.is_empty() {
        notes
            .push("without -ts layers are shared out by free memory, taken to be --gpu".to_owned());
    }
    notes
}
