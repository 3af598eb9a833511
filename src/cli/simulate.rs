//! `apportion simulate`: a load before there is a device, allocation by allocation.

use std::path::Path;

use apportion::error::Error;
use apportion::files::{read_text, write_atomically};
use apportion::memory::Staging;
use apportion::model::Model;
use apportion::placement::Record;
use apportion::report;
use apportion::scenario::Scenario;
use apportion::simulate::{
    AllocatorKind, Choices, Comparison, Machine, Order, Script, Trace, advise, replay,
};
use apportion::units::parse_bytes;
use apportion::verify::measure;

use super::args::SimulateArgs;
use super::evaluate::stated;
use super::frontier::check_picture;
use super::{Answer, flow, width};

/// Replays a load, or what a real allocator did.
pub fn run(args: &SimulateArgs) -> Result<Answer, Error> {
    match (&args.trace, &args.placement) {
        (Some(trace), _) => compare(trace, args.output.json),
        (None, Some(placement)) => load(args, placement),
        (None, None) => Err(Error::new("simulate").expected("a placement or a trace")),
    }
}

fn load(args: &SimulateArgs, path: &Path) -> Result<Answer, Error> {
    args.output_file.as_deref().map(check_picture).transpose()?;
    let source = path.display().to_string();
    let text = read_text(path, "read the placement")?;
    let model = args.model.as_deref().map(Model::resolve).transpose()?;
    let record = Record::from_yaml(&text, &source, model.as_ref())?;
    let scenario = changed(args, &record.scenario)?;
    let choices = choices(args, &scenario)?;
    let machines = usable(&args.usable, Machine::of(&record))?;
    let script = Script::of(&record, &scenario, &machines, &choices)?;
    let simulation = replay(&script, &machines, choices.allocator);
    let (problem, placement) = stated(&record, &scenario)?;
    let planned = measure(&problem, &placement)
        .map(|measured| measured.devices.iter().map(|device| device.used_bytes).collect());
    let replayed = report::Replayed {
        scenario: &scenario,
        choices: &choices,
        simulation: &simulation,
        planned_bytes: planned.unwrap_or_default(),
    };
    let advice =
        if args.advise { Some(advise(&record, &scenario, &machines, &choices)?) } else { None };
    if let Some(path) = &args.output_file {
        write_atomically(path, &report::simulation_svg(&replayed))?;
    }
    let fits = simulation.failure.is_none();
    Ok(if args.output.json {
        Answer::json(&report::simulation_json(&replayed, advice.as_ref()), fits)
    } else {
        Answer::new(report::simulation(&replayed, advice.as_ref(), width()), fits)
    })
}

/// The recorded scenario, run as the options say.
fn changed(args: &SimulateArgs, recorded: &Scenario) -> Result<Scenario, Error> {
    let mut scenario = recorded.clone();
    let load = &mut scenario.load;
    if args.runtime.is_some() || args.runtime_profile.is_some() {
        load.runtime = flow::runtime(args.runtime.as_deref(), args.runtime_profile.as_deref())?;
    }
    if let Some(staging) = &args.staging {
        load.staging = Some(Staging::parse(staging).map_err(|error| error.place("--staging"))?);
    }
    Ok(scenario)
}

fn choices(args: &SimulateArgs, scenario: &Scenario) -> Result<Choices, Error> {
    let allocator = args.allocator.as_deref().map(AllocatorKind::parse).transpose();
    let allocator = allocator.map_err(|error| error.place("--allocator"))?;
    Ok(Choices {
        allocator: allocator.unwrap_or_else(|| AllocatorKind::of(&scenario.load.runtime)),
        order: Order::parse(&args.order).map_err(|error| error.place("--order"))?,
        warm_up: args.warm_up,
        decode: args.decode,
    })
}

/// The devices with what the load may take of them.
fn usable(typed: &[String], mut machines: Vec<Machine>) -> Result<Vec<Machine>, Error> {
    for text in typed {
        let refuse = || Error::new("use --usable").object(text);
        let (name, size) =
            text.split_once('=').ok_or_else(|| refuse().expected("NAME=SIZE").found("no `=`"))?;
        let bytes = parse_bytes(size).map_err(|error| error.place("--usable"))?;
        let names: Vec<String> =
            machines.iter().map(|machine| format!("`{}`", machine.id)).collect();
        let machine = machines.iter_mut().find(|machine| machine.id == name);
        let machine = machine.ok_or_else(|| {
            let names = names.join(", ");
            refuse().expected(format!("a device of the placement: {names}")).found("another")
        })?;
        let most = machine.usable_bytes;
        if bytes == 0 || bytes > most {
            return Err(refuse()
                .expected(format!("1 to {most} bytes, what the placement says it has"))
                .found(bytes.to_string())
                .hint("for a larger device solve again: `apportion solve --gpu SIZE`"));
        }
        machine.usable_bytes = bytes;
    }
    Ok(machines)
}

fn compare(path: &Path, json: bool) -> Result<Answer, Error> {
    let trace = Trace::read(path)?;
    let comparison = trace.compare();
    let same = comparison == Comparison::Equal;
    Ok(if json {
        Answer::json(&report::trace_json(&trace, &comparison), same)
    } else {
        Answer::new(report::trace(&trace, &comparison), same)
    })
}
