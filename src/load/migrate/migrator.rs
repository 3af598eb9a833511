//! A plan and how far it is.

use super::journal::Journal;
use super::route::{OPERATION, Route};
use crate::error::Error;
use crate::load::decoder::{Decoder, Moved};
use crate::migrate::{Place, Plan, Step};

/// Takes a decoder along a plan, one step at a time.
///
/// Between two steps the model is whole, in a map that the plan knows ([`Plan::after`]); so it is after a step that
/// was refused, which may be tried again or given up.
#[derive(Debug)]
pub struct Migrator {
    plan: Plan,
    route: Route,
    done: usize,
    journal: Option<Journal>,
    /// A step that is done and not in the journal yet.
    unwritten: bool,
    peaks: Vec<Peak>,
}

/// The most that was on a device while a plan was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The device's name.
    pub id: String,
    /// In bytes, before the first step.
    pub start_bytes: u64,
    /// In bytes, from the first step on; more than it may hold only where memory shrank below what was there.
    pub peak_bytes: u64,
    /// What it may hold.
    pub budget_bytes: u64,
}

impl Migrator {
    /// Begins behind the steps that are done; 0 for a model that was loaded from the placement the plan begins with.
    ///
    /// From now on no device may hold more than the plan says, where that is less than before: memory that shrank has
    /// shrunk. What is parked lives on one more device, of as many `threads`.
    ///
    /// # Errors
    /// What [`Route::of`] refuses; a model on other devices, in another map or of other bytes than the plan's. Nothing
    /// has changed then.
    pub fn new(
        plan: Plan,
        done: usize,
        decoder: &mut Decoder,
        threads: usize,
    ) -> Result<Self, Error> {
        let route = Route::of(&plan)?;
        route.check(&plan, done, decoder)?;
        if route.parks(&plan) {
            decoder.add_host(route.host(), plan.claims.host_bytes, threads)?;
        }
        for (index, device) in plan.devices.iter().enumerate() {
            let home = route.device(Place::Device(index));
            let home = home.and_then(|home| decoder.placed().devices.get(home));
            if let Some(home) = home {
                let most = device.limit_bytes.saturating_sub(device.reserve_bytes);
                home.ledger.set_budget(home.ledger.budget_bytes().min(most));
            }
        }
        let peaks = peaks(decoder);
        Ok(Self { plan, route, done, journal: None, unwritten: false, peaks })
    }

    /// Writes every step down from now on; the journal must be of this plan and position
    /// ([`Journal::open`] saw to it).
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Steps that are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The step that comes next; `None` at the end.
    pub fn next(&self) -> Option<&Step> {
        self.plan.steps.get(self.done)
    }

    /// The most that was on every device of the decoder since the beginning.
    pub fn peaks(&self) -> &[Peak] {
        &self.peaks
    }

    /// Takes the next step; `None` at the end.
    ///
    /// # Errors
    /// What the device refuses and what the journal cannot write. The model is whole and [`done`](Self::done) says
    /// where it is; the same call tries again.
    pub fn step(&mut self, decoder: &mut Decoder) -> Result<Option<Moved>, Error> {
        self.write_done()?;
        let Some(step) = self.plan.steps.get(self.done).copied() else { return Ok(None) };
        let line = self.plan.line(&step);
        let refuse = || Error::new(OPERATION).place(format!("step `{line}`"));
        let (from, to) = (self.route.device(step.from), self.route.device(step.to));
        let (Some(from), Some(to)) = (from, to) else {
            return Err(refuse().expected("devices of the decoder"));
        };
        if decoder.placed().homes().get(&step.component) != Some(&from) {
            return Err(refuse().found("it is no longer where the plan takes it from"));
        }
        if let Some(journal) = &mut self.journal {
            journal.begin(self.done, &line)?;
        }
        self.raise_peaks(decoder);
        let moved = decoder.relocate(step.component, to)?;
        self.done += 1;
        self.unwritten = true;
        // Both hold it for a moment: the one that gives was counted before, the one that gets is now.
        self.raise_peaks(decoder);
        self.write_done()?;
        Ok(Some(moved))
    }

    fn write_done(&mut self) -> Result<(), Error> {
        if let (true, Some(journal)) = (self.unwritten, &mut self.journal) {
            journal.done(self.done, &self.plan)?;
        }
        self.unwritten = false;
        Ok(())
    }

    fn raise_peaks(&mut self, decoder: &Decoder) {
        for (peak, now) in self.peaks.iter_mut().zip(peaks(decoder)) {
            peak.peak_bytes = peak.peak_bytes.max(now.peak_bytes);
            peak.budget_bytes = now.budget_bytes;
        }
    }
}

/// What is on every device now.
fn peaks(decoder: &Decoder) -> Vec<Peak> {
    let devices = decoder.placed().devices.iter();
    let peak = |device: &crate::load::devices::Device| Peak {
        id: device.id.clone(),
        start_bytes: device.ledger.balance().bytes(),
        peak_bytes: device.ledger.balance().bytes(),
        budget_bytes: device.ledger.budget_bytes(),
    };
    devices.map(peak).collect()
}
