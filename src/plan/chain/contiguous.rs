//! Sequences in which every device hosts at most one run of consecutive layers, cheapest first.
//!
//! A dynamic program over (devices used, layers done) gives the exact cost to go of the lower bound;
//! iterative deepening over it lists the sequences in order of that bound.

use super::Chain;
use super::pressure::Pressure;
use crate::error::Error;
use crate::plan::solver::Backend;

/// Work the table may cost: states times transitions.
const TABLE_WORK_MAX: usize = 100_000_000;

const UNKNOWN: u64 = u64::MAX;
/// Cannot be finished.
const NEVER: u64 = super::NEVER_UNITS;

/// What the enumeration established.
pub(super) struct Runs {
    /// All sequences that could matter were solved.
    pub(super) complete: bool,
    /// No sequence of single runs costs less, in traffic units, unless it was solved.
    pub(super) bound_units: u64,
}

/// Solves sequences of single runs in order of their lower bound, until none can matter any more or the
/// budget is spent.
pub(super) fn enumerate<B: Backend>(chain: &mut Chain<'_, '_, B>) -> Result<Runs, Error> {
    let pressure = chain.pressure.clone();
    let firsts: Vec<Option<usize>> =
        if pressure.tied_head { (0..pressure.devices()).map(Some).collect() } else { vec![None] };
    if Table::listed_order_work(&pressure).saturating_mul(firsts.len()) > TABLE_WORK_MAX {
        return Ok(Runs { complete: false, bound_units: 0 });
    }
    let mut tables: Vec<Table<'_>> =
        firsts.iter().map(|&first| Table::new(&pressure, first)).collect();
    let exact = tables.iter().all(|table| table.any_order);
    let mut threshold = tables.iter_mut().map(Table::cheapest).min().unwrap_or(NEVER);
    let mut done = true;
    while threshold < NEVER && threshold <= chain.traffic_max() {
        let mut next = NEVER;
        for table in &mut tables {
            let mut path = Path { homes: Vec::new(), first: None, threshold, next: NEVER };
            done = explore(chain, table, 0, 0, &mut path)?;
            next = next.min(path.next);
            if !done {
                break;
            }
        }
        if !done || chain.closed() || chain.search.out_of_time() {
            done = false;
            break;
        }
        threshold = next;
    }
    let bound_units = if exact { threshold } else { 0 };
    Ok(Runs { complete: exact && done, bound_units })
}

struct Path {
    homes: Vec<usize>,
    first: Option<usize>,
    threshold: u64,
    /// The least bound seen above the threshold.
    next: u64,
}

/// Extends the path by one run in every way whose bound stays within the threshold. False when the budget
/// is spent or the stage is settled.
fn explore<B: Backend>(
    chain: &mut Chain<'_, '_, B>,
    table: &mut Table<'_>,
    state: usize,
    spent: u64,
    path: &mut Path,
) -> Result<bool, Error> {
    let done = path.homes.len();
    if path.threshold > chain.traffic_max() {
        // Something was found at this threshold: what is left of it cannot be better.
        return Ok(true);
    }
    if done == table.pressure.layers {
        return Ok(chain.leaf(&path.homes, spent)? && !chain.closed());
    }
    for run in table.runs(state, done, path.first) {
        let so_far = spent + run.units;
        let bound =
            so_far + table.cost_to_go(run.next_state, run.end, path.first.or(Some(run.device)));
        if bound >= NEVER {
            continue;
        }
        if bound > path.threshold {
            path.next = path.next.min(bound);
            continue;
        }
        let first = path.first;
        path.first = first.or(Some(run.device));
        path.homes.resize(run.end, run.device);
        let go_on = explore(chain, table, run.next_state, so_far, path)?;
        path.homes.truncate(done);
        path.first = first;
        if !go_on {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One more run: layers `done..end` on `device`.
#[derive(Clone, Copy, Debug)]
struct Run {
    device: usize,
    end: usize,
    /// Its own traffic and the change that leads to it (and out of the chain, for the last).
    units: u64,
    next_state: usize,
}

/// The cost to go, memoised. A state is the set of devices used, or, when there are too many sets, the
/// last device used plus one, and then only the listed order of devices is explored.
struct Table<'a> {
    pressure: &'a Pressure,
    /// The first run's device, where the end of the chain depends on it.
    first: Option<usize>,
    any_order: bool,
    memo: Vec<u64>,
}

impl<'a> Table<'a> {
    fn new(pressure: &'a Pressure, first: Option<usize>) -> Self {
        let (devices, layers) = (pressure.devices(), pressure.layers);
        let sets = 1_usize.checked_shl(u32::try_from(devices).unwrap_or(u32::MAX));
        let work = sets.and_then(|sets| sets.checked_mul(Self::work_per_state(pressure)));
        let any_order = work.is_some_and(|work| work <= TABLE_WORK_MAX);
        let states = if any_order { 1 << devices } else { devices + 1 };
        Self { pressure, first, any_order, memo: vec![UNKNOWN; states * (layers + 1)] }
    }

    /// Transitions out of the states that share a set of devices: a run from every layer to every later one,
    /// on every device.
    fn work_per_state(pressure: &Pressure) -> usize {
        pressure.layers.saturating_mul(pressure.layers).saturating_mul(pressure.devices()) / 2
    }

    /// The work of a table that keeps to the listed order.
    fn listed_order_work(pressure: &Pressure) -> usize {
        Self::work_per_state(pressure).saturating_mul(pressure.devices() + 1)
    }

    fn cheapest(&mut self) -> u64 {
        self.cost_to_go(0, 0, None)
    }

    /// The least bound of all ways to place the layers from `done` on.
    fn cost_to_go(&mut self, state: usize, done: usize, first: Option<usize>) -> u64 {
        if done == self.pressure.layers {
            return 0;
        }
        let slot = state * (self.pressure.layers + 1) + done;
        if self.memo[slot] == UNKNOWN {
            let mut best = NEVER;
            for run in self.runs(state, done, first) {
                let rest = self.cost_to_go(run.next_state, run.end, first.or(Some(run.device)));
                best = best.min(run.units.saturating_add(rest));
            }
            self.memo[slot] = best;
        }
        self.memo[slot]
    }

    /// All next runs, longest first.
    fn runs(&self, state: usize, done: usize, first: Option<usize>) -> Vec<Run> {
        let pressure = self.pressure;
        let mut runs = Vec::new();
        for device in 0..pressure.devices() {
            let Some(next_state) = self.next_state(state, device) else { continue };
            if done == 0 && self.first.is_some_and(|first| first != device) {
                continue;
            }
            let lead =
                if done == 0 { pressure.start_units(device) } else { pressure.hand_over_units };
            for end in done + 1..=pressure.layers {
                if !pressure.may_host(device, end - 1) {
                    break;
                }
                let burden = pressure.burden(device, done, end);
                let Some(units) = pressure.units(device, &burden) else { break };
                let tail = if end == pressure.layers {
                    pressure.end_units(first.unwrap_or(device), device)
                } else {
                    0
                };
                runs.push(Run { device, end, units: lead + units + tail, next_state });
            }
        }
        runs.sort_by_key(|run| (run.units, std::cmp::Reverse(run.end), run.device));
        runs
    }

    fn next_state(&self, state: usize, device: usize) -> Option<usize> {
        if !self.any_order {
            return (device >= state).then_some(device + 1);
        }
        let unused = state >> device & 1 == 0 && state.count_ones() < self.pressure.homes_most;
        let twin_used = self.pressure.twin(device).is_none_or(|twin| state >> twin & 1 == 1);
        (unused && twin_used).then_some(state | 1 << device)
    }
}
