//! What is best when devices take turns and when they work at once, on two equal devices: each predicted and
//! measured both ways.

use apportion::hardware::Hardware;
use apportion::model::ComponentId;
use apportion::plan::{self, Outcome};
use apportion::problem::{Objective, ObjectiveKind, Problem};
use apportion::scenario::Scenario;
use apportion::units::Ratio;

use super::case::Case;
use super::maps::{self, Map};
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
    let measured = rounds::measure(&mut case, &solved, rounds)?;
    println!("\n### Two equal devices, {what}\n\n{}", case.figures()?);
    println!(
        "| placement | experts away | turns: predicted | measured | at once: predicted | measured | rounds differ by |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (map, measured) in solved.iter().zip(&measured) {
        let [turns, at_once] = case.predict(map)?.map(shown);
        let [turns_measured, at_once_measured] = measured.seconds.map(shown);
        let [a, b] = measured.spreads.map(|spread| format!("{:.1} %", 100.0 * spread));
        println!(
            "| {} | {} | {turns} | {turns_measured} | {at_once} | {at_once_measured} | {a}, {b} |",
            map.name,
            away(map)
        );
    }
    Ok(())
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
