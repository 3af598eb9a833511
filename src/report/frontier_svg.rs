//! The frontier as a picture: a staircase over what is proven impossible, as SVG that needs nothing else.
//!
//! It follows the reader's light or dark colours. Nothing is said by colour alone: points that are not
//! proven are hollow with a bar down to their bound, and what is impossible is hatched.

use std::fmt::Write;

use super::frontier::extent;
use super::markup::escaped;
use super::{decimal, percent, quantization};
use crate::error::printable;
use crate::frontier::{Frontier, Point};
use crate::scenario::Scenario;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = WIDTH - 28.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = HEIGHT - 62.0;

/// Traffic that spans more than this factor is drawn over a logarithmic axis.
const SPAN_LINEAR_MAX: f64 = 20.0;

const STYLE: &str = "\
.paper{fill:#fff}.ink{fill:#1f2328}.soft{fill:#59636e}.grid{stroke:#e3e6ea}.axis{stroke:#8b949e}
.line{stroke:#0b57a4;fill:none}.dot{stroke:#0b57a4;fill:#0b57a4}.hollow{stroke:#0b57a4;fill:#fff}
.hatch{stroke:#9aa4af}
@media (prefers-color-scheme: dark){
.paper{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9ba5b0}.grid{stroke:#262c36}.axis{stroke:#6e7681}
.line{stroke:#6cb6ff}.dot{stroke:#6cb6ff;fill:#6cb6ff}.hollow{stroke:#6cb6ff;fill:#0d1117}
.hatch{stroke:#4b5563}
}";

/// The whole file.
pub fn draw(scenario: &Scenario, frontier: &Frontier) -> String {
    let mut out = String::new();
    let (Some(first), Some(last)) = (frontier.points.first(), frontier.points.last()) else {
        return out;
    };
    let axes = Axes::around(first, last, &frontier.points);
    let name = format!("{} {}", printable(&scenario.model.name), quantization(&scenario.scheme));
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n<style>\n{STYLE}\n</style>\n\
         <defs><pattern id=\"no\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><path d=\"M0 0V7\" class=\"hatch\" stroke-width=\"1.2\"/>\
         </pattern></defs>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" class=\"paper\"/>\n\
         <text x=\"20\" y=\"30\" class=\"ink\" font-size=\"17\" font-weight=\"600\">{title}</text>\n\
         <text x=\"20\" y=\"51\" class=\"soft\">{extent}</text>",
        title = escaped(&format!("{name}: peak against traffic")),
        extent = escaped(&extent(frontier)),
    );
    impossible(&mut out, &axes, &frontier.points);
    scales(&mut out, &axes);
    staircase(&mut out, &axes, &frontier.points);
    labels(&mut out, &axes, &frontier.points);
    legend(&mut out, frontier);
    out.push_str("</svg>\n");
    out
}

/// What the axes span.
struct Axes {
    traffic: (f64, f64),
    logarithmic: bool,
    peak: (f64, f64),
}

impl Axes {
    fn around(first: &Point, last: &Point, points: &[Point]) -> Self {
        let (left, right) = (first.traffic.as_f64(), last.traffic.as_f64());
        let logarithmic = left > 0.0 && right > left * SPAN_LINEAR_MAX;
        let traffic = if logarithmic {
            (left * 0.85, right * 1.25)
        } else {
            let margin = if right > left { (right - left) * 0.08 } else { 1.0 };
            ((left - margin).max(0.0), right + 1.4 * margin)
        };
        let bounds = points.iter().map(|point| point.step_bound.as_f64());
        let low = bounds.fold(last.peak.as_f64(), f64::min);
        let high = first.peak.as_f64();
        let margin = if high > low { (high - low) * 0.14 } else { high.max(0.01) * 0.1 };
        Self { traffic, logarithmic, peak: ((low - margin).max(0.0), high + margin) }
    }

    fn across(&self, traffic: f64) -> f64 {
        let (from, to) = self.traffic;
        let share = if self.logarithmic {
            (traffic.max(from) / from).ln() / (to / from).ln()
        } else {
            (traffic - from) / (to - from)
        };
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn up(&self, peak: f64) -> f64 {
        let (from, to) = self.peak;
        BOTTOM - ((peak - from) / (to - from)).clamp(0.0, 1.0) * (BOTTOM - TOP)
    }

    fn place(&self, point: &Point) -> (f64, f64) {
        (self.across(point.traffic.as_f64()), self.up(point.peak.as_f64()))
    }
}

/// The hatched area: left of the least traffic, and below what is proven at each amount.
fn impossible(out: &mut String, axes: &Axes, points: &[Point]) {
    let Some(first) = points.first() else { return };
    let x = axes.across(first.traffic_bound.as_f64());
    let mut path = format!("M{LEFT} {BOTTOM}V{TOP}H{x:.1}");
    for (index, point) in points.iter().enumerate() {
        let right = points.get(index + 1).map_or(RIGHT, |next| axes.place(next).0);
        let _ = write!(path, "V{:.1}H{right:.1}", axes.up(point.step_bound.as_f64()));
    }
    let _ = writeln!(out, "<path d=\"{path}V{BOTTOM}Z\" fill=\"url(#no)\" opacity=\"0.55\"/>");
}

fn scales(out: &mut String, axes: &Axes) {
    for tick in ticks(axes.peak.0 * 100.0, axes.peak.1 * 100.0) {
        let y = axes.up(tick / 100.0);
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" class=\"grid\"/><text x=\"{}\" y=\"{:.1}\" \
             class=\"soft\" text-anchor=\"end\">{} %</text>",
            LEFT - 8.0,
            y + 4.0,
            short(tick),
        );
    }
    let (from, to) = axes.traffic;
    for tick in if axes.logarithmic { decades(from, to) } else { ticks(from, to) } {
        let x = axes.across(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {BOTTOM}v5\" class=\"axis\"/><text x=\"{x:.1}\" y=\"{}\" \
             class=\"soft\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 19.0,
            short(tick),
        );
    }
    let scale = if axes.logarithmic { ", logarithmic" } else { "" };
    let _ = writeln!(
        out,
        "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" class=\"axis\"/>\n\
         <text x=\"{RIGHT}\" y=\"{}\" class=\"ink\" text-anchor=\"end\">traffic (expected transfers \
         per token{scale})</text>\n\
         <text x=\"20\" y=\"{}\" class=\"ink\">peak utilization (% of a GPU's capacity)</text>",
        BOTTOM + 42.0,
        TOP - 14.0,
    );
}

/// Less of one for more of the other; a point for each placement.
fn staircase(out: &mut String, axes: &Axes, points: &[Point]) {
    let Some(first) = points.first() else { return };
    let mut path = format!("M{:.1} {TOP}", axes.place(first).0);
    for point in points {
        let (x, y) = axes.place(point);
        let _ = write!(path, "H{x:.1}V{y:.1}");
    }
    let _ = writeln!(out, "<path d=\"{path}H{RIGHT}\" class=\"line\" stroke-width=\"2\"/>");
    for point in points {
        let (x, y) = axes.place(point);
        let bound = axes.up(point.peak_bound.as_f64());
        if !point.proven && bound - y > 1.0 {
            let _ = writeln!(
                out,
                "<path d=\"M{x:.1} {y:.1}V{bound:.1}m-4 0h8\" class=\"line\" stroke-width=\"1.5\" \
                 stroke-dasharray=\"3 2\"/>"
            );
        }
        let class = if point.proven { "dot" } else { "hollow" };
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" class=\"{class}\" stroke-width=\"2\">\
             <title>{}</title></circle>",
            escaped(&told(point)),
        );
    }
}

/// A point in words, for who points at it.
fn told(point: &Point) -> String {
    let proven = if point.proven {
        "proven".to_owned()
    } else {
        format!(
            "not proven: peak {} or traffic {} is not excluded",
            percent(point.peak_bound),
            decimal(point.traffic_bound)
        )
    };
    format!(
        "peak {}, {} transfers per token; {proven}",
        percent(point.peak),
        decimal(point.traffic)
    )
}

/// The values beside the points, the ends first, as far as there is room for them.
fn labels(out: &mut String, axes: &Axes, points: &[Point]) {
    const HIGH: f64 = 14.0;
    let last = points.len().saturating_sub(1);
    let inner = 1..last;
    let order = [0].into_iter().chain((last > 0).then_some(last)).chain(inner);
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for point in order.filter_map(|index| points.get(index)) {
        let text = format!("{} at {}", percent(point.peak), decimal(point.traffic));
        let long = text.chars().map(|_| 6.4).sum::<f64>();
        let (x, y) = axes.place(point);
        let (x, y) = ((x + 9.0).min(RIGHT - long), y - 8.0);
        let meets = |&(left, base, wide): &(f64, f64, f64)| {
            x < left + wide && left < x + long && (y - base).abs() < HIGH
        };
        let crossed = points.iter().map(|other| axes.place(other)).any(|(px, py)| {
            (x - 5.0..x + long + 5.0).contains(&px) && (y - HIGH..y + 6.0).contains(&py)
        });
        if crossed || taken.iter().any(meets) {
            continue;
        }
        taken.push((x, y, long));
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"ink\">{text}</text>");
    }
}

/// What the signs mean, of those that are used.
fn legend(out: &mut String, frontier: &Frontier) {
    let y = TOP + 16.0;
    let mut rows = vec![
        (
            "<rect x=\"-8\" y=\"-9\" width=\"16\" height=\"11\" fill=\"url(#no)\"/>",
            "proven impossible",
        ),
        (
            "<circle cy=\"-4\" r=\"4.5\" class=\"dot\" stroke-width=\"2\"/>",
            "a placement, proven: none beats it",
        ),
    ];
    if frontier.points.iter().any(|point| !point.proven) {
        rows.push((
            "<circle cy=\"-4\" r=\"4.5\" class=\"hollow\" stroke-width=\"2\"/>",
            "not proven; dashes reach down to its bound",
        ));
    }
    let mut down = y;
    for (sign, text) in rows {
        let _ = writeln!(
            out,
            "<g transform=\"translate({} {down})\">{sign}<text x=\"16\" class=\"soft\">{text}</text></g>",
            RIGHT - 262.0,
        );
        down += 19.0;
    }
}

/// Round numbers between two, four to ten of them.
pub(super) fn ticks(from: f64, to: f64) -> Vec<f64> {
    let raw = (to - from) / 5.0;
    let power = 10_f64.powf(raw.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps.map(|s| s * power).into_iter().find(|&s| s >= raw).unwrap_or(raw);
    let mut tick = (from / step).ceil() * step;
    let mut all = Vec::new();
    while tick <= to && all.len() < 20 {
        all.push(tick);
        tick += step;
    }
    all
}

/// 1, 2 and 5 times the powers of ten between two numbers above 0.
fn decades(from: f64, to: f64) -> Vec<f64> {
    let mut power = 10_f64.powf(from.log10().floor());
    let mut all = Vec::new();
    while power <= to && all.len() < 60 {
        all.extend([1.0, 2.0, 5.0].map(|n| n * power));
        power *= 10.0;
    }
    all.retain(|tick| (from..=to).contains(tick));
    all
}

/// A number of a tick: no more places than it has.
pub(super) fn short(tick: f64) -> String {
    let text = format!("{tick:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(1.0, 6.9), [2.0, 4.0, 6.0]);
        assert_eq!(ticks(61.0, 78.0), [65.0, 70.0, 75.0]);
        assert_eq!(decades(5.1, 394.0), [10.0, 20.0, 50.0, 100.0, 200.0]);
        assert_eq!([short(2.5), short(70.0), short(0.1 + 0.2)], ["2.5", "70", "0.3"]);
    }
}
