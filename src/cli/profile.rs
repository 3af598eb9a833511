//! `apportion profile`: how often each expert is chosen on a text, as a file.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use apportion::error::Error;
use apportion::files::{check_target, read_text};
use apportion::load::generate::{check_chunk, check_tokens, read};
use apportion::report;

use super::args::ProfileArgs;
use super::progress::Progress;
use super::{Answer, interrupt, runtime, say};

/// Reads the text through the model and writes what it chose.
pub fn run(args: &ProfileArgs) -> Result<Answer, Error> {
    check_target(&args.output_file)?;
    let (tokens, name) = text(args)?;
    let prepared = runtime::prepare(&args.runtime, false)?;
    let architecture = &prepared.manifest.architecture;
    if architecture.experts == 0 {
        return Err(Error::new("profile")
            .object(args.runtime.weights.display().to_string())
            .expected("a model with experts")
            .found("a dense one"));
    }
    check_tokens(&tokens, architecture.vocabulary)?;
    let chunk = args.context.map_or_else(|| prepared.context(), runtime::whole);
    check_chunk(chunk, prepared.context())?;
    let stop = interrupt::flag()?;
    let Some(mut ready) = runtime::start(prepared, &args.runtime, stop)? else {
        return Ok(Answer::interrupted(String::new()));
    };
    let counts = Arc::new(Mutex::new(ready.routing_counts()));
    ready.decoder.observe(Some(Box::new(Arc::clone(&counts))));
    let started = Instant::now();
    ready.log.note("read before", &ready.decoder.placed().devices)?;
    let progress = Progress::new("tokens", tokens.len());
    let done = read(&mut ready.decoder, &tokens, chunk, stop, &mut |part| progress.advance(part))?;
    let elapsed = started.elapsed();
    drop(progress);
    ready.log.note("read after", &ready.decoder.placed().devices)?;
    ready.log.end(&ready.decoder.placed().devices)?;
    if done == 0 {
        say("nothing was read, so nothing is written");
        return Ok(Answer::interrupted(String::new()));
    }
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let statistics = counts.statistics(&ready.record.scenario.model.name, &name);
    statistics.write(&args.output_file)?;
    let file = args.output_file.display().to_string();
    let answer = if args.output.json {
        Answer::json(&report::profile_json(&statistics, elapsed, &file), true)
    } else {
        Answer::new(report::profile(&statistics, elapsed), true)
    };
    Ok(if stop.load(Ordering::Relaxed) { answer.cut_short() } else { answer })
}

/// The tokens to read and what they are called in the file.
fn text(args: &ProfileArgs) -> Result<(Vec<u32>, String), Error> {
    let Some(path) = &args.text.text else {
        return Ok((args.text.prompt_ids.clone(), "token ids".to_owned()));
    };
    let text = read_text(path, "read the text")?;
    let weights = args.runtime.weights.as_path();
    let tokenizer = runtime::tokenizer_for_text(args.tokenizer.as_deref(), weights)?;
    // The file's own name: where it lay on one machine means nothing on another.
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok((tokenizer.encode(&text)?, name.unwrap_or_default()))
}
