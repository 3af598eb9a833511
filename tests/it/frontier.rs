//! The frontier against every placement there is, what more memory buys against asking directly, and both
//! as commands.

use std::ops::Range;

use apportion::frontier::{Found, Frontier, Point, frontier};
use apportion::plan::{self, Options, Outcome};
use apportion::problem::{Placement, Problem};
use apportion::sensitivity::{Verdict, sensitivity};
use apportion::units::Ratio;
use apportion::verify::verify;
use rayon::prelude::*;
use serde_json::Value;

use crate::binary::{Bench, golden};
use crate::over_microlp::enumeration::cases::{random_problem, random_wishes};
use crate::support::{Random, enumerate, placements};

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
    let homeless = problem.components.iter().any(|c| c.allowed.is_empty());
    if homeless || placements(problem) > PLACEMENTS_MAX {
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

/// The same with so many bytes more on each device.
fn with_extra(problem: &Problem, extra: &[u64]) -> Problem {
    let mut problem = problem.clone();
    for (device, extra) in problem.devices.iter_mut().zip(extra) {
        device.capacity_bytes += extra;
    }
    problem
}

/// Every trial is what asking directly says, and more memory worsens the first objective nowhere.
#[test]
fn what_more_memory_buys_is_what_asking_says() {
    let options = Options::default();
    let check = |seed: u64| -> (usize, usize) {
        let problem = plain(seed);
        let more = |extra: &[u64]| Ok(with_extra(&problem, extra));
        let trials = sensitivity(&problem, 5, &more, &options).unwrap();
        let now = plan::solve(&problem, &options).unwrap();
        let gpus: Vec<usize> = problem.gpus().collect();
        let covered =
            trials.iter().flat_map(|t| &t.alike).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(covered.len(), problem.devices.len(), "seed {seed}: a device is left out");
        assert_eq!(trials.iter().filter(|t| t.devices == gpus).count(), 1, "seed {seed}");
        let mut became = 0;
        for trial in &trials {
            // Whichever of those that are alike gets it.
            let who = if trial.devices.len() > 1 {
                &trial.devices
            } else {
                &trial.alike[trial.alike.len() - 1..]
            };
            let extra: Vec<u64> =
                (0..problem.devices.len()).map(|d| if who.contains(&d) { 5 } else { 0 }).collect();
            let direct = plan::solve(&with_extra(&problem, &extra), &options).unwrap();
            match (&trial.verdict, direct) {
                (Verdict::Infeasible, Outcome::Infeasible(_)) => {
                    assert!(
                        matches!(now, Outcome::Infeasible(_)),
                        "seed {seed}: memory took it away"
                    );
                }
                (Verdict::Solved(stages), Outcome::Solved(solved)) => {
                    let optima = |stages: &[plan::StageReport]| {
                        stages.iter().map(|s| s.optimum).collect::<Vec<_>>()
                    };
                    assert_eq!(optima(stages), optima(&solved.stages), "seed {seed}");
                    match &now {
                        Outcome::Solved(now) => {
                            let (before, after) = (&now.stages[0], &stages[0]);
                            assert!(after.bound <= before.optimum, "seed {seed}: worse with more");
                        }
                        _ => became += 1,
                    }
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        (trials.len(), became)
    };
    let counts: Vec<(usize, usize)> = (0..600).into_par_iter().map(check).collect();
    let trials: usize = counts.iter().map(|count| count.0).sum();
    let became: usize = counts.iter().map(|count| count.1).sum();
    println!("{trials} trials, {became} of them made it fit");
    assert!(trials > 1_200 && became > 10, "{trials} trials, {became} became feasible");
}

/// Without the line that says how much work it was.
fn without_effort(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains(" by microlp in "));
    lines.map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn a_table_a_picture_and_an_object() {
    let bench = Bench::new();
    let run = bench.line(&format!("frontier {THREE} -o trade-off.svg"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    golden("frontier.txt", &without_effort(&run.stdout));
    let svg = bench.read("trade-off.svg");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(bench.files(), ["trade-off.svg"], "no temporary file is left");

    let answer = bench.line(&format!("frontier {THREE} --json --threads 1")).json();
    assert_eq!((&answer["status"], &answer["more"]), (&"complete".into(), &false.into()));
    let points = answer["points"].as_array().unwrap();
    // A dot for each, and the one of the legend.
    assert_eq!(svg.matches("<circle").count(), points.len() + 1);
    assert!(points.len() > 5 && points.iter().all(|point| point["proven"] == true));
    // Each is what `solve` finds when it is told so.
    for point in points {
        let objective = point["objective"].as_str().unwrap();
        let solved = bench.line(&format!("solve {THREE} --objective {objective} --json")).json();
        let transfers = "expected_transfers_per_token";
        assert_eq!(solved["traffic"][transfers], point[transfers], "{objective}");
        let peak = |value: &Value| value.as_f64().unwrap();
        let (mine, theirs) = (peak(&point["peak"]), peak(&solved["objectives"][0]["value"]));
        assert!((mine - theirs).abs() <= 1e-4 * mine, "{objective}: {mine} and {theirs}");
    }
}

#[test]
fn solve_says_what_more_memory_buys_when_asked() {
    let bench = Bench::new();
    let two = "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB";
    let run = bench.line(&format!("{two} --sensitivity --json"));
    let answer = run.json();
    let more = &answer["sensitivity"];
    assert_eq!(more["extra_bytes"], 1_u64 << 30);
    let trials = more["trials"].as_array().unwrap();
    // The default pins tell the first GPU from the second.
    assert_eq!(trials.iter().filter(|t| t["devices"].as_array().unwrap().len() == 2).count(), 1);
    assert!(trials.iter().all(|trial| trial["status"] == "optimal"), "{more}");
    assert!(bench.line(&format!("{two} --json")).json().get("sensitivity").is_none());
    let small = "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 7GiB --sensitivity=1MiB";
    let run = bench.line(small);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stdout.contains("with 1MiB more") && run.stdout.contains("does not fit"),
        "{run:?}"
    );
}

#[test]
fn bad_input_is_refused_before_anything_is_asked() {
    let bench = Bench::new();
    for points in ["0", "1", "1001", "18446744073709551615", "ten", "-1"] {
        let run = bench.run(
            &[
                &["frontier"],
                &*THREE.split(' ').collect::<Vec<_>>(),
                &[&format!("--points={points}")],
            ]
            .concat(),
        );
        run.refuses(&[points]);
    }
    bench.line(&format!("frontier {THREE} -o none/a.svg")).refuses(&["none/a.svg", "folder"]);
    bench.line(&format!("frontier {THREE} -o a.png")).refuses(&["a.png", ".svg"]);
    bench.line(&format!("frontier {THREE} --objective traffic")).refuses(&["--objective"]);
    bench.line(&format!("frontier {THREE} --migrate-from a.yaml")).refuses(&["--migrate-from"]);
    for size in ["0", "much", "-1GiB", ""] {
        bench.line(&format!("solve {THREE} --sensitivity={size}")).refuses(&["--sensitivity"]);
    }
    assert!(bench.files().is_empty(), "{:?}", bench.files());
}
