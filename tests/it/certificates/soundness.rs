//! No prices, however chosen, prove more than there is.
//!
//! Random prices, tracked classes, parts, splits and walks of random problems, the prices then changed step
//! by step to prove as much as they can; whatever comes out is compared with the least value over all
//! placements under the caps.

use apportion::certificate::{Certificate, Prices, Proof, StageProof, Tree};
use apportion::model::ComponentId;
use apportion::problem::{Objective, ObjectiveKind, ObjectiveValue, Placement, Problem, Sends};
use apportion::units::Ratio;
use apportion::verify::prove;
use rayon::prelude::*;

use super::values::{KINDS, Values, all_values, chance, of};
use crate::over_microlp::enumeration::cases::random_problem;
use crate::support::Random;

const PLACEMENTS_MAX: u64 = 3_000;
/// How often prices are changed for the better.
const STEPS: usize = 12;

/// A random problem with everything a problem can have.
pub fn rich_problem(random: &mut Random) -> Problem {
    let mut problem = random_problem(random, 3);
    if random.one_in(3) {
        problem.headroom_bytes = problem.devices.iter().map(|_| random.below(4)).collect();
    }
    if random.one_in(3) {
        problem.devices_max = Some(random.index(problem.devices.len()) + 1);
    }
    if random.coin() {
        let devices = problem.devices.len();
        let device_of = problem.components.iter().map(|_| random.index(devices)).collect();
        problem.current = Some(Placement { device_of });
    }
    if random.coin() {
        let experts = problem.components.iter().filter_map(|c| c.demand.id.expert()).max();
        let experts = experts.map_or(1, |last| last + 1);
        let chosen = u32::try_from(random.within(1, experts.into())).unwrap();
        problem.sends = Sends::PerDevice { experts, experts_per_token: chosen };
        problem.traffic_denominator = [7, 12, 1_000][random.index(3)];
        let once = chance((experts, chosen), problem.traffic_denominator, 1);
        for component in &mut problem.components {
            let expert = component.demand.id.expert().is_some();
            let feed_forward = component.demand.id.kind().is_feed_forward();
            let always = if feed_forward { problem.traffic_denominator } else { 0 };
            component.visits = if expert { once } else { always };
        }
    }
    let mut kinds: Vec<ObjectiveKind> = KINDS.to_vec();
    kinds.retain(|kind| *kind != ObjectiveKind::Migration || problem.current.is_some());
    problem.objectives.clear();
    while !kinds.is_empty() && (problem.objectives.is_empty() || random.one_in(2)) {
        let kind = kinds.remove(random.index(kinds.len()));
        problem.objectives.push(Objective { kind, tolerance: Ratio::ZERO });
    }
    problem
}

/// A little more than a value, sometimes.
fn slack(random: &mut Random, value: ObjectiveValue) -> ObjectiveValue {
    let more = if random.coin() { random.below(4) } else { 0 };
    match value {
        ObjectiveValue::Bytes(n) => ObjectiveValue::Bytes(n + more),
        ObjectiveValue::Count(n) => ObjectiveValue::Count(n + more / 3),
        ObjectiveValue::Time(ps) => ObjectiveValue::Time(ps + more),
        ObjectiveValue::Ratio(r) => {
            ObjectiveValue::Ratio(Ratio::new(r.numerator() * 20 + more, r.denominator() * 20))
        }
    }
}

pub fn nothing(kind: ObjectiveKind) -> ObjectiveValue {
    match kind {
        ObjectiveKind::SpillBytes | ObjectiveKind::Migration => ObjectiveValue::Bytes(0),
        ObjectiveKind::DevicesUsed => ObjectiveValue::Count(0),
        ObjectiveKind::PeakUtilization | ObjectiveKind::Traffic | ObjectiveKind::Crossings => {
            ObjectiveValue::Ratio(Ratio::ZERO)
        }
        ObjectiveKind::DecodeLatency | ObjectiveKind::PrefillTime => ObjectiveValue::Time(0),
    }
}

/// Stages that claim nothing, the last of them by this proof.
fn certificate(caps: &[ObjectiveValue], problem: &Problem, proof: &Proof) -> Certificate {
    let stages = problem.objectives.iter().enumerate().map(|(index, objective)| StageProof {
        kind: objective.kind,
        bound: nothing(objective.kind),
        cap: caps.get(index).copied().unwrap_or_else(|| nothing(objective.kind)),
        zones: Vec::new(),
        proof: if index == caps.len() { proof.clone() } else { Proof::Search },
    });
    Certificate { problem: String::new(), stages: stages.collect() }
}

/// What the proof of the stage after these caps gives, or why it is refused.
pub fn proven(
    caps: &[ObjectiveValue],
    problem: &Problem,
    proof: &Proof,
) -> Result<ObjectiveValue, String> {
    let mut certificate = certificate(caps, problem, proof);
    let stage = &mut certificate.stages[caps.len()];
    // Any cap of its own will do: no later stage is looked at.
    stage.cap = match stage.bound {
        ObjectiveValue::Bytes(_) => ObjectiveValue::Bytes(u64::MAX),
        ObjectiveValue::Count(_) => ObjectiveValue::Count(u64::MAX),
        ObjectiveValue::Time(_) => ObjectiveValue::Time(u64::MAX),
        ObjectiveValue::Ratio(_) => ObjectiveValue::Ratio(Ratio::new(u64::MAX, 1)),
    };
    let certified = prove(problem, &certificate).map_err(|error| error.to_string())?;
    Ok(certified[caps.len()].proven.unwrap())
}

/// Names of classes: those by which a certificate may call something.
pub fn class_names(caps: &[ObjectiveValue], problem: &Problem) -> Vec<ComponentId> {
    let kind = problem.objectives[caps.len()].kind;
    let ids = problem.components.iter().map(|c| c.demand.id);
    let known = |id: &ComponentId| {
        let weights = if kind == ObjectiveKind::PeakUtilization { vec![] } else { vec![(kind, 1)] };
        let prices = Prices { weights, prices: vec![(*id, 0)], ..Prices::default() };
        let answer = proven(caps, problem, &Proof::Relaxation(Tree::Leaf(prices)));
        !answer.is_err_and(|error| error.contains("not the first of a class"))
    };
    ids.filter(known).collect()
}

struct Case<'a> {
    problem: &'a Problem,
    names: Vec<ComponentId>,
    kind: ObjectiveKind,
    /// What may be weighed beside it.
    capped: Vec<ObjectiveKind>,
}

impl Case<'_> {
    fn prices(&self, random: &mut Random, single_runs: bool) -> Prices {
        let mut prices = Prices::default();
        if self.kind != ObjectiveKind::PeakUtilization {
            prices.weights.push((self.kind, i64::try_from(random.within(1, 3)).unwrap()));
        }
        for &kind in &self.capped {
            if kind != self.kind && random.coin() {
                prices.weights.push((kind, i64::try_from(random.below(4)).unwrap()));
            }
        }
        let most_tracked = random.below(5);
        for &id in &self.names {
            let item = id.kind().is_feed_forward();
            if single_runs && !item {
                continue;
            }
            let few = u64::try_from(prices.tracked.len()).unwrap() < most_tracked;
            if !single_runs && few && random.coin() {
                prices.tracked.push(id);
                continue;
            }
            prices.prices.push((id, price(random, self.problem)));
            if item && random.one_in(3) {
                prices.fractional.push(id);
            }
        }
        prices
    }

    fn tree(&self, random: &mut Random, single_runs: bool, depth: u64) -> Tree {
        if depth == 0 || random.one_in(2) {
            return Tree::Leaf(self.prices(random, single_runs));
        }
        Tree::Split {
            device: random.index(self.problem.devices.len()),
            class: self.names[random.index(self.names.len())],
            at: random.below(3),
            least: Box::new(self.tree(random, single_runs, depth - 1)),
            most: Box::new(self.tree(random, single_runs, depth - 1)),
        }
    }

    fn proof(&self, random: &mut Random) -> Proof {
        if self.kind == ObjectiveKind::Traffic && random.coin() {
            return Proof::Walks {
                single_runs: self.tree(random, true, 1),
                others: self.tree(random, false, 1),
            };
        }
        Proof::Relaxation(self.tree(random, false, 2))
    }
}

fn price(random: &mut Random, problem: &Problem) -> i64 {
    let scale = [1, 3, problem.traffic_denominator][random.index(3)];
    i64::try_from(random.below(9) * scale).unwrap() - i64::try_from(2 * scale).unwrap()
}

/// The same with one price changed.
fn changed(proof: &Proof, random: &mut Random, problem: &Problem) -> Proof {
    fn leaves<'a>(tree: &'a mut Tree, found: &mut Vec<&'a mut Prices>) {
        match tree {
            Tree::Leaf(prices) => found.push(prices),
            Tree::Split { least, most, .. } => {
                leaves(least, found);
                leaves(most, found);
            }
        }
    }
    let mut proof = proof.clone();
    let mut found = Vec::new();
    match &mut proof {
        Proof::Relaxation(tree) => leaves(tree, &mut found),
        Proof::Walks { single_runs, others } => {
            leaves(single_runs, &mut found);
            leaves(others, &mut found);
        }
        Proof::Zero | Proof::Search => {}
    }
    let leaf = random.index(found.len());
    let prices = &mut found[leaf].prices;
    if !prices.is_empty() {
        let which = random.index(prices.len());
        prices[which].1 += price(random, problem);
    }
    proof
}

/// What came of a seed: proofs that gave a bound, and those that gave the best value itself.
#[derive(Clone, Copy, Default)]
struct Tally {
    proofs: usize,
    attained: usize,
    walks: usize,
}

fn check_case(seed: u64) -> Result<Tally, String> {
    let random = &mut Random::new(seed);
    let problem = rich_problem(random);
    let mut tally = Tally::default();
    if problem.components.iter().any(|c| c.allowed.is_empty()) || problem.validate().is_err() {
        return Ok(tally);
    }
    let Some(mut left) = all_values(&problem, PLACEMENTS_MAX) else { return Ok(tally) };
    let mut caps = Vec::new();
    for objective in &problem.objectives {
        let kind = objective.kind;
        let Some(best) = left.iter().map(|values| of(values, kind)).min() else { break };
        let mut capped: Vec<_> = problem.objectives[..caps.len()].iter().map(|o| o.kind).collect();
        capped.retain(|kind| *kind != ObjectiveKind::PeakUtilization);
        if problem.devices_max.is_some() && !capped.contains(&ObjectiveKind::DevicesUsed) {
            capped.push(ObjectiveKind::DevicesUsed);
        }
        let names = class_names(&caps, &problem);
        let case = Case { problem: &problem, names, kind, capped };
        for _ in 0..4 {
            check_proof(random, &case, &caps, best, &mut tally)?;
        }
        let cap = slack(random, best);
        left.retain(|values: &Values| of(values, kind) <= cap);
        caps.push(cap);
    }
    Ok(tally)
}

fn check_proof(
    random: &mut Random,
    case: &Case<'_>,
    caps: &[ObjectiveValue],
    best: ObjectiveValue,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut proof = case.proof(random);
    if case.kind == ObjectiveKind::PeakUtilization {
        return check_peak(random, case, caps, best, &proof, tally);
    }
    let refused_for =
        |error: &str| error.contains("nothing on one side") || error.contains("share sends");
    let mut strongest = match proven(caps, case.problem, &proof) {
        Ok(bound) => bound,
        Err(error) if refused_for(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for _ in 0..STEPS {
        if strongest > best {
            return Err(format!("{proof:?}\nproves {strongest:?} of {best:?}"));
        }
        tally.proofs += 1;
        tally.attained += usize::from(strongest == best && best != nothing(case.kind));
        tally.walks += usize::from(matches!(proof, Proof::Walks { .. }));
        let other = changed(&proof, random, case.problem);
        let bound = proven(caps, case.problem, &other)?;
        if bound >= strongest {
            (proof, strongest) = (other, bound);
        }
    }
    Ok(())
}

/// A claim above the best peak is never proven; one at it may be.
fn check_peak(
    random: &mut Random,
    case: &Case<'_>,
    caps: &[ObjectiveValue],
    best: ObjectiveValue,
    proof: &Proof,
    tally: &mut Tally,
) -> Result<(), String> {
    let ObjectiveValue::Ratio(best) = best else { unreachable!() };
    let mut proof = proof.clone();
    for _ in 0..STEPS {
        for above in [0, 1, 30] {
            let claim = Ratio::new(best.numerator() * 100 + above, best.denominator() * 100);
            let mut certificate = certificate(caps, case.problem, &proof);
            certificate.stages[caps.len()].bound = ObjectiveValue::Ratio(claim);
            certificate.stages[caps.len()].cap = ObjectiveValue::Ratio(Ratio::new(u64::MAX, 1));
            let proven = prove(case.problem, &certificate).is_ok();
            if proven && above > 0 {
                return Err(format!("{proof:?}\nproves a peak of {claim}, it can be {best}"));
            }
            tally.proofs += usize::from(proven);
            tally.attained += usize::from(proven);
        }
        proof = changed(&proof, random, case.problem);
    }
    Ok(())
}

#[test]
fn no_prices_prove_more_than_there_is() {
    let results: Vec<(u64, Result<Tally, String>)> =
        (0..6_000_u64).into_par_iter().map(|seed| (seed, check_case(seed))).collect();
    let failures: Vec<String> = results
        .iter()
        .filter_map(|(seed, result)| result.as_ref().err().map(|e| format!("seed {seed}: {e}")))
        .collect();
    let first = failures[..failures.len().min(4)].join("\n");
    assert!(failures.is_empty(), "{} failures, first:\n{first}", failures.len());
    let tallies = || results.iter().filter_map(|(_, result)| result.as_ref().ok());
    let sum = |of: fn(&Tally) -> usize| tallies().map(of).sum::<usize>();
    let (proofs, attained, walks) = (sum(|t| t.proofs), sum(|t| t.attained), sum(|t| t.walks));
    println!("{proofs} bounds, {attained} of them the best value, {walks} by walks");
    assert!(proofs > 60_000 && attained > 10_000 && walks > 6_000);
}
