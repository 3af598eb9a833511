//! Rows of the chain: hand-overs between consecutive homes, `C8` to `C11`.

use super::{PerDevice, times};
use crate::objective::Linear;
use crate::program::{Program, Var};

/// Where the layers' homes are known: only the ends of the chain are left to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::plan) struct FixedChain {
    /// Device changes between consecutive layers.
    pub(in crate::plan) changes: u64,
    /// The first layer's home.
    pub(in crate::plan) first: usize,
    /// The last layer's home.
    pub(in crate::plan) last: usize,
}

impl FixedChain {
    /// Reads it off a sequence of homes.
    pub(in crate::plan) fn of(homes: &[usize]) -> Self {
        let changes = homes.iter().zip(homes.iter().skip(1)).map(|(a, b)| u64::from(a != b)).sum();
        let end = |home: Option<&usize>| home.copied().unwrap_or(0);
        Self { changes, first: end(homes.first()), last: end(homes.last()) }
    }

    /// The inner changes, plus one at each end that lives elsewhere.
    pub(in crate::plan) fn hand_overs(&self, embedding: &PerDevice, head: &PerDevice) -> Linear {
        let away = |vars: &PerDevice, from: usize| {
            let others = vars.iter().enumerate().filter(move |(d, _)| *d != from);
            others.filter_map(|(_, v)| v.map(|v| (v, 1))).collect::<Vec<_>>()
        };
        let mut terms = away(embedding, self.first);
        terms.extend(away(head, self.last));
        Linear { terms, constant: i64::try_from(self.changes).unwrap_or(i64::MAX) }
    }
}

/// The fewest hand-overs any order of the layers can reach, given only how many of each class live
/// where: every device that is home to a layer is visited, the walk starts at the embedding's device and
/// ends at the head's.
///
/// `homes[class][device]` counts layers, of `class_sizes[class]`; `ends` are the classes of the first and
/// of the last layer. With `returning` only walks count whose first and last run share a device.
pub(in crate::plan) fn closed_walk(
    program: &mut Program,
    device_ids: &[&str],
    homes: &[PerDevice],
    class_sizes: &[usize],
    ends: (usize, usize),
    (embedding, head): (&PerDevice, &PerDevice),
    returning: bool,
) -> Linear {
    let used = used(program, device_ids, homes, class_sizes);
    let first = end(program, "first", device_ids, &homes[ends.0]);
    let last = end(program, "last", device_ids, &homes[ends.1]);
    let returns = returns(program, device_ids, &used, &first, &last);
    if returning {
        only_returning(program, device_ids, &used, &first, &last);
    }
    let mut out = Linear { terms: times(&used, 1).collect(), constant: -1 };
    out.terms.push((returns, 1));
    out.terms.extend(away(program, "start", device_ids, embedding, &first));
    out.terms.extend(away(program, "return", device_ids, head, &last));
    out
}

/// `C8`: a device's variable is 1 exactly when it is home to some layer.
fn used(
    program: &mut Program,
    device_ids: &[&str],
    homes: &[PerDevice],
    class_sizes: &[usize],
) -> PerDevice {
    let mut used = Vec::with_capacity(device_ids.len());
    for (device, id) in device_ids.iter().enumerate() {
        let here: Vec<(Var, usize)> =
            homes.iter().zip(class_sizes).filter_map(|(h, &n)| Some((h[device]?, n))).collect();
        if here.is_empty() {
            used.push(None);
            continue;
        }
        let switch = program.binary(format!("used_{id}"));
        for &(home, size) in &here {
            let most = i64::try_from(size).unwrap_or(i64::MAX);
            program.at_most(format!("used_{id}_{}", home.0), vec![(home, 1), (switch, -most)], 0);
        }
        let mut terms: Vec<(Var, i64)> = here.iter().map(|&(home, _)| (home, -1)).collect();
        terms.push((switch, 1));
        program.at_most(format!("unused_{id}"), terms, 0);
        used.push(Some(switch));
    }
    used
}

/// `C9`: exactly one device hosts the first (or last) layer, and it is home to a layer of that class.
fn end(program: &mut Program, what: &str, device_ids: &[&str], homes: &PerDevice) -> PerDevice {
    let mut vars: PerDevice = Vec::with_capacity(homes.len());
    for (id, home) in device_ids.iter().zip(homes) {
        vars.push(home.map(|home| {
            let var = program.binary(format!("{what}_{id}"));
            program.at_most(format!("{what}_home_{id}"), vec![(var, 1), (home, -1)], 0);
            var
        }));
    }
    program.equal(format!("one_{what}"), times(&vars, 1).collect(), 1);
    vars
}

/// `C10`: a walk over two devices or more that begins and ends on the same one changes once more than it
/// has devices to reach. One row per pair of devices says it best; beyond eight, one per device.
fn returns(
    program: &mut Program,
    device_ids: &[&str],
    used: &PerDevice,
    first: &PerDevice,
    last: &PerDevice,
) -> Var {
    let returns = program.binary("returns".to_owned());
    for (d, id) in device_ids.iter().enumerate() {
        let (Some(first), Some(last)) = (first[d], last[d]) else { continue };
        let others = used.iter().enumerate().filter(|&(other, _)| other != d);
        let others: Vec<(usize, Var)> =
            others.filter_map(|(o, used)| Some((o, (*used)?))).collect();
        if device_ids.len() <= PAIRS_MAX {
            for (other, used) in others {
                let terms = vec![(first, 1), (last, 1), (used, 1), (returns, -1)];
                program.at_most(format!("returns_{id}_{}", device_ids[other]), terms, 2);
            }
        } else {
            let most = i64::try_from(others.len()).unwrap_or(i64::MAX);
            let mut terms = vec![(first, most), (last, most), (returns, -most)];
            terms.extend(others.iter().map(|&(_, used)| (used, 1)));
            program.at_most(format!("returns_{id}"), terms, 2 * most);
        }
    }
    returns
}

/// Devices up to which pairs are stated.
const PAIRS_MAX: usize = 8;

/// `C10b`: only walks that begin and end on the same of several devices.
fn only_returning(
    program: &mut Program,
    device_ids: &[&str],
    used: &PerDevice,
    first: &PerDevice,
    last: &PerDevice,
) {
    for (d, id) in device_ids.iter().enumerate() {
        let mut terms: Vec<(Var, i64)> = first[d].map(|v| (v, 1)).into_iter().collect();
        terms.extend(last[d].map(|v| (v, -1)));
        program.equal(format!("same_{id}"), terms, 0);
    }
    program.at_most("several".to_owned(), times(used, -1).collect(), -2);
}

/// `C11`: 1 when the chain's end lives on a device that does not host the neighbouring run.
fn away(
    program: &mut Program,
    what: &str,
    device_ids: &[&str],
    end: &PerDevice,
    run: &PerDevice,
) -> Vec<(Var, i64)> {
    let mut terms = Vec::new();
    for (d, id) in device_ids.iter().enumerate() {
        let Some(end) = end[d] else { continue };
        let away = program.continuous(format!("{what}_{id}"), Some(1));
        let mut row = vec![(end, 1), (away, -1)];
        row.extend(run[d].map(|run| (run, -1)));
        program.at_most(format!("{what}_{id}"), row, 0);
        terms.push((away, 1));
    }
    terms
}
