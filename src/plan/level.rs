//! The peak by prices: the interval in which it lies is halved, by asking whether everything fits below.

use super::caps::Caps;
use super::formulation::counts::CountSolution;
use super::price::{self, Market, Room, Shares};
use super::search::{Search, StageAnswer};
use super::solver::Backend;
use super::value::{self, PEAK_GRID};
use crate::error::Error;
use crate::problem::{DeviceSet, ObjectiveKind, ObjectiveValue};
use crate::units::Ratio;

const KIND: ObjectiveKind = ObjectiveKind::PeakUtilization;

/// The interval is halved until it is this part of the peak: a tenth of what may stay open.
const PARTS: u64 = 100_000;

/// The first step below a peak is this part of it: within what may stay open.
const STEPS: u64 = 20_000;

/// Shares per question that are tried as placements.
const TRIED_MAX: usize = 3;

/// Where the peak is, on the grid of bounds.
#[derive(Clone, Copy, Debug)]
struct Interval {
    /// Nothing is at or below this.
    proven: u64,
    /// Nothing better than this is known.
    open: u64,
}

fn on_grid(peak: f64) -> u64 {
    value::floor(peak * 1e9)
}

impl<B: Backend> Search<'_, B> {
    /// Raises the bound of a peak that was found, and lowers the peak where the shares that prices suggest are good for it.
    pub(super) fn level(&mut self, caps: &Caps, answer: &mut StageAnswer) -> Result<(), Error> {
        let known = answer.best.as_ref().map_or(1.0, |best| best.cost.peak.as_f64());
        let mut interval =
            Interval { proven: on_grid(answer.bound.as_f64()), open: on_grid(known) + 1 };
        // Near the peak first, where the proof usually is; then further down, then between.
        let mut step = interval.open / STEPS;
        let mut lacking = false;
        while interval.open.saturating_sub(interval.proven) > interval.open / PARTS
            && !self.closed(KIND, answer)
            && !self.out_of_time()
        {
            let Interval { proven, open } = interval;
            let below = open.saturating_sub(step).max(proven + 1);
            let middle = if lacking { proven.midpoint(open) } else { below };
            step = step.saturating_mul(2);
            match self.fits_below(caps, middle, answer)? {
                // Too much to ask so near; further down less is left over.
                None => interval.open = middle,
                Some(false) => {
                    (interval.proven, lacking) = (middle, true);
                    answer.bound = answer.bound.max(level(middle));
                }
                Some(true) => {
                    let best =
                        answer.best.as_ref().map(|best| on_grid(best.cost.peak.as_f64()) + 1);
                    interval.open = middle.min(best.unwrap_or(middle));
                }
            }
        }
        Ok(())
    }

    /// Whether everything may fit below a level, and if so what of it does; `None` when that is too much to
    /// ask.
    fn fits_below(
        &mut self,
        caps: &Caps,
        at: u64,
        answer: &mut StageAnswer,
    ) -> Result<Option<bool>, Error> {
        let mut held = caps.clone();
        held.hold(self.problem, KIND, level(at));
        let market = price::in_room(self.problem, self.classes, &held);
        for rounds in [1, price::ROOM_ROUNDS_MAX] {
            let mut shares = match price::room(self, &market, rounds)? {
                None => return Ok(None),
                Some(Room::Lacking(_)) => return Ok(Some(false)),
                Some(Room::Open(shares)) => shares,
            };
            shares.sort_by_key(|shares| shares.amiss_bytes(&market));
            for shares in shares.iter().take(TRIED_MAX) {
                if let Some(solution) = self.shared_out(&held, &market, shares) {
                    self.arrange(KIND, caps, &solution, &mut answer.best);
                    self.balance(caps, &solution, level(at), &mut answer.best);
                }
            }
            if answer.best.as_ref().is_some_and(|best| best.cost.within(&held)) {
                break;
            }
        }
        Ok(Some(true))
    }

    /// Shares as counts that add up: what is too much goes from where room is least, what is missing to where
    /// it is most, the largest first.
    fn shared_out(&self, caps: &Caps, market: &Market, shares: &Shares) -> Option<CountSolution> {
        let ends = market.homes.len();
        let holder = |end: usize| shares.homes.iter().position(|of| of[end] > 0);
        let head = holder(ends + 1)?;
        let devices = 0..shares.homes.len();
        let mut free: Vec<i128> = devices
            .map(|d| {
                let limit = i128::from(caps.device_bytes[d]);
                limit - i128::from(self.problem.devices[d].reserve_bytes) - shares.bytes(market, d)
            })
            .collect();
        let by_class = |of: &dyn Fn(&Vec<u64>) -> u64, all: &[Vec<u64>]| -> Vec<usize> {
            all.iter().map(|shares| count(of(shares))).collect()
        };
        let homes = (0..ends).map(|c| by_class(&|of| of[c], &shares.homes)).collect();
        let items = 0..market.items.len();
        let mut counts: Vec<Vec<usize>> =
            items.clone().map(|j| by_class(&|of| of[j], &shares.items)).collect();
        for j in items.clone() {
            let item = &market.items[j];
            take_surplus(&mut counts[j], &mut free, count(item.total), item.profile.bytes())?;
        }
        let mut largest_first: Vec<usize> = items.clone().collect();
        largest_first.sort_by_key(|&j| std::cmp::Reverse(market.items[j].profile.bytes()));
        for j in largest_first {
            let (item, profile) = (&market.items[j], &market.items[j].profile);
            let allowed = profile.allowed;
            add_missing(&mut counts[j], &mut free, count(item.total), profile.bytes(), allowed)?;
        }
        let mut of_classes = vec![Vec::new(); ends];
        market
            .items
            .iter()
            .zip(counts)
            .for_each(|(item, counts)| of_classes[item.home].push(counts));
        let embedding = holder(ends).unwrap_or(head);
        Some(CountSolution { embedding, head, homes, items: of_classes })
    }
}

fn level(at: u64) -> ObjectiveValue {
    ObjectiveValue::Ratio(Ratio::new(at, PEAK_GRID))
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Takes away until there are no more than `total`; `free` is what devices have left.
fn take_surplus(counts: &mut [usize], free: &mut [i128], total: usize, bytes: u64) -> Option<()> {
    for _ in total..counts.iter().sum() {
        let some = (0..counts.len()).filter(|&d| counts[d] > 0);
        let fullest = some.min_by_key(|&d| (free[d], d))?;
        counts[fullest] -= 1;
        free[fullest] += i128::from(bytes);
    }
    Some(())
}

/// Adds until there are `total`; `None` when no device may hold one.
fn add_missing(
    counts: &mut [usize],
    free: &mut [i128],
    total: usize,
    bytes: u64,
    allowed: DeviceSet,
) -> Option<()> {
    for _ in counts.iter().sum()..total {
        let may = (0..counts.len()).filter(|&d| allowed.contains(d));
        let emptiest = may.max_by_key(|&d| (free[d], std::cmp::Reverse(d)))?;
        counts[emptiest] += 1;
        free[emptiest] -= i128::from(bytes);
    }
    Some(())
}
