//! Memory over the load as a picture: a panel per device, as SVG that needs nothing else.
//!
//! It follows the reader's light or dark colours. Nothing is said by colour alone: what is reserved and not in use is
//! hatched, what may be used ends at a dashed line, and where a request finds no room there is a cross with its words.

use std::fmt::Write;

use super::Replayed;
use super::stretch::{Stretch, WHOLE};
use crate::error::printable;
use crate::report::frontier_svg::{short, ticks};
use crate::report::markup::escaped;
use crate::report::{percent, quantization};
use crate::simulate::{DeviceRun, Failure, PhaseStart, Point, Simulation};
use crate::units::{Ratio, format_bytes};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = WIDTH - 24.0;
/// Where the first panel begins.
const TOP: f64 = 122.0;
/// From the top of a panel to that of the next.
const PANEL: f64 = 178.0;
/// What of that is the drawing.
const HIGH: f64 = 126.0;

const STYLE: &str = "\
.paper{fill:#fff}.ink{fill:#1f2328}.soft{fill:#59636e}.grid{stroke:#e3e6ea}.axis{stroke:#8b949e}
.used{fill:#3b82c4}.outside{fill:#8b949e}.edge{stroke:#0b3d6e;fill:none}.hatch{stroke:#b45309}
.limit{stroke:#1f2328}.cross{stroke:#9a1b1b}.told{fill:#9a1b1b}
@media (prefers-color-scheme: dark){
.paper{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9ba5b0}.grid{stroke:#262c36}.axis{stroke:#6e7681}
.used{fill:#4c8fd0}.outside{fill:#6e7681}.edge{stroke:#b6dbff}.hatch{stroke:#f0a04b}
.limit{stroke:#e6edf3}.cross{stroke:#ff9d94}.told{fill:#ff9d94}
}";

/// The whole file.
pub fn simulation_svg(replayed: &Replayed<'_>) -> String {
    let Replayed { scenario, choices, simulation, .. } = replayed;
    let panels = simulation.devices.iter().map(|_| PANEL).sum::<f64>();
    let high = TOP + panels + 34.0;
    let name = format!("{} {}", printable(&scenario.model.name), quantization(&scenario.scheme));
    let runtime = printable(scenario.load.runtime.name());
    let how = format!(
        "{runtime}, allocator {}, order {}, context {}",
        choices.allocator.name(),
        choices.order.name(),
        scenario.load.context
    );
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {high}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n<style>\n{STYLE}\n</style>\n\
         <defs><pattern id=\"kept\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><path d=\"M0 0V5\" class=\"hatch\" stroke-width=\"1.6\"/>\
         </pattern></defs>\n\
         <rect width=\"{WIDTH}\" height=\"{high}\" class=\"paper\"/>\n\
         <text x=\"20\" y=\"30\" class=\"ink\" font-size=\"17\" font-weight=\"600\">{title}</text>\n\
         <text x=\"20\" y=\"51\" class=\"soft\">{how}</text>",
        title = escaped(&format!("{name}: memory over the load")),
        how = escaped(&how),
    );
    legend(&mut out);
    let mut top = TOP;
    for (index, device) in simulation.devices.iter().enumerate() {
        let failure = simulation.failure.as_ref().filter(|failure| failure.device == index);
        panel(&mut out, simulation, device, failure, top);
        top += PANEL;
    }
    let _ = writeln!(
        out,
        "<text x=\"{RIGHT}\" y=\"{}\" class=\"ink\" text-anchor=\"end\">requests and releases, in \
         order</text>\n</svg>",
        top - 14.0
    );
    out
}

/// What the signs mean.
fn legend(out: &mut String) {
    let signs = [
        (20.0, "<rect y=\"-9\" width=\"14\" height=\"11\" class=\"used\"/>", "in use"),
        (
            96.0,
            "<rect y=\"-9\" width=\"14\" height=\"11\" fill=\"url(#kept)\"/>",
            "reserved, not in use",
        ),
        (
            250.0,
            "<rect y=\"-9\" width=\"14\" height=\"11\" class=\"outside\"/>",
            "driver context and libraries",
        ),
        (
            446.0,
            "<path d=\"M0 -4h14\" class=\"limit\" stroke-dasharray=\"5 3\"/>",
            "what may be used",
        ),
    ];
    for (x, sign, text) in signs {
        let _ = writeln!(
            out,
            "<g transform=\"translate({x} 74)\">{sign}<text x=\"20\" class=\"soft\">{text}</text></g>"
        );
    }
}

/// Where things of a panel stand.
struct Scale {
    top: f64,
    stretch: Stretch,
    most: f64,
}

impl Scale {
    fn across(&self, step: usize) -> f64 {
        LEFT + Ratio::new(self.stretch.place(step), WHOLE).as_f64() * (RIGHT - LEFT)
    }

    fn up(&self, bytes: u64) -> f64 {
        self.top + HIGH - (Ratio::new(bytes, 1).as_f64() / self.most).min(1.0) * HIGH
    }
}

fn panel(
    out: &mut String,
    simulation: &Simulation,
    device: &DeviceRun,
    failure: Option<&Failure>,
    top: f64,
) {
    let usable = Ratio::new(device.usable_bytes, 1).as_f64();
    let scale = Scale { top, stretch: Stretch::of(simulation), most: usable * 1.06 };
    let peak = device.peak.point.filled_bytes();
    let share = percent(Ratio::new(peak, device.usable_bytes));
    let _ = writeln!(
        out,
        "<text x=\"20\" y=\"{}\" class=\"ink\" font-weight=\"600\">{}</text>\
         <text x=\"{RIGHT}\" y=\"{}\" class=\"soft\" text-anchor=\"end\">peak {} of {} ({share})</text>",
        top - 10.0,
        escaped(&printable(&device.id)),
        top - 10.0,
        format_bytes(peak),
        format_bytes(device.usable_bytes),
    );
    heights(out, &scale, device.usable_bytes);
    areas(out, &scale, &device.timeline);
    let limit = scale.up(device.usable_bytes);
    let _ = writeln!(
        out,
        "<path d=\"M{LEFT} {limit:.1}H{RIGHT}\" class=\"limit\" stroke-dasharray=\"5 3\"/>\n\
         <path d=\"M{LEFT} {top}V{0}H{RIGHT}\" fill=\"none\" class=\"axis\"/>",
        top + HIGH
    );
    phases(out, &scale, &simulation.phases);
    if let Some(failure) = failure {
        cross(out, &scale, failure, simulation.steps);
    }
}

/// Round sizes beside the panel: GiB, or MiB where there is less.
fn heights(out: &mut String, scale: &Scale, usable_bytes: u64) {
    const GIB: u64 = 1 << 30;
    let (unit, name) = if usable_bytes >= 2 * GIB { (GIB, "GiB") } else { (1 << 20, "MiB") };
    let most = Ratio::new(usable_bytes, unit).as_f64();
    for tick in ticks(0.0, most) {
        let y = scale.top + HIGH - tick / (most * 1.06) * HIGH;
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" class=\"grid\"/><text x=\"{}\" y=\"{:.1}\" \
             class=\"soft\" text-anchor=\"end\">{} {name}</text>",
            LEFT - 7.0,
            y + 4.0,
            short(tick),
        );
    }
}

/// What is outside, on it what is in use, on it what is kept; steps, because nothing is between two events.
fn areas(out: &mut String, scale: &Scale, timeline: &[Point]) {
    let outside = |point: &Point| point.outside_bytes;
    let used = |point: &Point| point.outside_bytes.saturating_add(point.allocated_bytes);
    let kept = |point: &Point| point.filled_bytes();
    let bottom = |_: &Point| 0;
    area(out, scale, timeline, bottom, outside, "class=\"outside\"");
    area(out, scale, timeline, outside, used, "class=\"used\"");
    area(out, scale, timeline, used, kept, "fill=\"url(#kept)\"");
    let edge = steps(scale, timeline, kept);
    let _ = writeln!(out, "<path d=\"{edge}\" class=\"edge\" stroke-width=\"1\"/>");
}

/// A staircase: between two events there is what was there after the first.
fn steps(scale: &Scale, timeline: &[Point], height: impl Fn(&Point) -> u64) -> String {
    let mut path = String::new();
    for point in timeline {
        let (x, y) = (scale.across(point.step), scale.up(height(point)));
        let _ = if path.is_empty() {
            write!(path, "M{x:.1} {y:.1}")
        } else {
            write!(path, "H{x:.1}V{y:.1}")
        };
    }
    path
}

fn area(
    out: &mut String,
    scale: &Scale,
    timeline: &[Point],
    from: impl Fn(&Point) -> u64,
    to: impl Fn(&Point) -> u64,
    fill: &str,
) {
    if timeline.iter().all(|point| from(point) == to(point)) {
        return;
    }
    let mut path = steps(scale, timeline, to);
    // The same staircase back, from the last to the first.
    for point in timeline.iter().rev() {
        let _ = write!(path, "V{:.1}H{:.1}", scale.up(from(point)), scale.across(point.step));
    }
    let _ = writeln!(out, "<path d=\"{path}Z\" {fill}/>");
}

/// A line where each begins and its name below.
fn phases(out: &mut String, scale: &Scale, phases: &[PhaseStart]) {
    for (index, start) in phases.iter().enumerate() {
        let x = scale.across(start.step);
        let bottom = scale.top + HIGH;
        if index > 0 {
            let _ = writeln!(
                out,
                "<path d=\"M{x:.1} {:.1}V{:.1}\" class=\"axis\" stroke-dasharray=\"2 3\"/>",
                scale.top,
                bottom + 16.0
            );
        }
        let name = start.phase.name();
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"soft\">{name}</text>",
            x + 4.0,
            bottom + 15.0
        );
    }
}

/// Where a request finds no room.
fn cross(out: &mut String, scale: &Scale, failure: &Failure, step: usize) {
    let (x, y) = (scale.across(step), scale.up(failure.point.filled_bytes()));
    let what = failure
        .reason
        .component
        .clone()
        .unwrap_or_else(|| failure.reason.purpose.words().to_owned());
    let text = format!("no room for {}: {}", format_bytes(failure.request_bytes), printable(&what));
    // Beside the cross, on the side where there is room.
    let (at, anchor) =
        if x < f64::midpoint(LEFT, RIGHT) { (x + 12.0, "start") } else { (x - 12.0, "end") };
    let _ = writeln!(
        out,
        "<path d=\"M{:.1} {:.1}l10 10m0 -10l-10 10\" class=\"cross\" stroke-width=\"2.4\"/>\
         <text x=\"{at:.1}\" y=\"{:.1}\" class=\"told\" text-anchor=\"{anchor}\" \
         font-weight=\"600\">{}</text>",
        x - 5.0,
        y - 5.0,
        y + 18.0,
        escaped(&text),
    );
}
