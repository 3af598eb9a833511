//! A peak, or what is spilled, by prices: the interval in which it lies is halved, by asking whether
//! everything fits below.

use super::caps::Caps;
use super::classes::Profile;
use super::formulation::counts::CountSolution;
use super::price::{self, Market, Room, Shares};
use super::search::{Candidate, Search, StageAnswer};
use super::solver::Backend;
use super::value::{self, PEAK_GRID};
use crate::error::Error;
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::units::Ratio;

/// The interval of a peak is halved until it is this part of it: a tenth of what may stay open.
const PARTS: u64 = 100_000;

/// The first step below what is known is this part of it: of a peak, within what may stay open.
const STEPS: u64 = 20_000;

/// Questions per stage.
const QUESTIONS_MAX: u32 = 60;

/// Shares per question that are tried as placements.
const TRIED_MAX: usize = 3;

/// What is measured in whole levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// A level is a billionth of a capacity.
    Peak,
    /// A level is a byte.
    Spill,
}

impl Scale {
    /// `None` where no level limits what a device may hold.
    pub(super) fn of(kind: ObjectiveKind) -> Option<Self> {
        match kind {
            ObjectiveKind::PeakUtilization => Some(Self::Peak),
            ObjectiveKind::SpillBytes => Some(Self::Spill),
            _ => None,
        }
    }

    fn kind(self) -> ObjectiveKind {
        match self {
            Self::Peak => ObjectiveKind::PeakUtilization,
            Self::Spill => ObjectiveKind::SpillBytes,
        }
    }

    fn value(self, level: u64) -> ObjectiveValue {
        match self {
            Self::Peak => ObjectiveValue::Ratio(Ratio::new(level, PEAK_GRID)),
            Self::Spill => ObjectiveValue::Bytes(level),
        }
    }

    /// The lowest level that is not below a value.
    fn level(value: ObjectiveValue) -> u64 {
        match value {
            ObjectiveValue::Ratio(share) => value::floor(share.as_f64() * 1e9) + 1,
            ObjectiveValue::Bytes(whole)
            | ObjectiveValue::Count(whole)
            | ObjectiveValue::Time(whole) => whole,
        }
    }

    /// What is proven where nothing is at or below a level.
    fn bound(self, lacking: u64) -> ObjectiveValue {
        match self {
            Self::Peak => self.value(lacking),
            Self::Spill => self.value(lacking.saturating_add(1)),
        }
    }

    /// How near levels are told apart.
    fn step(self, level: u64) -> u64 {
        match self {
            Self::Peak => (level / PARTS).max(1),
            Self::Spill => 1,
        }
    }
}

impl<B: Backend> Search<'_, B> {
    /// Raises the bound of a stage that something was found for, and improves that where the shares that
    /// prices suggest are good for it.
    pub(super) fn level(
        &mut self,
        scale: Scale,
        caps: &Caps,
        answer: &mut StageAnswer,
    ) -> Result<(), Error> {
        let Some(known) = self.known_level(scale, answer.best.as_ref()) else { return Ok(()) };
        // Nothing is at or below the one, nothing better than the other is known.
        let (mut proven, mut open) = (Scale::level(answer.bound).saturating_sub(1), known);
        // Near what is known first, where the proof usually is; then further down, then between.
        let mut step = (open / STEPS).max(1);
        let mut lacking = false;
        for _ in 0..QUESTIONS_MAX {
            let near = open.saturating_sub(proven) <= scale.step(open);
            if near || self.closed(scale.kind(), answer) || self.out_of_time() {
                break;
            }
            let below = open.saturating_sub(step).max(proven + 1);
            let middle = if lacking { proven.midpoint(open) } else { below };
            step = step.saturating_mul(2);
            match self.fits_below(scale, caps, middle, answer)? {
                // Too much to ask so near; further down less is left over.
                None => open = middle,
                Some(false) => {
                    (proven, lacking) = (middle, true);
                    answer.bound = answer.bound.max(scale.bound(middle));
                }
                Some(true) => {
                    let known = self.known_level(scale, answer.best.as_ref());
                    open = middle.min(known.unwrap_or(middle));
                }
            }
        }
        Ok(())
    }

    fn known_level(&self, scale: Scale, best: Option<&Candidate>) -> Option<u64> {
        best.map(|best| Scale::level(value::of(self.problem, &best.cost, scale.kind())))
    }

    /// Whether everything may fit below a level, and if so what of it does; `None` when that is too much to
    /// ask.
    fn fits_below(
        &mut self,
        scale: Scale,
        caps: &Caps,
        level: u64,
        answer: &mut StageAnswer,
    ) -> Result<Option<bool>, Error> {
        let mut held = caps.clone();
        held.hold(self.problem, scale.kind(), scale.value(level));
        let market = price::in_room(self.problem, self.classes, &held);
        for rounds in [1, price::ROOM_ROUNDS_MAX] {
            let mut shares = match price::room(self, &market, rounds)? {
                None => return Ok(None),
                Some(Room::Lacking(_)) => return Ok(Some(false)),
                Some(Room::Open(shares)) => shares,
            };
            shares.sort_by_key(|shares| shares.amiss_bytes(&market));
            for shares in shares.iter().take(TRIED_MAX) {
                if let Some(solution) = self.shared_out(scale, &held, &market, shares) {
                    self.arrange(scale.kind(), caps, &solution, &mut answer.best);
                    match scale {
                        Scale::Peak => {
                            let target = scale.value(level);
                            self.balance(caps, &solution, target, &mut answer.best);
                        }
                        Scale::Spill => self.top_up(caps, &solution, &mut answer.best),
                    }
                }
            }
            if answer.best.as_ref().is_some_and(|best| best.cost.within(&held)) {
                break;
            }
        }
        Ok(Some(true))
    }

    /// Shares as counts that add up: what is too much goes from where room is least, what is missing to where
    /// it is most, the largest first; or both on the host, where that is what is minimised.
    fn shared_out(
        &self,
        scale: Scale,
        caps: &Caps,
        market: &Market,
        shares: &Shares,
    ) -> Option<CountSolution> {
        let ends = market.homes.len();
        let holder = |end: usize| shares.homes.iter().position(|of| of[end] > 0);
        let head = holder(ends + 1)?;
        let cpus: Vec<usize> = self.problem.cpus().collect();
        let sink = cpus.first().copied().filter(|_| scale == Scale::Spill);
        let devices = 0..shares.homes.len();
        let mut free: Vec<i128> = devices
            .map(|d| {
                let reserve_bytes = self.problem.devices[d].reserve_bytes;
                let limit = i128::from(caps.device_bytes[d]) - i128::from(reserve_bytes);
                let spilled = caps.most(ObjectiveKind::SpillBytes).filter(|_| cpus.contains(&d));
                limit.min(spilled.map_or(limit, i128::from)) - shares.bytes(market, d)
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
            let bytes = item.profile.bytes();
            take_surplus(&mut counts[j], &mut free, count(item.total), bytes, sink)?;
        }
        let mut largest_first: Vec<usize> = items.clone().collect();
        largest_first.sort_by_key(|&j| std::cmp::Reverse(market.items[j].profile.bytes()));
        for j in largest_first {
            let (total, profile) = (count(market.items[j].total), &market.items[j].profile);
            add_missing(&mut counts[j], &mut free, total, profile, sink)?;
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

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Takes away until there are no more than `total`; `free` is what devices have left.
fn take_surplus(
    counts: &mut [usize],
    free: &mut [i128],
    total: usize,
    bytes: u64,
    sink: Option<usize>,
) -> Option<()> {
    for _ in total..counts.iter().sum() {
        let some = (0..counts.len()).filter(|&d| counts[d] > 0);
        let fullest = some.min_by_key(|&d| (Some(d) != sink, free[d], d))?;
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
    profile: &Profile,
    sink: Option<usize>,
) -> Option<()> {
    for _ in counts.iter().sum()..total {
        let may = (0..counts.len()).filter(|&d| profile.allowed.contains(d));
        let emptiest = may.max_by_key(|&d| (Some(d) == sink, free[d], std::cmp::Reverse(d)))?;
        counts[emptiest] += 1;
        free[emptiest] -= i128::from(profile.bytes());
    }
    Some(())
}
