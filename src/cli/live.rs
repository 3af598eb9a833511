//! A model that changes its placement between two tokens, and tells a log of its phases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apportion::error::Error;
use apportion::load::PlannedSends;
use apportion::load::decoder::{Decoder, Transfers};
use apportion::load::generate::Runs;
use apportion::load::migrate::Migrator;
use apportion::report::{Moves, PeakBytes};

use super::memlog::MemoryLog;

/// A migration under way.
pub struct Migration {
    migrator: Migrator,
    /// Tokens that are generated before the first step.
    after: u64,
    began_at: usize,
    moved_bytes: u64,
    elapsed: Duration,
    longest: Duration,
    stopped: Option<Error>,
}

impl Migration {
    pub fn new(migrator: Migrator, after: u64) -> Self {
        Self {
            began_at: migrator.done(),
            migrator,
            after,
            moved_bytes: 0,
            elapsed: Duration::ZERO,
            longest: Duration::ZERO,
            stopped: None,
        }
    }

    /// The next step, where it is time for one.
    fn step(&mut self, live: &mut Parts<'_>, tokens: u64) -> Result<(), Error> {
        if self.stopped.is_some() || tokens < self.after {
            return Ok(());
        }
        let Some(step) = self.migrator.next() else { return Ok(()) };
        let line = self.migrator.plan().line(step);
        live.log.note(&format!("migrate before {line}"), &live.decoder.placed().devices)?;
        let began = Instant::now();
        let moved = self.migrator.step(live.decoder);
        let pause = began.elapsed();
        self.elapsed += pause;
        self.longest = self.longest.max(pause);
        match moved {
            Ok(Some(moved)) => {
                self.moved_bytes = self.moved_bytes.saturating_add(moved.bytes());
                lock(live.sends).moved(moved.component, moved.to);
            }
            Ok(None) => {}
            // The model is whole where it is; the text goes on.
            Err(error) => self.stopped = Some(error),
        }
        live.log.note(&format!("migrate after {line}"), &live.decoder.placed().devices)
    }

    /// What came of it.
    pub fn moves(&self) -> Moves {
        let peak = |peak: &apportion::load::migrate::Peak| PeakBytes {
            id: peak.id.clone(),
            peak_bytes: peak.peak_bytes,
            budget_bytes: peak.budget_bytes,
        };
        Moves {
            steps: self.migrator.plan().steps.len(),
            before: self.began_at,
            done: self.migrator.done(),
            moved_bytes: self.moved_bytes,
            elapsed: self.elapsed,
            longest: self.longest,
            devices: self.migrator.peaks().iter().map(peak).collect(),
            stopped: self.stopped.as_ref().map(ToString::to_string),
        }
    }
}

/// What runs and who hears of it.
struct Parts<'a> {
    decoder: &'a mut Decoder,
    log: &'a mut MemoryLog,
    sends: &'a Mutex<PlannedSends>,
}

/// A decoder with somebody between its tokens.
pub struct Live<'a> {
    parts: Parts<'a>,
    prompt_tokens: usize,
    read: usize,
    /// Tokens after the first.
    steps: u64,
    of_prompt: u64,
    of_chain: u64,
    migration: Option<Migration>,
}

impl<'a> Live<'a> {
    pub fn new(
        decoder: &'a mut Decoder,
        log: &'a mut MemoryLog,
        sends: &'a Arc<Mutex<PlannedSends>>,
        prompt_tokens: usize,
        migration: Option<Migration>,
    ) -> Self {
        Self {
            parts: Parts { decoder, log, sends },
            prompt_tokens,
            read: 0,
            steps: 0,
            of_prompt: 0,
            of_chain: 0,
            migration,
        }
    }

    /// Transfers after the first token that the maps asked for, given the experts that were chosen; what moved; and
    /// the log is ended.
    pub fn finish(self) -> Result<(u64, Option<Migration>), Error> {
        let Self { parts, steps, of_prompt, of_chain, migration, .. } = self;
        if steps > 0 {
            parts.log.note("decode after", &parts.decoder.placed().devices)?;
        }
        parts.log.end(&parts.decoder.placed().devices)?;
        let to_experts = lock(parts.sends).to_experts();
        let routed = if steps == 0 { 0 } else { to_experts.saturating_sub(of_prompt) };
        Ok((of_chain.saturating_add(routed), migration))
    }

    fn note(&mut self, label: &str) -> Result<(), Error> {
        self.parts.log.note(label, &self.parts.decoder.placed().devices)
    }

    fn between_tokens(&mut self) -> Result<(), Error> {
        if self.steps == 0 {
            self.of_prompt = lock(self.parts.sends).to_experts();
            self.note("decode before")?;
        }
        self.steps += 1;
        if let Some(migration) = &mut self.migration {
            migration.step(&mut self.parts, self.steps)?;
        }
        self.of_chain = self.of_chain.saturating_add(lock(self.parts.sends).of_chain());
        Ok(())
    }
}

impl Runs for Live<'_> {
    fn forward(&mut self, sequence: usize, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        if self.read >= self.prompt_tokens {
            self.between_tokens()?;
            return Runs::forward(self.parts.decoder, sequence, tokens);
        }
        if self.read == 0 {
            self.note("prefill before")?;
        }
        let logits = Runs::forward(self.parts.decoder, sequence, tokens)?;
        self.read += tokens.len();
        if self.read >= self.prompt_tokens {
            self.note("prefill after")?;
        }
        Ok(logits)
    }

    fn reset(&mut self, sequence: usize) {
        Runs::reset(self.parts.decoder, sequence);
    }

    fn context(&self) -> usize {
        self.parts.decoder.placed().context
    }

    fn vocabulary(&self) -> usize {
        self.parts.decoder.placed().architecture.vocabulary
    }

    fn transfers(&self) -> Transfers {
        self.parts.decoder.transfers()
    }
}

fn lock(sends: &Mutex<PlannedSends>) -> MutexGuard<'_, PlannedSends> {
    sends.lock().unwrap_or_else(PoisonError::into_inner)
}
