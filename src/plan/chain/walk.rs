//! All other sequences of homes: those that come back to a device.
//!
//! A depth-first walk over runs, cut where hand-overs and what cannot stay already cost too much. It is
//! complete on small problems and where a hand-over is dear; otherwise its budget ends it.

use super::Chain;
use super::pressure::Burden;
use crate::error::Error;
use crate::plan::solver::Backend;

/// Runs tried before the walk gives up.
const STEPS_MAX: usize = 200_000;

struct Walk {
    homes: Vec<usize>,
    /// Per device: what its layers so far bring.
    burdens: Vec<Burden>,
    /// Per device: the traffic that causes.
    units: Vec<u64>,
    /// Per device: its runs so far.
    runs: Vec<usize>,
    changes: u64,
    comes_back: bool,
    steps: usize,
}

/// True when every sequence that could matter was solved.
pub(super) fn enumerate<B: Backend>(chain: &mut Chain<'_, '_, B>) -> Result<bool, Error> {
    let devices = chain.pressure.devices();
    let mut walk = Walk {
        homes: Vec::new(),
        burdens: vec![Burden::default(); devices],
        units: vec![0; devices],
        runs: vec![0; devices],
        changes: 0,
        comes_back: false,
        steps: 0,
    };
    extend(chain, &mut walk)
}

fn extend<B: Backend>(chain: &mut Chain<'_, '_, B>, walk: &mut Walk) -> Result<bool, Error> {
    let done = walk.homes.len();
    if done == chain.pressure.layers {
        let last = walk.homes.last().copied().unwrap_or(0);
        let bound = bound_units(chain, walk, last, done);
        return Ok(!walk.comes_back || (chain.leaf(&walk.homes, bound)? && !chain.closed()));
    }
    for device in 0..chain.pressure.devices() {
        let unused = walk.runs[device] == 0;
        let twin = chain.pressure.twin(device);
        let twin_unused = twin.is_some_and(|twin| walk.runs[twin] == 0);
        let homes = walk.runs.iter().filter(|&&runs| runs > 0).count();
        let full = u32::try_from(homes).is_ok_and(|homes| homes >= chain.pressure.homes_most);
        if walk.homes.last() == Some(&device) || (unused && (twin_unused || full)) {
            continue;
        }
        if !extend_on(chain, walk, device, !unused)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tries every run on `device` that starts here.
fn extend_on<B: Backend>(
    chain: &mut Chain<'_, '_, B>,
    walk: &mut Walk,
    device: usize,
    again: bool,
) -> Result<bool, Error> {
    let done = walk.homes.len();
    let before = (walk.burdens[device], walk.units[device], walk.changes, walk.comes_back);
    walk.changes += u64::from(done > 0);
    walk.runs[device] += 1;
    walk.comes_back |= again;
    let mut go_on = true;
    for end in done + 1..=chain.pressure.layers {
        walk.steps += 1;
        if walk.steps > STEPS_MAX {
            go_on = false;
            break;
        }
        if !chain.pressure.may_host(device, end - 1) {
            break;
        }
        let burden = before.0.plus(chain.pressure.burden(device, done, end));
        let Some(units) = chain.pressure.units(device, &burden) else { break };
        walk.burdens[device] = burden;
        walk.units[device] = units;
        if bound_units(chain, walk, device, end) > chain.traffic_max() {
            // A longer run costs no less: only the walk's end could still differ, and it only adds.
            break;
        }
        if end < chain.pressure.layers && hopeless(chain, walk, device, end) {
            continue;
        }
        walk.homes.resize(end, device);
        go_on = extend(chain, walk)?;
        walk.homes.truncate(done);
        if !go_on {
            break;
        }
    }
    (walk.burdens[device], walk.units[device], walk.changes, walk.comes_back) = before;
    walk.runs[device] -= 1;
    Ok(go_on)
}

/// Whether more devices are left too empty than there are changes left to get to them.
fn hopeless<B: Backend>(chain: &Chain<'_, '_, B>, walk: &Walk, device: usize, end: usize) -> bool {
    let pressure = &chain.pressure;
    let left = chain.traffic_max() - bound_units(chain, walk, device, end);
    // Items that are known to be remote are so within their units; what is left may add to them.
    let remote_units = left + walk.units.iter().sum::<u64>();
    pressure.underfilled(&walk.burdens, remote_units) > left / pressure.hand_over_units
}

/// The least that any completion of the walk costs.
fn bound_units<B: Backend>(
    chain: &Chain<'_, '_, B>,
    walk: &Walk,
    device: usize,
    end: usize,
) -> u64 {
    let pressure = &chain.pressure;
    let first = walk.homes.first().copied().unwrap_or(device);
    let tail = if end == pressure.layers { pressure.end_units(first, device) } else { 0 };
    walk.units.iter().sum::<u64>()
        + walk.changes * pressure.hand_over_units
        + pressure.start_units(first)
        + tail
}
