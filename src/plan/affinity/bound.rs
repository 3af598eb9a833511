//! Bounds that take no search: what evenly divided experts must lose, and what they must weigh.

use super::chain::Chain;
use super::rooms::Rooms;
use crate::problem::Problem;
use crate::units::Ratio;

/// Pairs that are apart in every arrangement.
///
/// An expert shares its device with at most `ceil(E / D)` experts of the next layer, so all but its largest
/// `ceil(E / D)` counts are apart; the same holds for an expert and the layer before. Per pair of layers the
/// larger of the two sums counts, and pairs of layers add up.
pub(super) fn crossing(chain: &Chain) -> u64 {
    let between = |(l, counts): (usize, &Vec<Vec<u64>>)| {
        let rows: u64 = counts.iter().map(|row| apart(row.clone(), chain.layers[l + 1].most)).sum();
        let column = |e: usize| counts.iter().map(|row| row[e]).collect();
        let columns = 0..chain.layers[l + 1].len();
        let columns: u64 = columns.map(|e| apart(column(e), chain.layers[l].most)).sum();
        rows.max(columns)
    };
    chain.pairs.iter().enumerate().map(between).sum()
}

/// All but the largest so many.
fn apart(mut counts: Vec<u64>, most: usize) -> u64 {
    counts.sort_unstable();
    counts[..counts.len().saturating_sub(most)].iter().sum()
}

/// No peak is below this: what some device requires at least, and what all together require.
pub(super) fn peak(problem: &Problem, chain: &Chain, rooms: &Rooms) -> Ratio {
    let capacities = problem.devices.iter().map(|device| device.capacity_bytes);
    let alone = rooms.range(chain).into_iter().zip(capacities.clone());
    let alone = alone.map(|([least, _], capacity)| Ratio::new(least, capacity));
    let together = Ratio::new(rooms.total(chain), capacities.sum());
    alone.max().unwrap_or(Ratio::ZERO).max(together)
}
