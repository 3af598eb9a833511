//! `apportion generate`: text out of a placed model, as it comes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use apportion::error::Error;
use apportion::load::PlannedSends;
use apportion::load::generate::{
    Ended, Generated, Hooks, Request, Sampler, Sampling, Tokenizer, Work, check_prompt, generate,
};
use apportion::placement::Record;
use apportion::report::{self, Generation, Stretch};

use super::args::GenerateArgs;
use super::stream::Stream;
use super::{Answer, interrupt, runtime, say};

/// Reads the prompt, loads, generates.
pub fn run(args: &GenerateArgs) -> Result<Answer, Error> {
    let sampling = sampling(args)?;
    let (prompt, tokenizer) = prompt(args)?;
    let prepared = runtime::prepare(&args.runtime)?;
    let vocabulary = prepared.manifest.architecture.vocabulary;
    check_prompt(&prompt, prepared.context(), vocabulary)?;
    let stop = interrupt::flag()?;
    let Some(mut ready) = runtime::start(prepared, &args.runtime, stop)? else {
        return Ok(Answer::interrupted(String::new()));
    };
    let request = Request {
        prompt: &prompt,
        max_tokens: runtime::whole(args.max_tokens),
        sampling,
        last_tokens: &ready.last_tokens,
    };
    let follow = tokenizer.as_ref().map(|tokenizer| tokenizer.after(&prompt)).transpose()?;
    let mut stream = Stream::new(follow, args.output.json, stop);
    let sends = Arc::new(Mutex::new(PlannedSends::new(&ready.record.homes)));
    ready.decoder.observe(Some(Box::new(Arc::clone(&sends))));
    let sends = || sends.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    let mut of_prompt = None;
    let mut on_token = |token| {
        // The first token is there when the prompt has been read.
        of_prompt.get_or_insert_with(|| sends().to_experts());
        stream.tell(token)
    };
    let mut hooks = Hooks { stop, clock: &|| started.elapsed(), on_token: &mut on_token };
    let generated = generate(&mut ready.decoder, &request, &mut hooks)?;
    let closed = stream.closed;
    let text = stream.finish()?;
    // A reader that has seen enough is not Ctrl-C.
    let interrupted = generated.ended == Ended::Stopped && !closed;
    let (chain, to_experts) = {
        let sends = sends();
        (sends.of_chain(), sends.to_experts())
    };
    let steps = u64::try_from(generated.decode.tokens).unwrap_or(u64::MAX);
    let routed =
        chain.saturating_mul(steps).saturating_add(to_experts - of_prompt.unwrap_or(to_experts));
    let answer = answer(args, &ready.record, generated, text, routed);
    Ok(if interrupted { answer.cut_short() } else { answer })
}

fn sampling(args: &GenerateArgs) -> Result<Sampling, Error> {
    let GenerateArgs { temperature, top_p, seed, .. } = *args;
    let sampling = Sampling { temperature, top_p, seed };
    // What it refuses is refused before anything is loaded.
    Sampler::new(sampling).map(|_| sampling)
}

/// The tokens to continue, and what turns further ones into text.
fn prompt(args: &GenerateArgs) -> Result<(Vec<u32>, Option<Tokenizer>), Error> {
    let (named, weights) = (args.tokenizer.as_deref(), args.runtime.weights.as_path());
    if let Some(text) = &args.prompt.prompt {
        let tokenizer = runtime::tokenizer_for_text(named, weights)?;
        return Ok((tokenizer.encode(text)?, Some(tokenizer)));
    }
    Ok((args.prompt.prompt_ids.clone(), runtime::tokenizer(named, weights)?))
}

fn answer(
    args: &GenerateArgs,
    record: &Record,
    generated: Generated,
    text: Option<String>,
    routed_transfers: u64,
) -> Answer {
    let Generated { tokens, ended, prefill, decode } = generated;
    let generation = Generation {
        tokens,
        text,
        ended: ended.name(),
        prefill: stretch(&prefill),
        decode: stretch(&decode),
        planned_transfers: record.traffic.expected,
        routed_transfers,
    };
    if args.output.json {
        return Answer::json(&report::generation_json(&generation), true);
    }
    say(report::generation(&generation).trim_end());
    Answer::new(String::new(), true)
}

fn stretch(work: &Work) -> Stretch {
    Stretch {
        tokens: work.tokens as u64,
        elapsed: work.elapsed,
        transfers: work.transfers.activations,
        transfer_bytes: work.transfers.bytes,
    }
}
