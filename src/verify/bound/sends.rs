//! The least that experts away from home can cost where a token is sent once per device.
//!
//! A token visits `k` of a layer's `E` experts. If `n` of them are on a device that is not their home, it is
//! sent there and back with the chance that at least one of the `n` is chosen, `1 - C(E-n,k) / C(E,k)`.
//! In units of one over the denominator `D`, rounded up, that is `D - floor(D C(E-n,k) / C(E,k))`.

use super::refuse;
use crate::error::Error;
use crate::model::ComponentId;

/// Experts of a layer beyond this are refused, so that no number of a hostile problem runs for long.
const EXPERTS_MAX: u32 = 1 << 16;

/// Units of traffic, there and back, for `n` experts of a layer together on a device away from their home,
/// for each `n` up to `most`.
///
/// The quotient of binomials is a product of `k` fractions. It is kept as a multiple of `1 / 2^s` and every
/// step is rounded up, so what is subtracted from `D` is never too small: each figure is at most the exact
/// one, and is the exact one unless the exact quotient lies within `k / 2^s` below an integer.
pub(super) fn sends(
    (experts, chosen): (u32, u32),
    denominator: u64,
    most: i64,
) -> Result<Vec<i128>, Error> {
    if experts > EXPERTS_MAX || chosen > experts {
        return refuse(
            "more experts of a layer than can be counted",
            ComponentId::Expert(0, experts),
        );
    }
    let (all, denominator) = (i128::from(experts), i128::from(denominator));
    let mut fraction_bits = 0;
    while denominator << fraction_bits < 1 << 96 {
        fraction_bits += 1;
    }
    let both_ways = |n: i64| {
        let mut missed = denominator << fraction_bits;
        for i in 0..i128::from(chosen) {
            let left = (all - i128::from(n) - i).max(0);
            missed = (missed * left + all - i - 1) / (all - i);
        }
        2 * (denominator - (missed >> fraction_bits))
    };
    Ok((0..=most).map(both_ways).collect())
}

/// The least units for `r` experts of alike layers on a device that is home to none of these layers,
/// for each `r` up to `most`, when a layer has `per_layer` of them at most: they come from some layers, so
/// many from each, and every way to split `r` is tried. (The chance is concave in `n`, so filling whole
/// layers is cheapest; rounding to units can turn that by a unit, which this takes as it is.)
pub(super) fn gathered(sends: &[i128], most: i64, per_layer: i64) -> Vec<i128> {
    let per_layer = usize::try_from(per_layer).unwrap_or(0).min(sends.len().saturating_sub(1));
    let mut least = vec![0];
    for r in 1..=usize::try_from(most).unwrap_or(0) {
        let split = (1..=per_layer.min(r)).map(|n| sends[n] + least[r - n]);
        least.push(split.min().unwrap_or(0));
    }
    least
}

/// What each of `per_layer` experts costs at least, whatever keeps it company; rounded down.
pub(super) fn cheapest_each(sends: &[i128], per_layer: i64) -> i128 {
    let most = usize::try_from(per_layer).unwrap_or(0).min(sends.len().saturating_sub(1));
    (1..=most).zip(1..).map(|(n, parts): (usize, i128)| sends[n] / parts).min().unwrap_or(0)
}
