//! Counts of homes as a walk: which layers, so that every device has its counts in few runs.

use super::market::Market;

/// Steps of the search.
const STEPS_MAX: u32 = 30_000;

/// The homes of the layers in a walk with these per device, in as few runs as a short search finds; after
/// the homes of each class, `homes` says whether a device holds the embedding and the head.
pub(in crate::plan) fn arranged(market: &Market, homes: &[Vec<u64>]) -> Option<Vec<usize>> {
    let ends = (market.homes.len(), market.homes.len() + 1);
    let embedding = market.embedding.map(|_| ends.0);
    let layers = market.layers.iter().copied();
    let chain: Vec<usize> = embedding.into_iter().chain(layers).chain([ends.1]).collect();
    let fewest = homes.iter().filter(|counts| counts.iter().any(|&count| count > 0)).count();
    (fewest..=fewest + 3).find_map(|runs| {
        let left = homes.to_vec();
        let mut arranging = Arranging { chain: &chain, left, walk: Vec::new(), steps: 0 };
        let found = arranging.extend(runs);
        let from = usize::from(embedding.is_some());
        found.then(|| arranging.walk[from..from + market.layers.len()].to_vec())
    })
}

struct Arranging<'a> {
    chain: &'a [usize],
    left: Vec<Vec<u64>>,
    walk: Vec<usize>,
    steps: u32,
}

impl Arranging<'_> {
    /// Whether the rest can be walked in so many more runs.
    fn extend(&mut self, runs: usize) -> bool {
        let Some(&class) = self.chain.get(self.walk.len()) else { return true };
        self.steps += 1;
        let here = self.walk.last().copied();
        let still = |left: &Vec<u64>| left.iter().any(|&count| count > 0);
        // Every device that still has homes needs a run, but for the one whose run may go on.
        let waiting = self.left.iter().enumerate();
        let waiting = waiting.filter(|(d, left)| Some(*d) != here && still(left)).count();
        if waiting > runs || self.steps > STEPS_MAX {
            return false;
        }
        let stay = here.filter(|&d| self.left[d][class] > 0);
        let mut others: Vec<usize> =
            (0..self.left.len()).filter(|&d| Some(d) != here && self.left[d][class] > 0).collect();
        // Those that are nearly done last: they fit in later.
        others.sort_by_key(|&d| std::cmp::Reverse(self.left[d].iter().sum::<u64>()));
        let others = if runs > 0 { others } else { Vec::new() };
        for device in stay.into_iter().chain(others) {
            let spent = usize::from(Some(device) != here);
            self.left[device][class] -= 1;
            self.walk.push(device);
            if self.extend(runs - spent) {
                return true;
            }
            self.walk.pop();
            self.left[device][class] += 1;
        }
        false
    }
}
