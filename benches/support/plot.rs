//! Lines over logarithmic axes, as SVG by hand: a picture of powers needs nothing more.

use std::fmt::Write;

/// Measured points of one instance: size and seconds, in order of size.
pub struct Series {
    /// What was measured.
    pub name: String,
    /// At least one; all numbers above 0.
    pub points: Vec<(f64, f64)>,
}

/// One picture: what grows along the bottom, seconds upwards.
pub struct Panel {
    /// What grows.
    pub what: &'static str,
    /// A line each.
    pub series: Vec<Series>,
}

impl Series {
    /// The power of the size that the time grows with: the slope of the least squares over logarithms.
    pub fn exponent(&self) -> f64 {
        let logs = || self.points.iter().map(|(size, seconds)| (size.ln(), seconds.ln()));
        let count: f64 = self.points.iter().map(|_| 1.0).sum();
        let (x, y) = logs().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / count, y + b / count));
        let (above, below) = logs().fold((0.0, 0.0), |(above, below), (a, b)| {
            (above + (a - x) * (b - y), below + (a - x) * (a - x))
        });
        above / below
    }
}

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 260.0;
const MARGIN: f64 = 48.0;
const COLORS: [&str; 4] = ["#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad"];

/// All panels side by side on the same time axis, so that slopes can be compared by eye.
pub fn draw(panels: &[Panel]) -> String {
    let all = || panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let seconds = range(all().map(|point| point.1));
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

fn draw_panel(out: &mut String, panel: &Panel, left: f64, seconds: (f64, f64)) {
    let sizes = panel.series.iter().flat_map(|series| &series.points).map(|point| point.0);
    let sizes = range(sizes);
    let across = |size: f64| left + MARGIN + share(size, sizes) * (WIDTH - 1.5 * MARGIN);
    let up = |time: f64| HEIGHT - MARGIN - share(time, seconds) * (HEIGHT - 2.0 * MARGIN);
    let (right, bottom) = (left + WIDTH - 0.5 * MARGIN, HEIGHT - MARGIN);
    let _ = writeln!(
        out,
        "<path d=\"M{x} {MARGIN}V{bottom}H{right}\" fill=\"none\" stroke=\"#444\"/>\n\
         <text x=\"{x}\" y=\"{y}\">seconds against {}, both logarithmic</text>",
        panel.what,
        x = left + MARGIN,
        y = 0.4 * MARGIN,
    );
    let mut tick = 1e-4;
    while tick <= seconds.1 * 1.001 {
        if tick >= seconds.0 * 0.999 {
            let (x, y) = (left + MARGIN, up(tick));
            let _ = writeln!(
                out,
                "<path d=\"M{x} {y:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick:.4}</text>",
                x - 4.0,
                y + 3.0,
            );
        }
        tick *= 10.0;
    }
    for (series, color, row) in
        panel.series.iter().zip(COLORS).zip(1..).map(|((s, c), r)| (s, c, r))
    {
        let points: Vec<String> = series
            .points
            .iter()
            .map(|&(size, time)| format!("{:.1},{:.1}", across(size), up(time)))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
            points.join(" ")
        );
        for &(size, time) in &series.points {
            let (x, y) = (across(size), up(time));
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{color}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{color}\">{size}</text>",
                bottom + 11.0 * f64::from(row),
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" fill=\"{color}\">{}: exponent {:.2}</text>",
            left + MARGIN + 6.0,
            0.4 * MARGIN + 12.0 * f64::from(row),
            series.name,
            series.exponent()
        );
    }
}

/// Smallest and largest.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, 0.0), |(low, high), n| (low.min(n), high.max(n)))
}

/// Where a number lies between two, by its logarithm.
fn share(number: f64, (low, high): (f64, f64)) -> f64 {
    if high > low { (number / low).ln() / (high / low).ln() } else { 0.5 }
}
