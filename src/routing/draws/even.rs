//! How many experts a batch visits when every set of `k` is as likely as any other.
//!
//! Given their number, every set of visited experts is then as likely as any other, so that the sizes
//! and their weights say all. When `m` of `E` experts are visited, the next token brings `j` new ones with
//! the hypergeometric probability
//!
//! ```text
//! P(j) = C(E - m, j) C(m, k - j) / C(E, k)
//! ```
//!
//! Probabilities are fixed-point numbers of 62 bits. What rounding leaves goes to the likeliest `j`, so
//! that they sum to one. As soon as all but one part in 2^40 visits all experts, so does any larger batch.

use crate::problem::Draw;

/// One as a fixed-point number.
const ONE: u64 = 1 << 62;

/// Weights are these of [`ONE`].
const WEIGHT_SHIFT: u32 = 30;

/// What a step of `batch` tokens visits when every expert is as likely as any other.
///
/// Weights sum to about 2^32; sizes that round to no weight are left out.
pub(crate) fn uniform(experts: u32, per_token: u32, batch: u64) -> Draw {
    let per_token = per_token.min(experts);
    if experts == 0 {
        return Draw::Even(Vec::new());
    }
    if batch <= 1 {
        return Draw::Even(vec![(per_token, 1)]);
    }
    let rounded = |chance: u64| (chance + (1 << (WEIGHT_SHIFT - 1))) >> WEIGHT_SHIFT;
    let sizes = sizes(experts, per_token, batch).into_iter().zip(0..);
    let weights = sizes.map(|(chance, size)| (size, rounded(chance)));
    Draw::Even(weights.filter(|&(_, weight)| weight > 0).collect())
}

/// The probability of each number of visited experts, none to all.
fn sizes(experts: u32, per_token: u32, batch: u64) -> Vec<u64> {
    let all = usize::try_from(experts).unwrap_or(0);
    let mut chances = vec![0; all + 1];
    chances[usize::try_from(per_token).unwrap_or(0)] = ONE;
    // How the next token falls, by how many are visited; made when it is needed.
    let mut falls: Vec<Option<Vec<u64>>> = vec![None; all + 1];
    for _ in 1..batch {
        if chances[all] >= ONE - (ONE >> 40) || per_token == 0 {
            break;
        }
        let mut next = vec![0_u64; all + 1];
        for (visited, &chance) in chances.iter().enumerate().filter(|(_, chance)| **chance > 0) {
            let fall = falls[visited].get_or_insert_with(|| {
                new_ones(experts, u32::try_from(visited).unwrap_or(u32::MAX), per_token)
            });
            spread(chance, fall, &mut next[visited..]);
        }
        chances = next;
    }
    chances
}

/// Divides `chance` as `shares` say; the rest goes to the largest share.
fn spread(chance: u64, shares: &[u64], next: &mut [u64]) {
    let mut left = chance;
    let mut likeliest = 0;
    for (index, &share) in shares.iter().enumerate() {
        let part = times(chance, share);
        left -= part;
        if let Some(sum) = next.get_mut(index) {
            *sum += part;
        }
        likeliest = if share > shares[likeliest] { index } else { likeliest };
    }
    if let Some(sum) = next.get_mut(likeliest) {
        *sum += left;
    }
}

/// The probabilities that a token brings none, one, two, ... new experts; they sum to at most one.
///
/// From the likeliest number outwards by the ratio of neighbours, then scaled.
fn new_ones(experts: u32, visited: u32, per_token: u32) -> Vec<u64> {
    let (fresh, visited, k) =
        (u64::from(experts - visited), u64::from(visited), u64::from(per_token));
    let (least, most) = (k.saturating_sub(visited), k.min(fresh));
    // P(j + 1) / P(j)
    let ratio = |j: u64| ((fresh - j) * (k - j), (j + 1) * (visited + j + 1 - k));
    let middle = (least..most).find(|&j| ratio(j).0 <= ratio(j).1).unwrap_or(most);
    let scaled = |chance: u64, part: u64, whole: u64| {
        let scaled = u128::from(chance) * u128::from(part) / u128::from(whole.max(1));
        u64::try_from(scaled).unwrap_or(ONE).min(ONE)
    };
    let mut up = vec![ONE];
    for j in middle..most {
        up.push(scaled(up[up.len() - 1], ratio(j).0, ratio(j).1));
    }
    let mut chances = vec![ONE];
    for j in (least..middle).rev() {
        chances.push(scaled(chances[chances.len() - 1], ratio(j).1, ratio(j).0));
    }
    chances.reverse();
    chances.extend(&up[1..]);
    let sum: u128 = chances.iter().map(|&chance| u128::from(chance)).sum();
    let none = (0..least).map(|_| 0);
    let shares = chances.iter().map(|&chance| {
        u64::try_from(u128::from(chance) * u128::from(ONE) / sum.max(1)).unwrap_or(ONE)
    });
    none.chain(shares).collect()
}

fn times(a: u64, b: u64) -> u64 {
    u64::try_from((u128::from(a) * u128::from(b)) >> 62).unwrap_or(u64::MAX)
}
