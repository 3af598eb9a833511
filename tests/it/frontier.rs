//! The frontier against every placement there is, what more memory buys against asking directly, and both
//! as commands.

use std::ops::Range;

use apportion::frontier::{Found, Frontier, Point, frontier};
use apportion::plan::{self, Options, Outcome};
use apportion::problem::{DeviceSet, ObjectiveKind, ObjectiveValue, Placement, Problem};
use apportion::sensitivity::{Verdict, sensitivity};
use apportion::units::Ratio;
use apportion::verify::verify;
use rayon::prelude::*;
use serde_json::Value;

use crate::binary::{Bench, golden};
use crate::over_microlp::enumeration::cases::{random_problem, random_wishes};
use crate::support::{Random, Tiny, enumerate, placements};

const THREE: &str = "mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 12GiB --gpu 8GiB";

/// More placements than this are not enumerated.
const PLACEMENTS_MAX: u64 = 20_000;

fn found(problem: &Problem, points: usize) -> Found {
    frontier(problem, points, &Options::default(), &|| {}).unwrap()
}

/// Every pair of peak and traffic that no placement beats, traffic rising, by looking at all of them.
fn enumerated(problem: &Problem) -> Vec<(Ratio, u64)> {
    let measured = |placement: Placement| verify(problem, &placement).ok();
    let mut all: Vec<_> = enumerate(problem)
        .filter_map(measured)
        .map(|m| (m.spill_bytes(), m.peak(), m.traffic.units))
        .collect();
    let spill = all.iter().map(|one| one.0).min();
    all.retain(|one| Some(one.0) == spill);
    all.sort_by_key(|&(_, peak, units)| (units, peak));
    let mut front: Vec<(Ratio, u64)> = Vec::new();
    for (_, peak, units) in all {
        if front.last().is_none_or(|last| peak < last.0) {
            front.push((peak, units));
        }
    }
    front
}

/// What must hold of every frontier: points verified, a staircase, bounds below values.
fn check_shape(problem: &Problem, frontier: &Frontier) -> Result<(), String> {
    for point in &frontier.points {
        let measured = verify(problem, &point.placed.placement).map_err(|v| format!("{v:?}"))?;
        let traffic = measured.traffic.expected_transfers_per_token();
        if (measured.peak(), traffic) != (point.peak, point.traffic) {
            return Err("another value than the verifier's".to_owned());
        }
        if point.peak_bound > point.peak
            || point.step_bound > point.peak_bound
            || point.traffic_bound > point.traffic
        {
            return Err(format!("bounds of {} above it", point.traffic));
        }
    }
    let falls = |pair: &[Point]| pair[0].traffic < pair[1].traffic && pair[1].peak < pair[0].peak;
    if frontier.points.windows(2).all(falls) { Ok(()) } else { Err("no staircase".to_owned()) }
}

/// Bounds hold for all placements, whatever was proven.
fn check_bounds(all: &[(Ratio, u64)], frontier: &Frontier) -> Result<(), String> {
    for (index, point) in frontier.points.iter().enumerate() {
        let units = point.placed.measured.traffic.units;
        let next = frontier.points.get(index + 1);
        let next = next.map_or(u64::MAX, |next| next.placed.measured.traffic.units);
        for &(peak, traffic) in all {
            let wrong = (traffic <= units && peak < point.peak_bound)
                || (traffic < next && peak < point.step_bound)
                || (peak <= point.peak
                    && Ratio::new(traffic, point.placed.measured.traffic.denominator)
                        < point.traffic_bound);
            if wrong {
                return Err(format!("{peak} at {traffic} refutes a bound of {units}"));
            }
        }
    }
    Ok(())
}

/// What a case that was small enough came to.
#[derive(Clone, Copy, Debug)]
struct Case {
    points: usize,
    all: usize,
    complete: bool,
}

/// Every claim about one case.
fn check_case(problem: &Problem, points: usize) -> Result<Option<Case>, String> {
    if placements(problem) > PLACEMENTS_MAX || problem.gpus().next().is_none() {
        return Ok(None);
    }
    let all = enumerated(problem);
    let frontier = match found(problem, points) {
        Found::Infeasible(_) if all.is_empty() => return Ok(None),
        Found::Frontier(frontier) => frontier,
        other => return Err(format!("{} points, but {other:?}", all.len())),
    };
    check_shape(problem, &frontier)?;
    check_bounds(&all, &frontier)?;
    let mine: Vec<(Ratio, u64)> =
        frontier.points.iter().map(|p| (p.peak, p.placed.measured.traffic.units)).collect();
    if frontier.points.iter().any(|point| {
        point.proven && !all.contains(&(point.peak, point.placed.measured.traffic.units))
    }) {
        return Err(format!("a proven point is beaten: {mine:?} of {all:?}"));
    }
    if frontier.complete && mine != all {
        return Err(format!("complete: {}; {mine:?} of {all:?}", frontier.complete));
    }
    if mine.len() > points {
        return Err("more points than were wanted".to_owned());
    }
    Ok(Some(Case { points: mine.len(), complete: frontier.complete, all: all.len() }))
}

fn check_many(seeds: Range<u64>, points: usize, case: fn(u64) -> Problem) -> Vec<Case> {
    let results: Vec<(u64, Result<Option<Case>, String>)> =
        seeds.into_par_iter().map(|seed| (seed, check_case(&case(seed), points))).collect();
    let failures: Vec<String> = results
        .iter()
        .filter_map(|(seed, result)| Some(format!("seed {seed}: {}", result.as_ref().err()?)))
        .collect();
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures[..failures.len().min(8)].join("\n")
    );
    results.into_iter().filter_map(|(_, result)| result.ok().flatten()).collect()
}

fn plain(seed: u64) -> Problem {
    Random::new(seed).tiny().problem()
}

/// Headroom, fewer devices; sends stay per expert, whose traffic is exact.
fn wishful(seed: u64) -> Problem {
    let mut random = Random::new(seed);
    let mut problem = random_problem(&mut random, 4);
    let plain = problem.clone();
    random_wishes(&mut random, &mut problem);
    let nowhere = problem.components.iter().any(|c| c.allowed.is_empty());
    if nowhere || problem.sends != plain.sends { plain } else { problem }
}

/// How many there are, how many have several points; all but a few must be proven.
fn counted(cases: &[Case]) -> (usize, usize) {
    let complete = cases.iter().filter(|case| case.complete).count();
    let several = cases.iter().filter(|case| case.complete && case.points > 1).count();
    println!("{} cases, {complete} complete, {several} of them with several points", cases.len());
    assert!(complete * 100 >= cases.len() * 99, "only {complete} of {} complete", cases.len());
    (cases.len(), several)
}

#[test]
fn the_frontier_is_what_enumeration_finds() {
    let (cases, several) = counted(&check_many(0..2_500, 12, plain));
    assert!(cases > 1_000 && several > 300, "{cases} cases, {several} with several points");
}

#[test]
fn the_frontier_is_what_enumeration_finds_whatever_is_wished_for() {
    let (cases, several) = counted(&check_many(0..1_500, 12, wishful));
    assert!(cases > 500 && several > 100, "{cases} cases, {several} with several points");
}

/// With room for fewer points than there are, those shown are on the frontier, and it is said.
#[test]
fn a_part_of_the_frontier_is_a_part() {
    let cases = check_many(0..1_000, 2, plain);
    let partial: Vec<&Case> = cases.iter().filter(|case| case.all > 2).collect();
    assert!(partial.len() > 100, "only {}", partial.len());
    assert!(partial.iter().all(|case| !case.complete && case.points == 2));
}
