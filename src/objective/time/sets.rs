//! The expectation over listed sets of experts.

use super::layer::{Busy, Piece, together};
use crate::runtime::LayerDevices;

/// The weighted mean over the sets, rounded to the nearest picosecond.
pub(super) fn expected_ps(
    sets: &[(Vec<u32>, u64)],
    devices: LayerDevices,
    busy: &[(Busy<'_>, &Piece)],
) -> u64 {
    let total: u128 = sets.iter().map(|&(_, weight)| u128::from(weight)).sum();
    let of_set = |set: &[u32]| {
        let times = busy.iter().map(|(busy, piece)| {
            let chosen =
                piece.experts.iter().filter(|(number, _)| set.binary_search(number).is_ok());
            busy.with_experts(chosen.map(|&(_, index)| index))
        });
        together(devices, times)
    };
    if total == 0 {
        return of_set(&[]);
    }
    let weighted = sets.iter().map(|(set, weight)| u128::from(*weight) * u128::from(of_set(set)));
    let sum = weighted.fold(0, u128::saturating_add);
    u64::try_from(sum.saturating_add(total / 2) / total).unwrap_or(u64::MAX)
}
