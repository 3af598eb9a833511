//! Adds the choices of all devices up to everything there is: a table over (devices done, what is placed).
//!
//! What is still to be placed is bounded from below by a coarser table, which knows how many homes are left
//! but not of which class. States and choices that cannot stay within the target by that are left out, and
//! that is nearly all of them.

use std::collections::BTreeMap;

use super::counts::{Choice, Walks};
use super::segments::Segments;

const NEVER: i64 = i64::MAX / 4;

/// What a table comes to.
pub(super) enum Tabled<'c> {
    /// The cost of placing everything, and the choices that do, device by device.
    Found(i64, Vec<&'c Choice>),
    /// Everything costs more than the target.
    Beyond,
    TooMuchWork,
}

/// How many homes, and which ends of the chain as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Coarse {
    ends: usize,
    homes: usize,
}

impl Coarse {
    fn of(segments: &Segments, state: usize) -> Self {
        let mut digits = segments.homes(state);
        let head = digits.pop().unwrap_or(0);
        let embedding = digits.pop().unwrap_or(0);
        let whole = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self { ends: whole(embedding + 2 * head), homes: whole(digits.iter().sum()) }
    }

    /// What is left when `part` is taken away; `None` when there is less.
    fn without(self, part: Self) -> Option<Self> {
        let there = self.ends & part.ends == part.ends;
        let homes = self.homes.checked_sub(part.homes).filter(|_| there)?;
        Some(Self { ends: self.ends & !part.ends, homes })
    }

    /// Its place among all with at most so many homes.
    fn index(self, most: usize) -> usize {
        self.ends * (most + 1) + self.homes
    }
}

/// Choices of one device that are alike to the coarser table, cheapest first.
struct Group<'c> {
    adds: Coarse,
    least: i64,
    choices: Vec<(usize, &'c Choice)>,
}

fn groups<'c>(segments: &Segments, choices: &'c [Choice]) -> Vec<Group<'c>> {
    let mut by: BTreeMap<Coarse, Vec<(usize, &Choice)>> = BTreeMap::new();
    for (index, choice) in choices.iter().enumerate() {
        by.entry(Coarse::of(segments, choice.step)).or_default().push((index, choice));
    }
    by.into_iter()
        .map(|(adds, mut choices)| {
            choices.sort_by_key(|(index, choice)| (choice.cost, *index));
            let least = choices.first().map_or(NEVER, |(_, choice)| choice.cost);
            Group { adds, least, choices }
        })
        .collect()
}

/// Per number of devices done, what is left costs at least this.
fn rests(devices: &[Vec<Group<'_>>], all: Coarse) -> Vec<Vec<i64>> {
    let size = Coarse { ends: 3, homes: all.homes }.index(all.homes) + 1;
    let mut nothing = vec![NEVER; size];
    nothing[0] = 0;
    let mut rests = vec![nothing];
    for groups in devices.iter().rev() {
        let mut here = vec![NEVER; size];
        for ends in 0..4 {
            for homes in 0..=all.homes {
                let left = Coarse { ends, homes };
                let least = groups.iter().filter_map(|group| {
                    let after = rests.last()?[left.without(group.adds)?.index(all.homes)];
                    (after < NEVER).then_some(group.least + after)
                });
                here[left.index(all.homes)] = least.min().unwrap_or(NEVER);
            }
        }
        rests.push(here);
    }
    rests.reverse();
    rests
}

/// The least cost of placing everything, as far as it is within `target`; `all` is the state in which
/// everything is placed, `work_max` how many steps from a state by a choice it may take.
pub(super) fn cheapest<'c>(
    segments: &Segments,
    all: usize,
    walks: Walks,
    choices: &'c [Vec<Choice>],
    target: i64,
    work_max: usize,
) -> Tabled<'c> {
    let devices: Vec<Vec<Group<'_>>> = choices.iter().map(|of| groups(segments, of)).collect();
    let everything = Coarse::of(segments, all);
    let rests = rests(&devices, everything);
    if rests[0][everything.index(everything.homes)] > target {
        return Tabled::Beyond;
    }
    let Some((reached, trail)) =
        forward(segments, everything, &devices, &rests, (target, work_max))
    else {
        return Tabled::TooMuchWork;
    };
    let states = segments.states();
    let once = (walks == Walks::Any).then_some(all);
    let goals = [Some(states + all), once].into_iter().flatten();
    let Some(goal) = goals.min_by_key(|&goal| reached[goal]) else { return Tabled::Beyond };
    if reached[goal] > target {
        return Tabled::Beyond;
    }
    Tabled::Found(reached[goal], taken(choices, &trail, goal))
}

/// Per device and state reached, the choice that led there and the state it came from.
type Trail = Vec<Vec<(u32, u32)>>;

/// The least cost of every state once all devices are done, and how it came about; `None` when that is too
/// much work.
fn forward(
    segments: &Segments,
    everything: Coarse,
    devices: &[Vec<Group<'_>>],
    rests: &[Vec<i64>],
    (target, work_max): (i64, usize),
) -> Option<(Vec<i64>, Trail)> {
    let states = segments.states();
    let coarse: Vec<Coarse> = (0..states).map(|state| Coarse::of(segments, state)).collect();
    let mut work = 0_usize;
    // A state is what is placed, twice: without and with some device that is come back to.
    let mut reached = vec![NEVER; 2 * states];
    reached[0] = 0;
    let mut trail: Trail = Vec::with_capacity(devices.len());
    for (groups, rest) in devices.iter().zip(rests.iter().skip(1)) {
        let mut next = vec![NEVER; 2 * states];
        let mut by = vec![(u32::MAX, 0); 2 * states];
        for (from, &so_far) in reached.iter().enumerate().filter(|(_, cost)| **cost < NEVER) {
            let (again, state) = (from / states, from % states);
            let Some(left) = everything.without(coarse[state]) else { continue };
            for group in groups {
                let Some(after) = left.without(group.adds) else { continue };
                let least = so_far.saturating_add(rest[after.index(everything.homes)]);
                work += 1;
                for &(index, choice) in &group.choices {
                    if least.saturating_add(choice.cost) > target {
                        break;
                    }
                    work += 1;
                    if !segments.fits(state, choice.step) {
                        continue;
                    }
                    let again = again | usize::from(choice.again);
                    let to = again * states + state + choice.step;
                    if so_far + choice.cost < next[to] {
                        next[to] = so_far + choice.cost;
                        by[to] = (small(index), small(from));
                    }
                }
            }
            if work > work_max {
                return None;
            }
        }
        reached = next;
        trail.push(by);
    }
    Some((reached, trail))
}

/// The choices that lead to `goal`.
fn taken<'c>(
    choices: &'c [Vec<Choice>],
    trail: &[Vec<(u32, u32)>],
    goal: usize,
) -> Vec<&'c Choice> {
    let mut at = goal;
    let mut taken = Vec::with_capacity(choices.len());
    for (of, by) in choices.iter().zip(trail).rev() {
        let (index, from) = by[at];
        taken.extend(of.get(usize::try_from(index).unwrap_or(usize::MAX)));
        at = usize::try_from(from).unwrap_or(0);
    }
    taken.reverse();
    taken
}

/// Numbers of states and choices are far below this.
fn small(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
