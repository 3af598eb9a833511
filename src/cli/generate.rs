//! `apportion generate`: text out of a placed model, as it comes.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use apportion::error::Error;
use apportion::load::PlannedSends;
use apportion::load::generate::{
    Ended, Generated, Hooks, Request, Sampler, Sampling, Tokenizer, Work, check_prompt, generate,
};
use apportion::load::migrate::{Journal, Migrator};
use apportion::migrate::Plan;
use apportion::report::{self, Generation, Stretch};
use apportion::units::Ratio;

use super::args::GenerateArgs;
use super::live::{Both, Change, Live, Migration};
use super::rebalancing::Rebalancing;
use super::runtime::Ready;
use super::stream::Stream;
use super::{Answer, interrupt, moved, runtime, say};

/// Reads the prompt, loads, generates.
pub fn run(args: &GenerateArgs) -> Result<Answer, Error> {
    let sampling = sampling(args)?;
    let (prompt, tokenizer) = prompt(args)?;
    let prepared = runtime::prepare(&args.runtime, args.migrate.is_some())?;
    let plan =
        args.migrate.as_deref().map(|path| moved::plan(path, &prepared.model)).transpose()?;
    let vocabulary = prepared.manifest.architecture.vocabulary;
    check_prompt(&prompt, prepared.context(), vocabulary)?;
    let stop = interrupt::flag()?;
    let Some(mut ready) = runtime::start(prepared, &args.runtime, stop)? else {
        return Ok(Answer::interrupted(String::new()));
    };
    let change = change(args, plan, &mut ready)?;
    let last_tokens = std::mem::take(&mut ready.last_tokens);
    let request = Request {
        prompt: &prompt,
        max_tokens: runtime::whole(args.max_tokens),
        sampling,
        last_tokens: &last_tokens,
    };
    let follow = tokenizer.as_ref().map(|tokenizer| tokenizer.after(&prompt)).transpose()?;
    let mut stream = Stream::new(follow, args.output.json, stop);
    let changes = !change.migrations.is_empty() || change.rebalancing.is_some();
    let expected = expected(&ready, changes);
    let homes: Vec<_> = ready.decoder.placed().homes().iter().map(|(id, at)| (*id, *at)).collect();
    let sends = Arc::new(Mutex::new(PlannedSends::new(&homes)));
    ready.decoder.observe(Some(match &change.rebalancing {
        None => Box::new(Arc::clone(&sends)),
        Some(rebalancing) => Box::new(Both(Arc::clone(&sends), rebalancing.counts())),
    }));
    let mut live = Live::new(&mut ready.decoder, &mut ready.log, &sends, prompt.len(), change);
    let started = Instant::now();
    let mut on_token = |token| stream.tell(token);
    let mut hooks = Hooks { stop, clock: &|| started.elapsed(), on_token: &mut on_token };
    let generated = generate(&mut live, &request, &mut hooks)?;
    let (routed, migrations) = live.finish()?;
    let closed = stream.closed;
    let text = stream.finish()?;
    // A reader that has seen enough is not Ctrl-C.
    let interrupted = generated.ended == Ended::Stopped && !closed;
    let Generated { tokens, ended, prefill, decode } = generated;
    let generation = Generation {
        tokens,
        text,
        ended: ended.name(),
        prefill: stretch(&prefill),
        decode: stretch(&decode),
        planned_transfers: expected,
        routed_transfers: routed,
        migrations: migrations.iter().map(Migration::moves).collect(),
    };
    let answer = answer(args, &generation);
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

/// What is to change while text is generated.
fn change(args: &GenerateArgs, plan: Option<Plan>, ready: &mut Ready) -> Result<Change, Error> {
    let migrations = plan.map(|plan| migration(args, plan, ready)).transpose()?;
    let record = ready.placement().cloned();
    let when = &args.rebalance;
    if record.is_none() && !when.when.is_empty() {
        return Err(Error::new("rebalance")
            .expected("a model in a placement")
            .found("one on the way to another")
            .hint("go to the end of the plan with --migrate first"));
    }
    let counts = ready.routing_counts();
    let rebalancing =
        record.map(|record| Rebalancing::of(when, &record, &ready.decoder, counts, ready.threads));
    let rebalancing = rebalancing.transpose()?.flatten();
    Ok(Change { migrations: migrations.into_iter().collect(), rebalancing })
}

/// The plan, at the place where the model is, and its journal.
fn migration(args: &GenerateArgs, plan: Plan, ready: &mut Ready) -> Result<Migration, Error> {
    // A model that was loaded on the way goes on from there; a plan of another way does not begin there.
    let done = ready.on_the_way.as_ref().map_or(0, |on_the_way| on_the_way.done);
    let migrator = Migrator::new(plan, done, &mut ready.decoder, ready.threads)?;
    let journal = args.runtime.journal.as_deref();
    let journal = journal.map(|path| Journal::open(path, migrator.plan(), done)).transpose()?;
    let migrator = match journal {
        Some(journal) => migrator.with_journal(journal),
        None => migrator,
    };
    Ok(Migration::new(migrator, args.migrate_after))
}

/// Transfers per token as the placement expects them, where the model is in one and stays there.
fn expected(ready: &Ready, migrates: bool) -> Option<Ratio> {
    ready.placement().filter(|_| !migrates).map(|record| record.traffic.expected)
}

fn answer(args: &GenerateArgs, generation: &Generation) -> Answer {
    let yes = generation.migrations.iter().all(|moves| moves.stopped.is_none());
    if args.output.json {
        return Answer::json(&report::generation_json(generation), yes);
    }
    say(report::generation(generation).trim_end());
    Answer::new(String::new(), yes)
}

fn stretch(work: &Work) -> Stretch {
    Stretch {
        tokens: work.tokens as u64,
        elapsed: work.elapsed,
        transfers: work.transfers.activations,
        transfer_bytes: work.transfers.bytes,
    }
}
