//! Constraints that cannot all hold, none of them superfluous.
//!
//! A deletion filter: constraints are relaxed one after the other and stay relaxed where what is left is
//! proven infeasible all the same. Relaxing more never takes a placement away, so whole blocks are tried
//! before their halves, with the same result as one by one.
//!
//! *Relaxed* means: a rule is not there; there is no limit on devices; a device need leave nothing free; a
//! device has room for everything, and then leaves free whatever is asked. The reserve is part of the
//! capacity it is subtracted from.
//!
//! *Order.* There may be several such sets. What is relaxed first is named last, so wishes go first: the
//! user's rules in their order, the limit on devices, headroom, the default pins, what the runtime keeps
//! where; then capacities, from the last device on. A wish is therefore named only when there would be a
//! placement without any such wish and those before it; when memory alone is short, only capacities are.

use super::super::classes::Classes;
use super::super::outcome::{Conflict, Member};
use super::super::search::Search;
use super::super::solver::Backend;
use super::{glance, placement_exists};
use crate::error::Error;
use crate::problem::Problem;

/// One question may spend this part of the nodes that all of them together may.
const QUESTION_SHARE: u64 = 8;

/// The conflict of a problem known to be infeasible.
pub(super) fn conflict<B: Backend>(search: &Search<'_, B>) -> Result<Conflict, Error> {
    let problem = search.problem;
    let (wishes, capacities) = (wishes(problem), capacities(problem));
    let kept = wishes.iter().chain(&capacities).copied().collect();
    let mut filter = Filter { search, kept, doubted: Vec::new(), nodes_left: search.node_limit };
    filter.reduce(&wishes)?;
    filter.reduce(&capacities)?;
    filter.finish()
}

/// In the order in which they are relaxed.
fn wishes(problem: &Problem) -> Vec<Member> {
    let devices = problem.devices.len();
    let rules = |default: bool, fixed: bool| {
        let all = problem.rules.iter().enumerate();
        let these = all.filter(move |(_, rule)| (rule.default, rule.fixed) == (default, fixed));
        these.map(|(index, _)| Member::Rule(index))
    };
    let limit = problem.devices_max.filter(|&most| most < devices).map(|_| Member::DevicesMax);
    let headroom = |&device: &usize| problem.headroom_bytes.get(device).is_some_and(|&h| h > 0);
    rules(false, false)
        .chain(limit)
        .chain((0..devices).rev().filter(headroom).map(Member::Headroom))
        .chain(rules(true, false))
        .chain(rules(false, true))
        .chain(rules(true, true))
        .collect()
}

fn capacities(problem: &Problem) -> Vec<Member> {
    (0..problem.devices.len()).rev().map(Member::Capacity).collect()
}

/// The problem with only these of its constraints.
pub(in crate::plan) fn relaxed(problem: &Problem, kept: &[Member]) -> Problem {
    let holds = |member: Member| kept.contains(&member);
    let rules: Vec<usize> =
        (0..problem.rules.len()).filter(|&rule| holds(Member::Rule(rule))).collect();
    let everything_bytes = everything_bytes(problem);
    let mut relaxed = problem.with_rules(&rules);
    relaxed.devices_max = problem.devices_max.filter(|_| holds(Member::DevicesMax));
    for (device, headroom) in relaxed.headroom_bytes.iter_mut().enumerate() {
        if !holds(Member::Headroom(device)) || !holds(Member::Capacity(device)) {
            *headroom = 0;
        }
    }
    for (index, device) in relaxed.devices.iter_mut().enumerate() {
        if !holds(Member::Capacity(index)) {
            let enough = everything_bytes.saturating_add(device.reserve_bytes);
            device.capacity_bytes = device.capacity_bytes.max(enough);
        }
    }
    relaxed
}

/// What all components together need on one device.
fn everything_bytes(problem: &Problem) -> u64 {
    let demands = problem.components.iter().map(|c| &c.demand).chain(&problem.everywhere);
    let bytes = demands.map(|d| {
        [d.weights_bytes, d.rounding_bytes, d.kv_cache_bytes, d.staging_bytes].iter().sum::<u64>()
    });
    let once = problem.workspace.kinds().into_iter().chain([problem.host_staging_bytes]);
    bytes.chain(once).sum()
}

/// The constraints that are still in force, and what deciding may still cost.
struct Filter<'a, 'b, B> {
    search: &'a Search<'b, B>,
    kept: Vec<Member>,
    /// Kept because it was not known what happens without them, and how many were kept then.
    doubted: Vec<(Member, usize)>,
    nodes_left: u64,
}

impl<B: Backend> Filter<'_, '_, B> {
    /// Relaxes all of `block` if it can, else what it can of its halves.
    fn reduce(&mut self, block: &[Member]) -> Result<(), Error> {
        if block.is_empty() {
            return Ok(());
        }
        let rest = self.without(block);
        match (self.possible(&rest)?, block) {
            (Some(false), _) => self.kept = rest,
            (Some(true), [_]) => {}
            (None, [member]) => self.doubted.push((*member, self.kept.len())),
            (_, several) => {
                let (first, second) = several.split_at(several.len() / 2);
                self.reduce(first)?;
                self.reduce(second)?;
            }
        }
        Ok(())
    }

    /// Asks once more about what was not known while more was in force.
    fn finish(mut self) -> Result<Conflict, Error> {
        let mut undecided = false;
        for (member, kept_then) in std::mem::take(&mut self.doubted) {
            let rest = self.without(&[member]);
            let changed = self.kept.len() < kept_then;
            match if changed { self.possible(&rest)? } else { None } {
                Some(false) => self.kept = rest,
                Some(true) => {}
                None => undecided = true,
            }
        }
        self.kept.sort_unstable();
        Ok(Conflict { members: self.kept, undecided })
    }

    fn without(&self, block: &[Member]) -> Vec<Member> {
        self.kept.iter().copied().filter(|member| !block.contains(member)).collect()
    }

    /// Whether a placement exists under only these constraints; `None` when that is not known.
    fn possible(&mut self, kept: &[Member]) -> Result<Option<bool>, Error> {
        let problem = relaxed(self.search.problem, kept);
        if let Some(answer) = glance::answer(&problem) {
            return Ok(Some(answer));
        }
        // So large that enough room for everything is beyond what can be added up.
        if self.nodes_left == 0 || problem.validate().is_err() {
            return Ok(None);
        }
        let classes = Classes::unmoved(&problem)?;
        let mut beside = self.search.beside(&problem, &classes);
        let share = (self.search.node_limit / QUESTION_SHARE).max(1);
        beside.node_limit = share.min(self.nodes_left);
        let answer = placement_exists(&mut beside)?;
        self.nodes_left = self.nodes_left.saturating_sub(beside.nodes.max(1));
        Ok(answer)
    }
}
