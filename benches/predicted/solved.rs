//! What is best when devices take turns and when they work at once, on two equal devices: each predicted and
//! measured both ways.

use std::time::Instant;

use apportion::hardware::Hardware;
use apportion::load::decoder::{Decoder, Mode, Wanted};
use apportion::model::ComponentId;
use apportion::plan::{self, Outcome};
use apportion::problem::{Objective, ObjectiveKind, Problem};
use apportion::scenario::Scenario;
use apportion::units::Ratio;

use super::case::{Case, WARM};
use super::maps::{self, Map};
use super::statistics::median;
use super::support::mixtral::Shape;
use super::{Failure, MODES, rounds, shown};

/// Solves for both, measures both.
pub fn run(what: &str, shape: Shape, rounds: usize, tokens: usize) -> Result<(), Failure> {
    let mut case = Case::new(shape, tokens)?;
    // The routing and the speeds, by running something.
    let any = maps::all(&case.scenario.model).remove(0);
    rounds::measure(&mut case, std::slice::from_ref(&any), 1)?;
    let scenario = Scenario {
        hardware: equal(&case)?,
        objectives: vec![Objective { kind: ObjectiveKind::DecodeLatency, tolerance: Ratio::ZERO }],
        ..case.scenario.clone()
    };
    let mut solved = Vec::new();
    for (mode, name) in MODES.into_iter().zip(["solved for turns", "solved for at once"]) {
        let problem = case.problem(&scenario, mode)?;
        solved.push(solve(&problem, name)?);
    }
    for _ in 0..CALIBRATIONS {
        case.calibrate()?;
    }
    let times = side_by_side(&case, &solved, rounds)?;
    println!("\n### Two equal devices, {what}\n\n{}", case.figures()?);
    println!(
        "| placement | experts away | turns: predicted | measured | at once: predicted | measured |"
    );
    println!("|---|---|---|---|---|---|");
    for (map, times) in solved.iter().zip(&times) {
        let [turns, at_once] = case.predict(map)?.map(shown);
        let [turns_measured, at_once_measured] = times.each_ref().map(|t| shown(median(t.clone())));
        println!(
            "| {} | {} | {turns} | {turns_measured} | {at_once} | {at_once_measured} |",
            map.name,
            away(map)
        );
    }
    let [turns, at_once] = [0, 1].map(|mode| {
        let both = times[0][mode].iter().zip(&times[1][mode]);
        let ratios: Vec<f64> = both.map(|(first, second)| second / first).collect();
        let longer = ratios.iter().filter(|&&ratio| ratio > 1.0).count();
        (100.0 * (median(ratios.clone()) - 1.0), longer, ratios.len())
    });
    println!(
        "\nToken by token the second takes {:+.1} % in turns (longer for {} of {}), {:+.1} % at once (longer for {} \
         of {}).",
        turns.0, turns.1, turns.2, at_once.0, at_once.1, at_once.2
    );
    Ok(())
}

/// Measurements of the devices beside the one that was solved with.
const CALIBRATIONS: usize = 3;

/// Seconds of every token that counts, by placement and way of working: both placements loaded, the same token in one
/// and then in the other, so that whatever else the machine does meets both.
fn side_by_side(case: &Case, maps: &[Map], rounds: usize) -> Result<Vec<[Vec<f64>; 2]>, Failure> {
    let mut times = vec![[Vec::new(), Vec::new()]; maps.len()];
    let mut decoders = Vec::new();
    for map in maps {
        decoders.push(Decoder::new(case.load(map)?, Mode::Sequential)?);
    }
    for round in 0..rounds {
        for (place, mode) in MODES.into_iter().enumerate() {
            for decoder in &mut decoders {
                decoder.set_mode(mode);
                decoder.reset(0);
            }
            for (step, token) in rounds::prompt().take(WARM + case.tokens).enumerate() {
                for turn in 0..maps.len() {
                    let which = (step + round + turn) % maps.len();
                    let began = Instant::now();
                    decoders[which].forward(0, &[token], Wanted::Last)?;
                    if step >= WARM {
                        times[which][place].push(began.elapsed().as_secs_f64());
                    }
                }
            }
        }
    }
    Ok(times)
}

/// The devices as measured, both as the first one, each with room for a little more than half of the model.
fn equal(case: &Case) -> Result<Hardware, Failure> {
    let mut hardware = case.hardware()?;
    let mut network = (*hardware.network).clone();
    let speed = network.speeds.get("gpu0").ok_or("it was measured")?.clone();
    network.speeds.insert("gpu1".to_owned(), speed);
    let problem = case.scenario.problem()?;
    let bytes: u64 = problem.components.iter().map(|c| c.demand.weights_bytes).sum();
    for device in &mut hardware.devices {
        device.capacity_bytes = bytes / 100 * 54 + (64 << 20);
    }
    Ok(hardware.with_network(network)?)
}

fn solve(problem: &Problem, name: &str) -> Result<Map, Failure> {
    let Outcome::Solved(solved) = plan::solve(problem, &plan::Options::default())? else {
        return Err("it does not fit".into());
    };
    let stage = solved.stages.first().ok_or("one objective is one stage")?;
    let proven = if stage.proven { "proven best" } else { "the best that was found" };
    println!("{name}: {proven}, {} nodes", solved.solver.nodes);
    let placed = problem.components.iter().zip(&solved.placement.device_of);
    // Whatever lives with another follows it.
    let named = placed.filter(|(component, _)| component.lives_with == component.demand.id);
    let homes = named.map(|(component, &device)| (component.demand.id, device)).collect();
    Ok(Map { name: name.to_owned(), homes })
}

/// How many experts are not where their layer's attention is.
fn away(map: &Map) -> usize {
    let home = |layer| map.homes.iter().find(|home| home.0 == ComponentId::Attention(layer));
    let is_away = |(id, device): &&(ComponentId, usize)| match id {
        ComponentId::Expert(layer, _) => home(*layer).is_some_and(|home| home.1 != *device),
        _ => false,
    };
    map.homes.iter().filter(is_away).count()
}
