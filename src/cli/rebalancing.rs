//! `generate --rebalance-when`: another placement while text is generated, where circumstances ask for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apportion::error::{Error, printable};
use apportion::files::read_text;
use apportion::load::decoder::Decoder;
use apportion::load::generate::RoutingCounts;
use apportion::load::migrate::{Migrator, Steady};
use apportion::migrate::{Changes, Goal, Plan, rebalance};
use apportion::placement::Record;
use apportion::plan::Options;
use apportion::problem::{Objective, ObjectiveKind, Placement, Problem};
use apportion::routing::Statistics;
use apportion::sweep::{Found, NODE_LIMIT};
use apportion::units::{Ratio, format_bytes};
use apportion::verify::verify;

use super::args::RebalanceWhenArgs;
use super::{rebalance as given, say};

/// Usable memory, as it is told.
type Usable = Vec<(String, u64)>;

/// A migration that circumstances ask for.
pub struct Asked {
    pub migrator: Migrator,
    /// Why, in words.
    pub why: String,
    /// What finding the placement and the plan took.
    pub solving: Duration,
}

/// Watches the routing and what may be used.
pub struct Rebalancing {
    record: Record,
    steady: Steady,
    gain: Ratio,
    usable: Option<PathBuf>,
    /// As the placement was made for, or asked for in vain.
    known_usable: Usable,
    last_usable: Usable,
    counts: Arc<Mutex<RoutingCounts>>,
    empty: RoutingCounts,
    before: RoutingCounts,
    budgets: Vec<u64>,
    threads: usize,
}

impl Rebalancing {
    /// From the placement that the model is in; `None` where nothing was asked for. `empty` counts nothing yet.
    pub fn of(
        args: &RebalanceWhenArgs,
        record: &Record,
        decoder: &Decoder,
        empty: RoutingCounts,
        threads: usize,
    ) -> Result<Option<Self>, Error> {
        if args.when.is_empty() {
            return Ok(None);
        }
        let (drift, usable) = conditions(&args.when)?;
        if let (Some(_), 0) = (drift, decoder.placed().architecture.experts) {
            return Err(Error::new("rebalance by drift")
                .expected("a model with experts")
                .found("a dense one"));
        }
        let known_usable = usable.as_deref().map(read_usable).transpose()?.unwrap_or_default();
        Changes { usable: known_usable.clone(), ..Changes::default() }.apply(&record.scenario)?;
        let devices = decoder.placed().devices.iter();
        Ok(Some(Self {
            steady: Steady::new(args.every, drift, made_for(record, decoder)),
            gain: share(&args.gain, "--rebalance-gain")?,
            // What the file says at first is a change too, unless the placement was made for it.
            known_usable: Usable::new(),
            last_usable: known_usable,
            usable,
            counts: Arc::new(Mutex::new(empty.clone())),
            before: empty.clone(),
            empty,
            budgets: devices.map(|device| device.ledger.budget_bytes()).collect(),
            threads,
            record: record.clone(),
        }))
    }

    /// Who must hear which experts are chosen.
    pub fn counts(&self) -> Arc<Mutex<RoutingCounts>> {
        Arc::clone(&self.counts)
    }

    /// Whether it is time to look, and if so whether to move.
    pub fn check(&mut self, token: u64, decoder: &mut Decoder) -> Result<Option<Asked>, Error> {
        if !token.is_multiple_of(self.steady.every()) {
            return Ok(None);
        }
        let now = self.next_window();
        let drift = self.steady.window(token, now.counts().to_vec());
        let mut both = std::mem::replace(&mut self.before, now);
        both.add(&self.before);
        let usable = self.usable_now();
        if !self.steady.may_move(token) || (drift.is_none() && usable.is_none()) {
            return Ok(None);
        }
        let began = Instant::now();
        let statistics =
            drift.map(|_| both.statistics(&self.record.scenario.model.name, "generated"));
        let usable = usable.unwrap_or_else(|| self.known_usable.clone());
        let changes = Changes {
            usable: usable.clone(),
            routing: statistics.map(|statistics: Statistics| vec![Arc::new(statistics)]),
            ..Changes::default()
        };
        let next = self.next(&changes)?;
        let changes = Changes { usable: self.listed_anew(&usable), ..changes };
        self.known_usable = usable;
        let made_for = drift.map(|_| both.counts().to_vec());
        let Some((plan, gained)) = next else {
            if let Some(counts) = made_for {
                self.steady.declined(counts);
            }
            return Ok(None);
        };
        for (device, budget) in decoder.placed().devices.iter().zip(&self.budgets) {
            // The migrator takes from this what the plan does not allow.
            device.ledger.set_budget(*budget);
        }
        let to = plan.to.clone();
        let why = why(drift, &changes.usable, gained.as_deref());
        let migrator = Migrator::new(plan, 0, decoder, self.threads)?;
        let before = std::mem::replace(&mut self.record, to);
        let (from, to) = (before.homes, self.record.homes.clone());
        self.steady.moved(token, from, &to, made_for);
        Ok(Some(Asked { migrator, why, solving: began.elapsed() }))
    }

    /// What of it was not known before.
    fn listed_anew(&self, usable: &Usable) -> Usable {
        usable.iter().filter(|one| !self.known_usable.contains(one)).cloned().collect()
    }

    fn next_window(&self) -> RoutingCounts {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *counts, self.empty.clone())
    }

    /// What the file says, and all of a device that it does not name any more; refuses what cannot be.
    fn whole(&self, mut now: Usable) -> Result<Usable, Error> {
        for device in &self.record.scenario.hardware.devices {
            let named = |usable: &Usable| usable.iter().any(|(id, _)| *id == device.id);
            if named(&self.known_usable) && !named(&now) {
                now.push((device.id.clone(), device.capacity_bytes));
            }
        }
        let changes = Changes { usable: now.clone(), ..Changes::default() };
        changes.apply(&self.record.scenario).map(|_| now)
    }

    /// What may be used, where that has changed: at once where it is less, after it was said twice where it is more.
    fn usable_now(&mut self) -> Option<Usable> {
        let path = self.usable.as_deref()?;
        let now = match read_usable(path).and_then(|now| self.whole(now)) {
            Ok(now) => now,
            Err(error) => {
                say(&format!("note: what may be used stays as it was: {error}"));
                return None;
            }
        };
        let said_twice = std::mem::replace(&mut self.last_usable, now.clone()) == now;
        let less = |(id, bytes): &(String, u64)| {
            let known = self.known_usable.iter().find(|(known, _)| known == id);
            known.is_none_or(|(_, known)| bytes < known)
        };
        let changed = now != self.known_usable;
        (changed && (said_twice || now.iter().any(less))).then_some(now)
    }

    /// The plan to what is best now and what it gains, in words; `None` where it is not worth it, or where there is
    /// none.
    fn next(&mut self, changes: &Changes) -> Result<Option<(Plan, Option<String>)>, Error> {
        let problem = changes.apply(&self.record.scenario)?.problem()?;
        let fits = verify(&problem, &self.record.placement(&problem)?).is_ok();
        // What fits moves for what it gains, as few bytes as that takes; what does not, as few as need be.
        let objectives = fits.then(|| {
            let others = self.record.scenario.objectives.iter().copied();
            let others = others.filter(|objective| objective.kind != ObjectiveKind::Migration);
            let migration = Objective { kind: ObjectiveKind::Migration, tolerance: Ratio::ZERO };
            others.chain([migration]).collect()
        });
        let options = Options { node_limit: NODE_LIMIT, ..Options::default() };
        let next = rebalance(&self.record, changes, Goal::LeastMoved, objectives, &options)?;
        let Found::Placed(solved, measured) = &next.found else {
            say("note: no placement was found for what is different now; the model stays as it is");
            return Ok(None);
        };
        let to = Record::of(&next.scenario, &next.problem, solved, measured);
        let gained = if fits {
            match self.gained(&next.problem, &solved.placement)? {
                Some(gained) => Some(gained),
                None => return Ok(None),
            }
        } else {
            None
        };
        match Plan::between(&self.record, &to, None)? {
            Ok(plan) if plan.steps.is_empty() => Ok(None),
            Ok(plan) => Ok(Some((plan, gained))),
            Err(stuck) => {
                let waiting =
                    stuck.waiting.first().map_or_else(String::new, |line| printable(line));
                say(&format!(
                    "note: no order of moves was found; the model stays as it is: {waiting}"
                ));
                Ok(None)
            }
        }
    }

    /// What the next map gains over the one there is, in words; `None` where that is too little.
    fn gained(&self, problem: &Problem, next: &Placement) -> Result<Option<String>, Error> {
        let by_time = problem.objectives.iter().any(|o| o.kind == ObjectiveKind::DecodeLatency);
        let kind = if by_time { ObjectiveKind::DecodeLatency } else { ObjectiveKind::Traffic };
        let value = |placement: &Placement| {
            verify(problem, placement).ok().map(|measured| measured.value(kind))
        };
        let (Some(old), Some(new)) = (value(&self.record.placement(problem)?), value(next)) else {
            return Ok(None);
        };
        let share = (old.as_f64() - new.as_f64()) / old.as_f64();
        // Nothing of nothing is no number, and is not more.
        if share.is_nan() || share < self.gain.as_f64() || share <= 0.0 {
            return Ok(None);
        }
        let text = |value| apportion::report::objective_value(kind, value);
        Ok(Some(format!("{} from {} to {}", kind.name(), text(old), text(new))))
    }
}

/// What the placement was made for: all experts alike, unless its scenario says otherwise.
fn made_for(record: &Record, decoder: &Decoder) -> Vec<Vec<u64>> {
    let architecture = &decoder.placed().architecture;
    let layers = usize::try_from(architecture.layers).unwrap_or(0);
    let mut sums = vec![vec![0_u64; architecture.experts]; layers];
    for statistics in &record.scenario.limits.routing {
        for (sums, counts) in sums.iter_mut().zip(&statistics.counts) {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
        }
    }
    if sums.iter().flatten().all(|&sum| sum == 0) {
        return vec![vec![1; architecture.experts]; layers];
    }
    sums
}

fn why(drift: Option<Ratio>, usable: &Usable, gained: Option<&str>) -> String {
    let drift = drift.map(|drift| format!("routing drifted by {:.3}", drift.as_f64()));
    let usable = usable
        .iter()
        .map(|(id, bytes)| format!("{} may use {}", printable(id), format_bytes(*bytes)));
    let parts = drift.into_iter().chain(usable).chain(gained.map(str::to_owned));
    parts.collect::<Vec<_>>().join(", ")
}

/// `drift=0.2` and `usable=FILE`, each once at most.
fn conditions(texts: &[String]) -> Result<(Option<Ratio>, Option<PathBuf>), Error> {
    let (mut drift, mut usable) = (None, None);
    for text in texts {
        let refuse = || {
            Error::new("read --rebalance-when")
                .object(text)
                .expected("`drift=0.2` or `usable=FILE`")
        };
        let (name, value) = text.split_once('=').ok_or_else(refuse)?;
        let twice = match name {
            "drift" => drift.replace(share(value, "--rebalance-when drift")?).is_some(),
            "usable" if !value.is_empty() => usable.replace(PathBuf::from(value)).is_some(),
            _ => return Err(refuse()),
        };
        if twice {
            return Err(refuse().expected("each condition once").found("it twice"));
        }
    }
    Ok((drift, usable))
}

/// `0.2` or `20%`, from 0 up to 1.
fn share(text: &str, place: &str) -> Result<Ratio, Error> {
    let refuse = || {
        Error::new("read the share")
            .object(text)
            .place(place)
            .expected("a share such as `0.2` or `20%`, of six decimals at most")
    };
    let (number, percent) = match text.trim().strip_suffix('%') {
        Some(number) => (number.trim_end(), 100),
        None => (text.trim(), 1),
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || decimals.len() > 6 {
        return Err(refuse());
    }
    if !digits(whole) || !digits(decimals) {
        return Err(refuse());
    }
    let millionths: u64 = format!("{whole}{decimals:0<6}").parse().map_err(|_| refuse())?;
    let most = percent * 1_000_000;
    if millionths > most {
        return Err(refuse().expected("at most 1, all of it"));
    }
    Ok(Ratio::new(millionths, most))
}

/// `gpu0=9GiB`, one a line; empty lines and those behind `#` say nothing.
fn read_usable(path: &Path) -> Result<Usable, Error> {
    let text = read_text(path, "read usable memory")?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let said = lines.filter(|line| !line.is_empty()).map(given::usable);
    said.collect::<Result<_, _>>().map_err(|error: Error| error.place(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_at_most_one() {
        for (text, parts, of) in [
            ("0.2", 1, 5),
            ("20%", 1, 5),
            ("5 %", 1, 20),
            ("1", 1, 1),
            ("0", 0, 1),
            ("0.5%", 1, 200),
        ] {
            assert_eq!(share(text, "x").unwrap(), Ratio::new(parts, of), "{text}");
        }
        for text in ["", "%", "1.1", "101%", "-0.1", "x", "0.1234567", "1e3"] {
            assert!(share(text, "x").is_err(), "{text}");
        }
    }

    #[test]
    fn conditions_are_named_once() {
        let read = |texts: &[&str]| {
            conditions(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        let both = read(&["drift=0.25", "usable=a=b"]).unwrap();
        assert_eq!(both, (Some(Ratio::new(1, 4)), Some(PathBuf::from("a=b"))));
        for texts in
            [&["drift"][..], &["drift=x"], &["usable="], &["load=1"], &["drift=0", "drift=1"]]
        {
            assert!(read(texts).is_err(), "{texts:?}");
        }
    }
}
