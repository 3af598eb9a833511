//! Lines over logarithmic axes, as SVG by hand: a picture of powers needs nothing more.

use std::fmt::Write;

/// One measurement; both numbers are above 0.
pub struct Point {
    /// How large the instance was.
    pub size: f64,
    /// How long it took.
    pub seconds: f64,
    /// Whether the clock ended it, so that it shows the limit and not what it would have taken.
    pub stopped: bool,
}

/// Measurements of one instance, in order of size.
pub struct Series {
    /// What was measured.
    pub name: String,
    /// At least one.
    pub points: Vec<Point>,
}

/// One picture: what grows along the bottom, seconds upwards.
pub struct Panel {
    /// What grows.
    pub what: &'static str,
    /// A line each.
    pub series: Vec<Series>,
}

impl Series {
    /// The power of the size that the time grows with, as text: the slope of the least squares over
    /// logarithms, of those that the clock did not end; `-` where fewer than two are left.
    pub fn exponent(&self) -> String {
        let ended = self.points.iter().filter(|point| !point.stopped);
        let logs: Vec<(f64, f64)> = ended.map(|p| (p.size.ln(), p.seconds.ln())).collect();
        if logs.len() < 2 {
            return "-".to_owned();
        }
        let count: f64 = logs.iter().map(|_| 1.0).sum();
        let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|log| log.0), mean(|log| log.1));
        let together: f64 = logs.iter().map(|(a, b)| (a - x) * (b - y)).sum();
        let alone: f64 = logs.iter().map(|(a, _)| (a - x) * (a - x)).sum();
        format!("{:.2}", together / alone)
    }
}

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 260.0;
const MARGIN: f64 = 48.0;
const TICKS: [(f64, &str); 7] = [
    (1e-4, "0.1 ms"),
    (1e-3, "1 ms"),
    (1e-2, "10 ms"),
    (1e-1, "0.1 s"),
    (1.0, "1 s"),
    (10.0, "10 s"),
    (100.0, "100 s"),
];
const COLORS: [&str; 4] = ["#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad"];

/// All panels side by side on the same time axis, so that slopes can be compared by eye.
pub fn draw(panels: &[Panel]) -> String {
    let all = || panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let seconds = range(all().map(|point| point.seconds));
    let mut out = String::new();
    let width = WIDTH * panels.iter().map(|_| 1.0).sum::<f64>();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"white\"/>"
    );
    let mut left = 0.0;
    for panel in panels {
        draw_panel(&mut out, panel, left, seconds);
        left += WIDTH;
    }
    out.push_str("</svg>\n");
    out
}

/// Where a panel lies and what its axes span.
struct Axes {
    left: f64,
    sizes: (f64, f64),
    seconds: (f64, f64),
}

impl Axes {
    const BOTTOM: f64 = HEIGHT - MARGIN;

    fn across(&self, size: f64) -> f64 {
        self.left + MARGIN + share(size, self.sizes) * (WIDTH - 1.5 * MARGIN)
    }

    fn up(&self, seconds: f64) -> f64 {
        Self::BOTTOM - share(seconds, self.seconds) * (HEIGHT - 2.0 * MARGIN)
    }
}

fn draw_panel(out: &mut String, panel: &Panel, left: f64, seconds: (f64, f64)) {
    let sizes = panel.series.iter().flat_map(|series| &series.points).map(|point| point.size);
    let axes = Axes { left, sizes: range(sizes), seconds };
    let (x, right, bottom) = (left + MARGIN, left + WIDTH - 0.5 * MARGIN, Axes::BOTTOM);
    let _ = writeln!(
        out,
        "<path d=\"M{x} {MARGIN}V{bottom}H{right}\" fill=\"none\" stroke=\"#444\"/>\n\
         <text x=\"{x}\" y=\"{}\">time against {}, both logarithmic</text>",
        0.4 * MARGIN,
        panel.what,
    );
    for (tick, name) in TICKS.iter().filter(|(t, _)| (seconds.0..=seconds.1).contains(t)) {
        let y = axes.up(*tick);
        let _ = writeln!(
            out,
            "<path d=\"M{x} {y:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            x - 4.0,
            y + 3.0,
        );
    }
    let mut row = 0.0;
    for (series, color) in panel.series.iter().zip(COLORS) {
        row += 1.0;
        draw_series(out, series, color, &axes, row);
    }
}

/// The line, its sizes below the axis and its exponent above, each in a row of their own.
fn draw_series(out: &mut String, series: &Series, color: &str, axes: &Axes, row: f64) {
    let place = |point: &Point| (axes.across(point.size), axes.up(point.seconds));
    let corner = |point: &Point| {
        let (x, y) = place(point);
        format!("{x:.1},{y:.1}")
    };
    let corners: Vec<String> = series.points.iter().map(corner).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
        corners.join(" ")
    );
    for point in &series.points {
        let (x, y) = place(point);
        // Hollow where the clock ended it.
        let fill = if point.stopped { "white" } else { color };
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{fill}\" stroke=\"{color}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{color}\">{}</text>",
            Axes::BOTTOM + 11.0 * row,
            point.size,
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" fill=\"{color}\">{}: exponent {}</text>",
        axes.left + MARGIN + 6.0,
        0.4 * MARGIN + 12.0 * row,
        series.name,
        series.exponent()
    );
}

/// Smallest and largest.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, 0.0), |(low, high), n| (low.min(n), high.max(n)))
}

/// Where a number lies between two, by its logarithm.
fn share(number: f64, (low, high): (f64, f64)) -> f64 {
    if high > low { (number / low).ln() / (high / low).ln() } else { 0.5 }
}
