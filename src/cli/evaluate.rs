//! `apportion evaluate`: what a recorded placement is worth under circumstances it was not solved for.

use std::path::Path;
use std::sync::Arc;

use apportion::error::Error;
use apportion::files::read_text;
use apportion::hardware::Hardware;
use apportion::model::Model;
use apportion::objective::{Unit, law};
use apportion::placement::{Placement, Record};
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::report::{self, Evaluation, Sample};
use apportion::routing::Statistics;
use apportion::scenario::Scenario;
use apportion::verify::{measure, verify};

use super::args::EvaluateArgs;
use super::{Answer, flow};

/// Objectives and what they are worth.
type Values = Vec<(ObjectiveKind, ObjectiveValue)>;

/// Reads the placement, changes what is asked, measures and checks again.
pub fn run(args: &EvaluateArgs) -> Result<Answer, Error> {
    let source = args.placement.display().to_string();
    let text = read_text(&args.placement, "read the placement")?;
    let model = args.model.as_deref().map(Model::resolve).transpose()?;
    let record = Record::from_yaml(&text, &source, model.as_ref())?;
    let scenario = changed(args, &record.scenario)?;
    let (problem, placement) = stated(&record, &scenario)?;
    let violations = verify(&problem, &placement).err().unwrap_or_default();
    let now = values(&scenario, &problem, &placement)?;
    let samples: Vec<Sample> = args
        .routing
        .iter()
        .map(|path| sample(path, &record, &scenario))
        .collect::<Result<_, _>>()?;
    let evaluation = Evaluation {
        scenario: &scenario,
        source: &source,
        recorded: recorded(&record)?,
        now,
        samples,
        violations: violations.iter().map(ToString::to_string).collect(),
    };
    let fits = evaluation.violations.is_empty();
    Ok(if args.output.json {
        Answer::json(&report::evaluation_json(&evaluation), fits)
    } else {
        Answer::new(report::evaluation(&evaluation), fits)
    })
}

/// The recorded scenario with everything that is different now.
fn changed(args: &EvaluateArgs, recorded: &Scenario) -> Result<Scenario, Error> {
    let mut scenario = recorded.clone();
    if args.runtime.is_some() || args.runtime_profile.is_some() {
        scenario.load.runtime =
            flow::runtime(args.runtime.as_deref(), args.runtime_profile.as_deref())?;
    }
    if let Some(path) = &args.hardware {
        let hardware = flow::hardware_file(path)?;
        same_devices(&recorded.hardware, &hardware)
            .map_err(|error| error.object(path.display().to_string()))?;
        scenario.limits.check(&hardware)?;
        scenario.hardware = hardware;
    }
    let limits = &mut scenario.limits;
    limits.sends = args.sends.map(flow::sends).or(limits.sends);
    limits.layer_devices = args.layer_devices.map(flow::layer_devices).or(limits.layer_devices);
    scenario.load.context = args.context.unwrap_or(scenario.load.context);
    scenario.load.batch = args.batch.unwrap_or(scenario.load.batch);
    Ok(without_unpriced(scenario))
}

/// Traffic by statistics is a sum for one file and sends per expert only; elsewhere it is not asked for.
fn without_unpriced(mut scenario: Scenario) -> Scenario {
    if !prices_traffic(&scenario) {
        scenario.objectives.retain(|objective| objective.kind != ObjectiveKind::Traffic);
    }
    scenario
}

fn prices_traffic(scenario: &Scenario) -> bool {
    match scenario.limits.routing.len() {
        0 => true,
        1 => scenario.sends_per_expert(),
        _ => false,
    }
}

fn same_devices(recorded: &Hardware, now: &Hardware) -> Result<(), Error> {
    let names = |hardware: &Hardware| {
        let mut ids: Vec<String> =
            hardware.devices.iter().map(|device| format!("`{}`", device.id)).collect();
        ids.sort();
        ids.join(", ")
    };
    let (recorded, now) = (names(recorded), names(now));
    if recorded == now {
        return Ok(());
    }
    Err(Error::new("evaluate on the machine")
        .expected(format!("the devices of the placement: {recorded}"))
        .found(now)
        .hint("on other devices there is something to solve: see `apportion solve --migrate-from`"))
}

/// The problem that the scenario states, and the recorded map as a placement of its components.
///
/// Another runtime may keep an embedding where no device is, or a second copy of it.
pub(super) fn stated(record: &Record, scenario: &Scenario) -> Result<(Problem, Placement), Error> {
    let problem = scenario.problem()?;
    let home = |component: &apportion::problem::Component| {
        let id = component.demand.id;
        let at = record.homes.binary_search_by(|(other, _)| other.cmp(&id)).ok();
        let device = at.map(|at| &record.scenario.hardware.devices[record.homes[at].1].id);
        device.and_then(|device| scenario.hardware.index_of(device)).ok_or_else(|| {
            Error::new("evaluate the placement")
                .object(id.to_string())
                .expected("a device for everything that the runtime places")
                .found("none in the map, which was made for another runtime")
                .hint("solve again with that --runtime")
        })
    };
    let device_of = problem.components.iter().map(home).collect::<Result<_, _>>()?;
    Ok((problem, Placement { device_of }))
}

/// Every value that the scenario says enough to measure.
fn values(scenario: &Scenario, problem: &Problem, placement: &Placement) -> Result<Values, Error> {
    let measured = measure(problem, placement).map_err(|violations| {
        let first = violations.first().map(ToString::to_string).unwrap_or_default();
        Error::new("measure the placement").found(first)
    })?;
    let mut values = measured.values;
    values.retain(|(kind, _)| match kind {
        ObjectiveKind::Traffic => prices_traffic(scenario),
        ObjectiveKind::Migration => problem.current.is_some(),
        _ => true,
    });
    Ok(values)
}

/// The values as the file has them; those it does not state are measured under its own circumstances.
fn recorded(record: &Record) -> Result<Values, Error> {
    let (problem, placement) = stated(record, &record.scenario)?;
    let mut values = values(&record.scenario, &problem, &placement)?;
    for (kind, value) in &mut values {
        let stated = record.objectives.iter().find(|objective| objective.kind() == *kind);
        *value = stated.map_or(*value, |objective| objective.value);
    }
    Ok(values)
}

/// What depends on routing, under the statistics of a file.
fn sample(path: &Path, record: &Record, scenario: &Scenario) -> Result<Sample, Error> {
    let statistics = Arc::new(Statistics::read(path)?);
    let mut scenario = scenario.clone();
    scenario.limits.routing = vec![Arc::clone(&statistics)];
    let scenario = without_unpriced(scenario);
    let (problem, placement) = stated(record, &scenario)?;
    let mut values = values(&scenario, &problem, &placement)?;
    values.retain(|(kind, _)| matches!(law(*kind).unit(), Unit::Time | Unit::Transfers));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(Sample { name: name.unwrap_or_default(), statistics, values })
}
