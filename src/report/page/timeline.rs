//! Memory over the load, a small panel per device, in a bounded number of points.

use std::fmt::Write;

use super::View;
use crate::report::markup::{escaped, shown, visible};
use crate::report::percent;
use crate::report::simulation::stretch::{Stretch, WHOLE};
use crate::simulate::{Choices, DeviceRun, Failure, Phase, Point, Reason, Simulation};
use crate::units::{Ratio, format_bytes};

/// The size of a panel's own coordinates.
const WIDE: u64 = 2000;
const HIGH: u64 = 200;

/// A load that was replayed, or why it could not be.
#[derive(Debug)]
pub enum Replay {
    /// What came of it.
    Done {
        /// How it was loaded.
        choices: Choices,
        /// What happened.
        simulation: Simulation,
    },
    /// Why there is none.
    Missing(String),
}

/// The most points that are drawn of each of so many devices.
pub(super) fn points_max(devices: usize) -> usize {
    (4096 / devices.max(1)).clamp(64, 256)
}

/// At most so many points: of neighbours the fullest one stays, and the last one always.
pub(super) fn fewer(points: &[Point], most: usize) -> Vec<Point> {
    let chunk = points.len().div_ceil(most.saturating_sub(1).max(1)).max(1);
    let fullest = |points: &[Point]| points.iter().copied().max_by_key(Point::filled_bytes);
    let mut fewer: Vec<Point> = points.chunks(chunk).filter_map(fullest).collect();
    if let Some(last) = points.last().filter(|last| fewer.last() != Some(last)) {
        fewer.push(*last);
    }
    fewer
}

pub(super) fn section(view: &View<'_>) -> String {
    let mut out = String::from(
        "<section class=\"load\" aria-labelledby=\"load\"><h2 id=\"load\">Memory over the load</h2>\n",
    );
    match view.replay {
        Replay::Missing(why) => {
            let _ = writeln!(
                out,
                "<p class=\"note\">There is no replay of this load: {}</p>",
                escaped(&visible(why, 300))
            );
        }
        Replay::Done { choices, simulation } => drawn(&mut out, view, choices, simulation),
    }
    out.push_str("</section>\n");
    out
}

fn drawn(out: &mut String, view: &View<'_>, choices: &Choices, simulation: &Simulation) {
    let _ = write!(
        out,
        "<p class=\"note\">Replayed request by request with the allocator of {} in {} order: a prompt of {} \
         tokens and {} more. {}</p>\n{LEGEND}",
        choices.allocator.name(),
        choices.order.name(),
        view.record.scenario.load.context.saturating_sub(choices.decode),
        choices.decode,
        verdict(simulation),
    );
    out.push_str("<div class=\"panels nav\" data-nav=\"load\">\n");
    for (index, device) in simulation.devices.iter().enumerate() {
        let failure = simulation.failure.as_ref().filter(|failure| failure.device == index);
        panel(out, view, simulation, index, device, failure);
    }
    out.push_str("</div>\n");
}

const LEGEND: &str = "<ul class=\"legend\">\
<li><svg width=\"22\" height=\"12\" aria-hidden=\"true\"><rect width=\"22\" height=\"12\" class=\"d0\"/></svg>in use</li>\
<li><svg width=\"22\" height=\"12\" aria-hidden=\"true\"><rect width=\"22\" height=\"12\" class=\"kept\"/></svg>reserved, not in use</li>\
<li><svg width=\"22\" height=\"12\" aria-hidden=\"true\"><rect width=\"22\" height=\"12\" class=\"driver\"/></svg>driver context and libraries</li>\
<li><svg width=\"22\" height=\"12\" aria-hidden=\"true\"><path d=\"M0 6H22\" class=\"ceiling\"/></svg>what may be used</li></ul>\n";

/// Whether the last token comes.
fn verdict(simulation: &Simulation) -> String {
    match &simulation.failure {
        None => "Every request finds room until the last token.".to_owned(),
        Some(failure) => {
            let device = &simulation.devices[failure.device];
            format!(
                "<span class=\"told\">On {} there is no room for {} in the {} phase, asked for by {}: the plan \
                 counts bytes, an allocator rounds and keeps some.</span>",
                shown(&device.id),
                format_bytes(failure.request_bytes),
                failure.reason.phase.name(),
                because(&failure.reason),
            )
        }
    }
}

/// What asked for memory.
fn because(reason: &Reason) -> String {
    let component = reason.component.as_deref().map(|name| format!(" of {}", shown(name)));
    format!("{}{}", reason.purpose.words(), component.unwrap_or_default())
}

/// Where things of a panel stand.
struct Scale {
    stretch: Stretch,
    most_bytes: u64,
}

impl Scale {
    fn across(&self, step: usize) -> u64 {
        self.stretch.place(step) * WIDE / WHOLE
    }

    fn up(&self, bytes: u64) -> u64 {
        let up = Ratio::new(bytes.min(self.most_bytes), self.most_bytes).floor_of(HIGH);
        HIGH - up
    }

    /// A place in percent of the panel.
    fn percent(&self, step: usize) -> String {
        super::share(self.stretch.place(step), WHOLE)
    }
}

fn panel(
    out: &mut String,
    view: &View<'_>,
    simulation: &Simulation,
    index: usize,
    device: &DeviceRun,
    failure: Option<&Failure>,
) {
    let usable = device.usable_bytes;
    let scale =
        Scale { stretch: Stretch::of(simulation), most_bytes: usable.saturating_add(usable / 12) };
    let peak = device.peak.point.filled_bytes();
    let name = shown(&device.id);
    let _ = write!(
        out,
        "<div class=\"panel\"><p><span><span class=\"chip d{index}\">{}</span> <b>{name}</b></span>\
         <span class=\"soft\">peak {} of {} ({})</span></p>\n\
         <svg class=\"high\" width=\"100%\" height=\"96\" data-row=\"\" role=\"group\" aria-label=\"{name}\">\
         <rect class=\"track\" width=\"100%\" height=\"100%\"/>\n\
         <svg width=\"100%\" height=\"100%\" viewBox=\"0 0 {WIDE} {HIGH}\" preserveAspectRatio=\"none\">",
        view.letter(index),
        format_bytes(peak),
        format_bytes(usable),
        percent(Ratio::new(peak, usable)),
    );
    let points = fewer(&device.timeline, points_max(simulation.devices.len()));
    let filled = area(&scale, &points, Point::filled_bytes);
    let used =
        area(&scale, &points, |point| point.outside_bytes.saturating_add(point.allocated_bytes));
    let outside = area(&scale, &points, |point| point.outside_bytes);
    let limit = scale.up(usable);
    let _ = writeln!(
        out,
        "<path d=\"{filled}\" class=\"kept\"/><path d=\"{used}\" class=\"d{index}\"/>\
         <path d=\"{outside}\" class=\"driver\"/>\
         <path d=\"M0 {limit}H{WIDE}\" class=\"ceiling\" vector-effect=\"non-scaling-stroke\"/></svg>"
    );
    phases(out, simulation, &scale, device, &points, &name);
    if let Some(failure) = failure {
        let _ = write!(
            out,
            "<text x=\"{}%\" y=\"18\" text-anchor=\"middle\" class=\"cross\">\u{d7}<title>no room for {} asked \
             for by {}</title></text>",
            scale.percent(simulation.steps),
            format_bytes(failure.request_bytes),
            because(&failure.reason),
        );
    }
    out.push_str("</svg>\n");
    axis(out, simulation, &scale);
    out.push_str("</div>\n");
}

/// What is below a staircase: between two events there is what was there after the first.
fn area(scale: &Scale, points: &[Point], height: impl Fn(&Point) -> u64) -> String {
    if points.iter().all(|point| height(point) == 0) {
        return String::new();
    }
    let mut path = String::new();
    let mut last = None;
    let mut end = 0;
    for point in points {
        let (x, y) = (scale.across(point.step), scale.up(height(point)));
        end = x;
        if path.is_empty() {
            let _ = write!(path, "M{x} {HIGH}V{y}");
        } else if last != Some(y) {
            let _ = write!(path, "H{x}V{y}");
        }
        last = Some(y);
    }
    let _ = write!(path, "H{end}V{HIGH}Z");
    path
}

/// A line where each phase begins, and over each what there was at most.
fn phases(
    out: &mut String,
    simulation: &Simulation,
    scale: &Scale,
    device: &DeviceRun,
    points: &[Point],
    name: &str,
) {
    for (at, (phase, begin, end)) in stretches(simulation).into_iter().enumerate() {
        let inside = points.iter().filter(|point| (begin..end).contains(&point.step));
        let most = inside.max_by_key(|point| point.filled_bytes());
        let told = most.map_or_else(
            || "nothing new".to_owned(),
            |most| {
                let reserved = format_bytes(most.filled_bytes());
                format!("up to {reserved}, {} of it in use", format_bytes(most.allocated_bytes))
            },
        );
        let (x, to) = (scale.stretch.place(begin), scale.stretch.place(end));
        let left = super::share(x, WHOLE);
        if at > 0 {
            let _ = write!(
                out,
                "<rect class=\"outside\" x=\"{left}%\" width=\"1\" height=\"100%\" opacity=\"0.5\"/>"
            );
        }
        let _ = write!(
            out,
            "<g role=\"img\"><title>{name}, {}: {told} of {}</title><rect class=\"hit\" x=\"{left}%\" \
             width=\"{}%\" height=\"100%\"/></g>",
            phase.name(),
            format_bytes(device.usable_bytes),
            super::share(to.saturating_sub(x), WHOLE),
        );
    }
}

/// Each phase with its first step and the one after its last.
fn stretches(simulation: &Simulation) -> Vec<(Phase, usize, usize)> {
    let ends = simulation.phases.iter().skip(1).map(|start| start.step);
    let ends = ends.chain([simulation.steps_in_all]);
    simulation.phases.iter().zip(ends).map(|(start, end)| (start.phase, start.step, end)).collect()
}

/// The names of phases below.
fn axis(out: &mut String, simulation: &Simulation, scale: &Scale) {
    out.push_str("<svg class=\"axis\" width=\"100%\" height=\"15\" aria-hidden=\"true\">");
    for (phase, begin, _) in stretches(simulation) {
        let _ = write!(
            out,
            "<text x=\"{}%\" y=\"12\" dx=\"3\">{}</text>",
            scale.percent(begin),
            phase.name()
        );
    }
    out.push_str("</svg>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_points_keep_the_peak_and_the_end() {
        let at = |step: usize| Point {
            step,
            reserved_bytes: if step == 333 { 100 } else { 7 },
            ..Point::default()
        };
        for count in [1, 2, 63, 64, 65, 512] {
            let points: Vec<Point> = (0..count).map(at).collect();
            let fewer = fewer(&points, 64);
            assert!(fewer.len() <= 64, "{} of {count}", fewer.len());
            assert_eq!(fewer.last(), points.last());
            let peak = |points: &[Point]| points.iter().map(|point| point.reserved_bytes).max();
            assert_eq!(peak(&fewer), peak(&points));
            assert!(fewer.windows(2).all(|two| two[0].step < two[1].step));
        }
        assert!(fewer(&[], 64).is_empty());
        assert_eq!([1, 16, 64, 1000].map(points_max), [256, 256, 64, 64]);
    }
}
