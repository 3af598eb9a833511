//! Text out of a placed model: prompt in, tokens out, one at a time; and counts of the experts it chooses.
//!
//! The model is behind [`Runs`], so that what a loop promises (when it ends, what it refuses, what it measures)
//! does not depend on tensors.

mod placed;
mod routing;
mod sample;
mod tokens;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use routing::RoutingCounts;
pub use sample::{Sampler, Sampling};
pub use tokens::{Follow, Tokenizer, panics_are_errors};

use crate::error::Error;
use crate::load::decoder::Transfers;

/// Tokens of a prompt that go through the model at once: enough that every expert's matrix is read for many,
/// few enough that activations stay small beside weights.
pub const MICRO_BATCH: usize = 512;

/// A model that continues sequences of tokens.
pub trait Runs {
    /// Appends tokens to a sequence; logits of the last of them, `[vocabulary]`, in host memory.
    ///
    /// # Errors
    /// A sequence or token that does not exist, more tokens than [`context`](Self::context), and what a device
    /// refuses.
    fn forward(&mut self, sequence: usize, tokens: &[u32]) -> Result<Vec<f32>, Error>;

    /// Forgets a sequence.
    fn reset(&mut self, sequence: usize);

    /// Tokens a sequence has room for in all.
    fn context(&self) -> usize;

    /// Tokens there are.
    fn vocabulary(&self) -> usize;

    /// What moved between devices since the model was made.
    fn transfers(&self) -> Transfers;
}

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What is continued.
    pub prompt: &'a [u32],
    /// The most tokens to generate.
    pub max_tokens: usize,
    /// How they are chosen.
    pub sampling: Sampling,
    /// Tokens that end a text.
    pub last_tokens: &'a [u32],
}

/// What the caller does while tokens are made.
pub struct Hooks<'a> {
    /// Set from anywhere, it ends the work after the token or part of a prompt that is being worked on.
    pub stop: &'a AtomicBool,
    /// Time that has passed since some moment; it is asked before and after each part of the work.
    pub clock: &'a dyn Fn() -> Duration,
    /// Told every token as soon as it is known.
    pub on_token: &'a mut dyn FnMut(u32) -> Result<(), Error>,
}

impl std::fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").field("stop", self.stop).finish_non_exhaustive()
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The model ended the text.
    EndOfText,
    /// All the tokens that were asked for are there.
    MaxTokens,
    /// The sequence has no room for the last token, so nothing can follow it.
    ContextFull,
    /// It was told to stop.
    Stopped,
}

impl Ended {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndOfText => "end_of_text",
            Self::MaxTokens => "max_tokens",
            Self::ContextFull => "context_full",
            Self::Stopped => "stopped",
        }
    }
}

/// What was generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The new tokens; the one that ended the text is among them.
    pub tokens: Vec<u32>,
    /// Why there are no more.
    pub ended: Ended,
    /// Reading the prompt.
    pub prefill: Work,
    /// Every token after the first, which the prompt's own logits give.
    pub decode: Work,
}

/// A stretch of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Tokens that went through the model.
    pub tokens: usize,
    /// How long that took.
    pub elapsed: Duration,
    /// What moved between devices meanwhile.
    pub transfers: Transfers,
}

/// Refuses tokens the model does not know and sequences it has no room for.
///
/// # Errors
/// The first such token, with its place; a text of no tokens; a prompt longer than `context`.
pub fn check_prompt(prompt: &[u32], context: usize, vocabulary: usize) -> Result<(), Error> {
    check_tokens(prompt, vocabulary)?;
    if prompt.len() > context {
        return Err(Error::new("read the prompt")
            .expected(format!("at most {context} tokens, the context that was planned for"))
            .found(format!("{} tokens", prompt.len()))
            .hint("shorten it, or solve again with a larger --context"));
    }
    Ok(())
}

/// Refuses tokens the model does not know.
///
/// # Errors
/// The first such token, with its place; no tokens at all.
pub fn check_tokens(tokens: &[u32], vocabulary: usize) -> Result<(), Error> {
    let refuse = || Error::new("use the tokens");
    if tokens.is_empty() {
        return Err(refuse().expected("a token at least").found("none"));
    }
    let known = |&token: &u32| usize::try_from(token).is_ok_and(|token| token < vocabulary);
    match tokens.iter().position(|token| !known(token)) {
        None => Ok(()),
        Some(at) => Err(refuse()
            .place(format!("token {} of {}", at + 1, tokens.len()))
            .expected(format!("a number from 0 to {}", vocabulary.saturating_sub(1)))
            .found(tokens[at].to_string())
            .hint("the tokenizer or the numbers are another model's")),
    }
}

/// Refuses chunks of no token, and of more than there is room for.
///
/// # Errors
/// Such a chunk.
pub fn check_chunk(chunk: usize, context: usize) -> Result<(), Error> {
    if (1..=context).contains(&chunk) {
        return Ok(());
    }
    Err(Error::new("cut the text")
        .expected(format!("chunks of 1 to {context} tokens, the context that was planned for"))
        .found(chunk.to_string())
        .hint("choose a smaller --context, or solve again with a larger one"))
}

/// Continues a prompt in sequence 0, which is forgotten first.
///
/// # Errors
/// Whatever [`check_prompt`] and [`Sampler::new`] refuse, before any work; what the model or `on_token`
/// refuse.
pub fn generate(
    model: &mut dyn Runs,
    request: &Request<'_>,
    hooks: &mut Hooks<'_>,
) -> Result<Generated, Error> {
    check_prompt(request.prompt, model.context(), model.vocabulary())?;
    let mut sampler = Sampler::new(request.sampling)?;
    model.reset(0);
    let mut watch = Watch::begin(model, hooks);
    let mut done = 0;
    let mut logits = Vec::new();
    for part in request.prompt.chunks(MICRO_BATCH) {
        if hooks.stop.load(Ordering::Relaxed) {
            break;
        }
        logits = model.forward(0, part)?;
        done += part.len();
    }
    let prefill = watch.end(model, hooks, done);
    let mut tokens = Vec::new();
    if done < request.prompt.len() {
        let decode = Work::default();
        return Ok(Generated { tokens, ended: Ended::Stopped, prefill, decode });
    }
    let mut steps = 0;
    let ended = loop {
        if let Some(ended) = ended(request, &tokens, hooks.stop) {
            break ended;
        }
        // The prompt's logits give the first token; every further one needs the one before.
        if let Some(&last) = tokens.last() {
            if request.prompt.len() + steps == model.context() {
                break Ended::ContextFull;
            }
            logits = model.forward(0, &[last])?;
            steps += 1;
        }
        let token = sampler.next(&logits)?;
        tokens.push(token);
        (hooks.on_token)(token)?;
    };
    let decode = watch.end(model, hooks, steps);
    Ok(Generated { tokens, ended, prefill, decode })
}

/// Whether the text is at its end, as far as that can be said without the model.
fn ended(request: &Request<'_>, tokens: &[u32], stop: &AtomicBool) -> Option<Ended> {
    let last = tokens.last();
    if last.is_some_and(|last| request.last_tokens.contains(last)) {
        Some(Ended::EndOfText)
    } else if tokens.len() >= request.max_tokens {
        Some(Ended::MaxTokens)
    } else if stop.load(Ordering::Relaxed) {
        Some(Ended::Stopped)
    } else {
        None
    }
}

/// Reads tokens in chunks, each a sequence of its own, for what the model counts meanwhile; how many were
/// read.
///
/// The chunks are cut as they come, whatever sentence they cut. `on_part` is told how many tokens went
/// through since it was told last.
///
/// # Errors
/// Tokens out of range, and a chunk of no token or of more than the model has room for, before any work;
/// what the model refuses.
pub fn read(
    model: &mut dyn Runs,
    tokens: &[u32],
    chunk: usize,
    stop: &AtomicBool,
    on_part: &mut dyn FnMut(usize),
) -> Result<usize, Error> {
    check_tokens(tokens, model.vocabulary())?;
    check_chunk(chunk, model.context())?;
    let mut done = 0;
    for sequence in tokens.chunks(chunk) {
        model.reset(0);
        for part in sequence.chunks(MICRO_BATCH) {
            if stop.load(Ordering::Relaxed) {
                return Ok(done);
            }
            model.forward(0, part)?;
            done += part.len();
            on_part(part.len());
        }
    }
    Ok(done)
}

/// Measures one stretch of work after the other.
struct Watch {
    began: Duration,
    transfers: Transfers,
}

impl Watch {
    fn begin(model: &dyn Runs, hooks: &Hooks<'_>) -> Self {
        Self { began: (hooks.clock)(), transfers: model.transfers() }
    }

    /// The stretch up to now; the next one begins.
    fn end(&mut self, model: &dyn Runs, hooks: &Hooks<'_>, tokens: usize) -> Work {
        let now = Self::begin(model, hooks);
        let elapsed = now.began.saturating_sub(self.began);
        let transfers = now.transfers.since(self.transfers);
        *self = now;
        Work { tokens, elapsed, transfers }
    }
}

#[cfg(test)]
mod tests;
