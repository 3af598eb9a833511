//! What a step takes at least when only so many bytes have moved.
//!
//! Where the devices of a layer take turns, a step takes at least what its visits take, each where its component is;
//! ways between devices come on top. Moving a component gains at most what the visit takes now less what it takes on
//! the device where it takes least. So with at most `b` bytes moved the visits take no less than now, less the most that
//! components of `b` bytes in all can gain: a knapsack, filled by gain per byte, the last one in part.

use std::collections::BTreeMap;

use crate::model::ComponentId;
use crate::problem::{Draw, Placement, Problem, Timing};
use crate::runtime::LayerDevices;

/// The bound for any number of bytes.
pub(super) struct Floor {
    /// What visits take where everything is now.
    base_ps: u128,
    /// What moving a component gains at most, and its bytes; by gain per byte, most first.
    gains: Vec<(u128, u64)>,
}

impl Floor {
    /// Of steps that make a token each; `None` where their times are not known, add up otherwise, or are those of the
    /// worst of several statistics.
    pub(super) fn of(problem: &Problem) -> Option<Self> {
        let timing = problem.decode.as_deref()?;
        let current = problem.current.as_ref()?;
        let [draws] = timing.draws.as_slice() else { return None };
        if timing.devices != LayerDevices::Sequential || problem.is_by_matrix() {
            return None;
        }
        let mut experts: BTreeMap<u32, u128> = BTreeMap::new();
        for component in &problem.components {
            if let ComponentId::Expert(layer, _) = component.demand.id {
                *experts.entry(layer).or_default() += 1;
            }
        }
        let mut floor = Self { base_ps: 0, gains: Vec::new() };
        for (index, component) in problem.components.iter().enumerate() {
            let (part, whole) = visited(draws, &experts, component.demand.id);
            floor.add(index, component.demand.weights_bytes, timing, current, part, whole)?;
        }
        // By gain per byte, and what weighs nothing first.
        floor.gains.sort_by(|a, b| (b.0 * u128::from(a.1)).cmp(&(a.0 * u128::from(b.1))));
        Some(floor)
    }

    fn add(
        &mut self,
        index: usize,
        bytes: u64,
        timing: &Timing,
        current: &Placement,
        part: u128,
        whole: u128,
    ) -> Option<()> {
        let visit = timing.visit_ps.get(index)?;
        let least = u128::from(*visit.iter().min()?);
        // What is nowhere is moved whatever is decided.
        let now = visit.get(current.device_of[index]).map_or(least, |&now| u128::from(now));
        self.base_ps += now * part / whole;
        let gain = ((now - least) * part).div_ceil(whole);
        if gain > 0 {
            // Times are below 2^50 and bytes below 2^60: products of two fit.
            self.gains.push((gain, bytes));
        }
        Some(())
    }

    /// What a step takes at least with at most so many bytes moved, in picoseconds.
    pub(super) fn at(&self, moved_bytes: u64) -> u64 {
        let mut left = moved_bytes;
        let mut gained = 0;
        for &(gain, bytes) in &self.gains {
            if bytes > left {
                gained += (gain * u128::from(left)).div_ceil(u128::from(bytes));
                break;
            }
            gained += gain;
            left -= bytes;
        }
        u64::try_from(self.base_ps.saturating_sub(gained)).unwrap_or(u64::MAX)
    }
}

/// How often a step visits a component, as a part of a whole.
fn visited(draws: &[Draw], experts: &BTreeMap<u32, u128>, id: ComponentId) -> (u128, u128) {
    let ComponentId::Expert(layer, expert) = id else { return (1, 1) };
    let draw = usize::try_from(layer).ok().and_then(|layer| draws.get(layer));
    let Some(draw) = draw else { return (0, 1) };
    let whole = draw.weight().max(1);
    let part = match draw {
        // Any set of a size is as likely as any other.
        Draw::Even(sizes) => {
            let visits = sizes.iter().map(|&(size, weight)| u128::from(size) * u128::from(weight));
            let count = experts.get(&layer).copied().unwrap_or(1).max(1);
            return (visits.sum(), whole * count);
        }
        Draw::Sets(sets) => sets
            .iter()
            .filter(|(set, _)| set.binary_search(&expert).is_ok())
            .map(|&(_, weight)| u128::from(weight))
            .sum(),
    };
    (part, whole)
}
