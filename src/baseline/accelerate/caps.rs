//! `get_balanced_memory`: how much of each GPU accelerate lets itself use.

use super::Module;

/// How much memory may be used where, in bytes; disk is unbounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxMemory {
    /// Per GPU, in order.
    pub gpus: Vec<u64>,
    /// Host memory; `None` when it is not offered at all.
    pub cpu: Option<u64>,
}

/// Caps every GPU but the last at an even share of the model plus a margin: 1.25 times the larger of the
/// unsplit block and the mean final module. GPUs of zero bytes are not counted.
pub fn balanced_caps(modules: &[Module], given: &MaxMemory) -> MaxMemory {
    let total: u128 = modules.iter().map(|m| u128::from(m.bytes)).sum();
    let leaves: u128 = modules.iter().map(|m| u128::from(m.leaves)).sum();
    let present: Vec<usize> = (0..given.gpus.len()).filter(|&gpu| given.gpus[gpu] > 0).collect();
    let Some((_last, capped)) = present.split_last() else { return given.clone() };
    let share = total / present.len() as u128;
    // The block is the first one found, not the largest: the class is sized once.
    let block = modules.iter().find_map(first_unsplit).unwrap_or(0);
    let margin = u128::from(block).max(total / leaves.max(1)) * 5 / 4;
    let cap = u64::try_from(share + margin).unwrap_or(u64::MAX);
    let mut caps = given.clone();
    for &gpu in capped {
        caps.gpus[gpu] = caps.gpus[gpu].min(cap);
    }
    caps
}

fn first_unsplit(module: &Module) -> Option<u64> {
    if module.no_split {
        return Some(module.bytes);
    }
    module.children.iter().find_map(first_unsplit)
}
