//! A model that changes its placement between two tokens, and tells a log of its phases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apportion::error::Error;
use apportion::load::PlannedSends;
use apportion::load::decoder::{Decoder, Observer, Transfers};
use apportion::load::generate::{RoutingCounts, Runs};
use apportion::load::migrate::Migrator;
use apportion::report::{Moves, PeakBytes};

use super::memlog::MemoryLog;
use super::rebalancing::Rebalancing;

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
    why: Option<(String, Duration)>,
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
            why: None,
        }
    }

    fn is_over(&self) -> bool {
        self.stopped.is_some() || self.migrator.next().is_none()
    }

    /// The next step, where it is time for one.
    fn step(&mut self, live: &mut Parts<'_>, tokens: u64) -> Result<(), Error> {
        if self.stopped.is_some() || tokens < self.after {
            return Ok(());
        }
        let Some(step) = self.migrator.next().copied() else { return Ok(()) };
        let name = self.migrator.plan().line(&step);
        let done = self.migrator.done();
        live.log.note(&format!("migrate before {name}"), &live.decoder.placed().devices)?;
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
            Err(error) => {
                // Done, and only not written down.
                if self.migrator.done() > done {
                    self.moved_bytes = self.moved_bytes.saturating_add(step.moved_bytes());
                    let home = live.decoder.placed().homes().get(&step.component).copied();
                    if let Some(home) = home {
                        lock(live.sends).moved(step.component, home);
                    }
                }
                self.stopped = Some(error);
            }
        }
        live.log.note(&format!("migrate after {name}"), &live.decoder.placed().devices)
    }

    /// What came of it.
    pub fn moves(&self) -> Moves {
        let peak = |peak: &apportion::load::migrate::Peak| PeakBytes {
            id: peak.id.clone(),
            start_bytes: peak.start_bytes,
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
            why: self.why.as_ref().map(|(why, _)| why.clone()),
            solving: self.why.as_ref().map(|(_, solving)| *solving),
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

/// Both who count sends and who counts experts.
pub struct Both(pub Arc<Mutex<PlannedSends>>, pub Arc<Mutex<RoutingCounts>>);

impl Observer for Both {
    fn chosen(&mut self, layer: u32, experts: &[Vec<u32>]) {
        self.0.chosen(layer, experts);
        self.1.chosen(layer, experts);
    }
}

/// What changes a placement meanwhile.
#[derive(Default)]
pub struct Change {
    /// Migrations, the last of which may be under way.
    pub migrations: Vec<Migration>,
    /// Who asks for more of them.
    pub rebalancing: Option<Rebalancing>,
}

impl Change {
    /// The next step of what is under way, or a look whether something should be.
    fn between_tokens(&mut self, live: &mut Parts<'_>, tokens: u64) -> Result<(), Error> {
        if let Some(migration) = self.migrations.last_mut().filter(|one| !one.is_over()) {
            migration.step(live, tokens)?;
            if migration.stopped.is_some() {
                // The model is in no placement that anything could be solved from.
                self.rebalancing = None;
            }
            return Ok(());
        }
        let Some(rebalancing) = &mut self.rebalancing else { return Ok(()) };
        let Some(asked) = rebalancing.check(tokens, live.decoder)? else { return Ok(()) };
        let migration = Migration::new(asked.migrator, 0);
        self.migrations.push(Migration { why: Some((asked.why, asked.solving)), ..migration });
        Ok(())
    }
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
    change: Change,
}

impl<'a> Live<'a> {
    pub fn new(
        decoder: &'a mut Decoder,
        log: &'a mut MemoryLog,
        sends: &'a Arc<Mutex<PlannedSends>>,
        prompt_tokens: usize,
        change: Change,
    ) -> Self {
        Self {
            parts: Parts { decoder, log, sends },
            prompt_tokens,
            read: 0,
            steps: 0,
            of_prompt: 0,
            of_chain: 0,
            change,
        }
    }

    /// Transfers after the first token that the maps asked for, given the experts that were chosen; what moved; and
    /// the log is ended.
    pub fn finish(self) -> Result<(u64, Vec<Migration>), Error> {
        let Self { parts, steps, of_prompt, of_chain, change, .. } = self;
        if steps > 0 {
            parts.log.note("decode after", &parts.decoder.placed().devices)?;
        }
        parts.log.end(&parts.decoder.placed().devices)?;
        let to_experts = lock(parts.sends).to_experts();
        let routed = if steps == 0 { 0 } else { to_experts.saturating_sub(of_prompt) };
        Ok((of_chain.saturating_add(routed), change.migrations))
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
        self.change.between_tokens(&mut self.parts, self.steps)?;
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
