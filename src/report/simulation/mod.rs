//! A replayed load for people: what failed or how full it was, why, and how it went.

mod advice;
mod json;
pub(super) mod stretch;
mod svg;
mod trace;

pub use json::simulation_json;
pub use svg::simulation_svg;
pub use trace::{trace, trace_json};

use std::fmt::Write;

use stretch::{Stretch, WHOLE};

use super::{Align, Table, percent, plural, quantization, wrap};
use crate::error::printable;
use crate::hardware::DeviceKind;
use crate::scenario::Scenario;
use crate::simulate::{
    Advice, Choices, DeviceRun, Failure, Phase, PhaseStart, Point, Purpose, Reason, Simulation,
};
use crate::units::{Ratio, format_bytes, grouped};

/// A load that was replayed.
#[derive(Debug)]
pub struct Replayed<'a> {
    /// What was loaded and how it is used.
    pub scenario: &'a Scenario,
    /// How it was loaded.
    pub choices: &'a Choices,
    /// What came of it.
    pub simulation: &'a Simulation,
    /// What the plan's own sum requires of each device; empty where it cannot be stated.
    pub planned_bytes: Vec<u64>,
}

/// The answer in words, the devices, how they filled, and what would help if that was asked.
pub fn simulation(replayed: &Replayed<'_>, advice: Option<&Advice>, width: usize) -> String {
    let Replayed { simulation, .. } = replayed;
    let mut text = verdict(simulation);
    text.push_str(&asked(replayed));
    if let Some(failure) = &simulation.failure {
        text.push('\n');
        text.push_str(&failed(simulation, failure, width));
    }
    text.push('\n');
    text.push_str(&devices(simulation));
    text.push_str(&reasons(simulation, width));
    text.push_str(&over(replayed, width));
    text.push('\n');
    text.push_str(&filling(simulation, width));
    if let Some(advice) = advice {
        text.push('\n');
        text.push_str(&advice::advice(replayed, advice, width));
    }
    text
}

fn verdict(simulation: &Simulation) -> String {
    match &simulation.failure {
        None => "fits: every request finds room until the last token\n".to_owned(),
        Some(failure) => {
            let device = &simulation.devices[failure.device];
            format!(
                "fails: {} has no room for {} in the {} phase\n",
                device.id,
                format_bytes(failure.request_bytes),
                failure.reason.phase.name()
            )
        }
    }
}

/// What was asked: the model and its use, and how it is loaded.
fn asked(replayed: &Replayed<'_>) -> String {
    let Replayed { scenario, choices, .. } = replayed;
    let Scenario { model, scheme, load, .. } = scenario;
    let corrected = match load.runtime.differences().len() {
        0 => String::new(),
        count => {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            format!(" with {} of yours", plural(count, "rule"))
        }
    };
    let warm_up = if choices.warm_up { ", warmed up" } else { "" };
    format!(
        "{} {}, context {}, batch {}, KV {}, staging {}\n\
         runtime {}{corrected}, allocator {}, order {}{warm_up}\n\
         a prompt of {} and {} more\n",
        printable(&model.name),
        quantization(scheme),
        load.context,
        load.batch,
        load.kv_type.name(),
        load.staging_of(scheme).name(),
        printable(load.runtime.name()),
        choices.allocator.name(),
        choices.order.name(),
        plural(load.context.saturating_sub(choices.decode), "token"),
        choices.decode,
    )
}

/// `layers.3.experts.2, model.layers.3.w1.weight: the 16-bit matrix that is quantized`.
fn said(reason: &Reason) -> String {
    let names = [&reason.component, &reason.tensor];
    let names: Vec<String> = names.into_iter().flatten().map(|name| printable(name)).collect();
    if names.is_empty() {
        return reason.purpose.words().to_owned();
    }
    // Of a tensor it is a part.
    let whole = reason.tensor.is_none() || reason.purpose != Purpose::Weights;
    let words = if whole { reason.purpose.words() } else { "what stays of it" };
    format!("{}: {words}", names.join(", "))
}

/// The request without room, and what there was.
fn failed(simulation: &Simulation, failure: &Failure, width: usize) -> String {
    let device = &simulation.devices[failure.device];
    let mut text = wrap(&format!("asked for by {}", said(&failure.reason)), width);
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right), ("", Align::Right)]);
    let Point { reserved_bytes, allocated_bytes, outside_bytes, .. } = failure.point;
    let rows = [
        (format!("usable on {}", device.id), device.usable_bytes),
        ("outside of the allocator".to_owned(), outside_bytes),
        ("reserved by the allocator".to_owned(), reserved_bytes),
        ("  allocated".to_owned(), allocated_bytes),
        ("    staged, in 16 bit".to_owned(), failure.staged_bytes),
        ("    on the way".to_owned(), failure.passing_bytes),
        ("  fragmented".to_owned(), failure.point.fragmented_bytes()),
        ("  largest free block".to_owned(), failure.largest_free_bytes),
        ("free on the device".to_owned(), failure.free_bytes),
        ("asked of the device".to_owned(), failure.asked_bytes),
    ];
    for (name, bytes) in rows {
        table.row([name, format_bytes(bytes), format!("{} bytes", grouped(bytes))]);
    }
    // The table has no headings.
    text.push_str(table.render().split_once('\n').map_or("", |(_, rows)| rows));
    let [step, all] = [simulation.steps, simulation.steps_in_all]
        .map(|steps| grouped(u64::try_from(steps).unwrap_or(u64::MAX)));
    text + &format!("it was step {step} of {all}\n")
}

fn devices(simulation: &Simulation) -> String {
    let mut table = Table::new(&[
        ("device", Align::Left),
        ("peak", Align::Right),
        ("of", Align::Right),
        ("", Align::Right),
        ("allocated", Align::Right),
        ("fragmented", Align::Right),
        ("outside", Align::Right),
    ]);
    for device in &simulation.devices {
        let point = device.peak.point;
        table.row([
            device.id.clone(),
            format_bytes(point.filled_bytes()),
            format_bytes(device.usable_bytes),
            percent(Ratio::new(point.filled_bytes(), device.usable_bytes)),
            format_bytes(point.allocated_bytes),
            format_bytes(point.fragmented_bytes()),
            format_bytes(point.outside_bytes),
        ]);
    }
    table.render()
}

/// What made each device as full as it was.
fn reasons(simulation: &Simulation, width: usize) -> String {
    let lines = simulation.devices.iter().filter_map(|device| {
        let reason = device.peak.reason.as_ref()?;
        let line = format!("peak of {} ({}): {}", device.id, reason.phase.name(), said(reason));
        Some(wrap(&line, width))
    });
    lines.collect()
}

/// Where the sum that the plan makes is already too large.
fn over(replayed: &Replayed<'_>, width: usize) -> String {
    let devices = replayed.simulation.devices.iter().zip(&replayed.planned_bytes);
    let over = devices.filter(|(device, planned)| **planned > device.usable_bytes);
    let lines = over.map(|(device, &planned)| {
        let line = format!(
            "by the plan's own bytes {} needs {}, {} more than may be used",
            device.id,
            format_bytes(planned),
            format_bytes(planned - device.usable_bytes),
        );
        wrap(&line, width)
    });
    lines.collect()
}

/// How full each device was over the load, a digit per stretch of steps.
fn filling(simulation: &Simulation, width: usize) -> String {
    let names = simulation.devices.iter().map(|device| device.id.chars().count());
    let name = names.max().unwrap_or(0).max("phase".len());
    let columns = width.saturating_sub(name + 4).clamp(10, 100);
    let stretch = Stretch::of(simulation);
    let column = |step: usize| {
        let at = usize::try_from(stretch.place(step)).unwrap_or(0).saturating_mul(columns);
        (at / usize::try_from(WHOLE).unwrap_or(1)).min(columns - 1)
    };
    let end = column(simulation.steps.saturating_sub(1));
    let mut text = String::from("filled over the load, in tenths of what may be used (f: full)\n");
    for device in &simulation.devices {
        let row: String = digits(device, columns, end, &column).into_iter().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:name$}  [{row}]", device.id);
    }
    let row = (0..columns).map(|at| letter(phase_of(&simulation.phases, at, &column)));
    let row: String = row.collect();
    let phases = simulation.phases.iter().map(|start| start.phase);
    let words: Vec<String> =
        phases.map(|phase| format!("{} {}", letter(phase), phase.name())).collect();
    let _ = writeln!(text, "{:name$}   {row}\n{}", "phase", words.join("  "));
    text
}

/// The fullest of each column; a column without a step is as full as the one before. Nothing after the end.
fn digits(
    device: &DeviceRun,
    columns: usize,
    end: usize,
    column: &impl Fn(usize) -> usize,
) -> Vec<char> {
    let mut most = vec![None::<u64>; columns];
    for point in &device.timeline {
        let cell = &mut most[column(point.step)];
        *cell = (*cell).max(Some(point.filled_bytes()));
    }
    let mut last = 0;
    let digit = |(at, filled): (usize, Option<u64>)| {
        last = filled.unwrap_or(last);
        let tenths = Ratio::new(last, device.usable_bytes).floor_of(10);
        let digit = u32::try_from(tenths).ok().and_then(|tenths| char::from_digit(tenths, 10));
        match (at > end, last) {
            (true, _) => ' ',
            (false, 0) => '.',
            (false, _) => digit.unwrap_or('f'),
        }
    };
    most.into_iter().enumerate().map(digit).collect()
}

fn phase_of(phases: &[PhaseStart], at: usize, column: &impl Fn(usize) -> usize) -> Phase {
    let begun = phases.iter().rev().find(|start| column(start.step) <= at);
    begun.map_or(Phase::Load, |start| start.phase)
}

fn letter(phase: Phase) -> char {
    match phase {
        Phase::Load => 'l',
        Phase::Cache => 'c',
        Phase::Prefill => 'p',
        Phase::Decode => 'd',
    }
}

/// GPUs are what a load is about.
fn is_gpu(device: &DeviceRun) -> bool {
    device.kind == DeviceKind::Gpu
}
