//! The essentials as one still picture: memory per device and the map, with titles to point at.

use std::fmt::Write;

use super::grid::{Home, Row, Run};
use super::memory::{Segment, scale_bytes, segments, told};
use super::{DEFINITIONS, Page, View, map, palette, percent, share};
use crate::report::markup::shown;
use crate::units::format_bytes;

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 24.0;
const RIGHT: f64 = WIDTH - 24.0;
/// Where bars begin and end.
const BAR: (f64, f64) = (190.0, 850.0);
/// Where the columns of the map begin.
const CELLS: f64 = 110.0;
/// The width of a column that holds no expert.
const PART: f64 = 34.0;
/// Where what a layer sends is told: the number ends here, and the bar begins.
const SENT: f64 = 1000.0;
/// Cells at least this wide have a letter.
const LETTER: f64 = 7.0;

const STYLE: &str = "\
.paper{fill:#fff}.ink{fill:#1f2328}.soft{fill:#59636e}.track,.all{fill:#eef0f3}.hand{fill:#1f2328}.away{fill:#0b57a4}
.veil{stroke:#fff;stroke-opacity:.55}.dots{fill:#fff;fill-opacity:.55}.softline{stroke:#7d8590}.hit{fill:none}
.staged{fill:none;stroke:#1f2328;stroke-dasharray:3 2}
@media (prefers-color-scheme: dark){
.paper{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9ba5b0}.track,.all{fill:#1b212a}.hand{fill:#e6edf3}.away{fill:#6cb6ff}
.veil{stroke:#0d1117;stroke-opacity:.6}.dots{fill:#0d1117;fill-opacity:.6}.staged{stroke:#e6edf3}
}
.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-weight:600;text-anchor:middle;font-size:10px}
.end{text-anchor:end}
";

/// The whole file.
pub fn svg(page: &Page<'_>) -> String {
    let view = View::of(page);
    let title = view.title();
    let mut body = String::new();
    let bottom = memory(&mut body, &view, 84.0);
    let bottom = rows(&mut body, &view, bottom + 34.0);
    let high = bottom + 24.0;
    let definitions =
        DEFINITIONS.split_once("<defs>").and_then(|(_, rest)| rest.split_once("</defs>"));
    let definitions = definitions.map_or("", |(inside, _)| inside);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {high}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{title}: map</title>\n\
         <style>\n{STYLE}{}</style>\n<defs>{definitions}</defs>\n\
         <rect width=\"{WIDTH}\" height=\"{high}\" class=\"paper\"/>\n\
         <text x=\"{LEFT}\" y=\"34\" class=\"ink\" font-size=\"18\" font-weight=\"600\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"55\" class=\"soft\">{}: peak {}{}</text>\n{body}</svg>\n",
        palette::rules(&view.problem.devices),
        view.record.status.name(),
        percent(view.measured.peak()),
        traffic(&view),
    )
}

/// What is sent in all, where that is known.
fn traffic(view: &View<'_>) -> String {
    let figures = super::figures(view);
    let sent =
        figures.iter().find(|(name, value, _)| name.ends_with("per token") && value != "\u{2013}");
    sent.map(|(name, value, _)| format!(", {name} {value}")).unwrap_or_default()
}

/// A bar per device; where they end.
fn memory(out: &mut String, view: &View<'_>, top: f64) -> f64 {
    let words = "Memory: W weights, K KV cache (lines), o workspace (dots), s staging, r reserve, h headroom";
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{top}\" class=\"soft\">{words}</text>");
    let mut y = top + 14.0;
    for (index, (device, used)) in
        view.problem.devices.iter().zip(&view.measured.devices).enumerate()
    {
        let name = shown(&device.id);
        let scale = scale_bytes(view, index);
        chip(out, view, index, LEFT, y);
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" class=\"ink\" font-weight=\"600\">{name}</text>\
             <svg x=\"{}\" y=\"{y}\" width=\"{}\" height=\"18\">\
             <rect class=\"track\" width=\"{}%\" height=\"16\"/>",
            LEFT + 24.0,
            y + 12.0,
            BAR.0,
            BAR.1 - BAR.0,
            share(device.capacity_bytes, scale),
        );
        for segment in segments(used) {
            part(out, index, &segment, scale, &format!("{name}: {}", told(used, &segment)));
        }
        let _ = writeln!(
            out,
            "</svg><text x=\"{RIGHT}\" y=\"{}\" class=\"soft end\">{} of {} ({})</text>",
            y + 12.0,
            format_bytes(used.used_bytes),
            format_bytes(device.capacity_bytes),
            percent(used.utilization()),
        );
        y += 24.0;
    }
    y
}

/// The letter of a device on its colour.
fn chip(out: &mut String, view: &View<'_>, device: usize, x: f64, y: f64) {
    let _ = write!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"16\" height=\"16\" rx=\"2\" class=\"d{device}\"/>\
         <text x=\"{}\" y=\"{}\" class=\"mono k{device}\">{}</text>",
        x + 8.0,
        y + 12.0,
        view.letter(device)
    );
}

fn part(out: &mut String, device: usize, segment: &Segment, scale: u64, told: &str) {
    let (x, width) = (share(segment.from_bytes, scale), share(segment.bytes, scale));
    let coloured = segment.purpose.is_coloured();
    let under = if coloured { format!("d{device}") } else { "track".to_owned() };
    let over = segment
        .purpose
        .pattern()
        .map(|fill| format!("<rect x=\"{x}%\" width=\"{width}%\" height=\"16\" {fill}/>"));
    let wide = u128::from(segment.bytes) * 100 >= u128::from(scale) * 3;
    let letter = if wide && !segment.purpose.letter().is_empty() {
        let middle = segment.from_bytes.saturating_add(segment.bytes / 2);
        let ink = if coloured { format!("k{device}") } else { "ink".to_owned() };
        let letter = segment.purpose.letter();
        format!(
            "<text x=\"{}%\" y=\"12\" class=\"mono {ink}\">{letter}</text>",
            share(middle, scale)
        )
    } else {
        String::new()
    };
    let _ = write!(
        out,
        "<g><title>{told}</title><rect x=\"{x}%\" width=\"{width}%\" height=\"16\" class=\"{under}\"/>\
         {}{letter}</g>",
        over.unwrap_or_default()
    );
}

/// How wide each column is, and how high each row.
struct Layout {
    expert: f64,
    high: f64,
    parts: usize,
}

impl Layout {
    fn of(view: &View<'_>) -> Self {
        let experts = view.grid.experts();
        let parts = view.grid.columns.len() - experts;
        let room = SENT - 60.0 - CELLS - PART * number(parts) - 8.0;
        let expert = (room / number(experts.max(1))).min(30.0);
        let high = match view.grid.rows.len() {
            0..=44 => 16.0,
            45..=80 => 12.0,
            81..=160 => 9.0,
            _ => 6.0,
        };
        Self { expert, high, parts }
    }

    /// Where a column begins.
    fn across(&self, column: usize) -> f64 {
        let parts = column.min(self.parts);
        let gap = if column >= self.parts { 8.0 } else { 0.0 };
        CELLS + PART * number(parts) + gap + self.expert * number(column - parts)
    }

    /// From where to where a run reaches.
    fn reach(&self, run: &Run) -> (f64, f64) {
        let width = if run.first < self.parts { PART } else { self.expert * number(run.columns) };
        (self.across(run.first), width - 1.0)
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A row per layer; where they end.
fn rows(out: &mut String, view: &View<'_>, top: f64) -> f64 {
    let layout = Layout::of(view);
    let grid = &view.grid;
    let _ = write!(out, "<text x=\"{}\" y=\"{top}\" class=\"soft end\">layer</text>", CELLS - 10.0);
    for (index, column) in grid.columns.iter().enumerate().filter(|(_, column)| !column.is_expert())
    {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{top}\" class=\"soft\" font-size=\"10\" text-anchor=\"middle\">{}</text>",
            layout.across(index) + PART / 2.0,
            column.name()
        );
    }
    if let Some(experts) = grid.experts().checked_sub(1) {
        let x = layout.across(layout.parts);
        let _ = write!(
            out,
            "<text x=\"{x:.1}\" y=\"{top}\" class=\"soft\" font-size=\"10\">experts 0\u{2013}{experts}</text>"
        );
    }
    if view.transfers.is_some() {
        let _ = write!(
            out,
            "<text x=\"{RIGHT}\" y=\"{top}\" class=\"soft end\">transfers per token</text>"
        );
    }
    out.push('\n');
    let mut y = top + 7.0;
    for (index, row) in grid.rows.iter().enumerate() {
        line(out, view, &layout, row, y, index + 1 == grid.rows.len());
        y += layout.high;
    }
    y
}

fn line(out: &mut String, view: &View<'_>, layout: &Layout, row: &Row, y: f64, is_last: bool) {
    let (inner, size) = (layout.high - 1.0, (layout.high - 2.0).min(11.0));
    let base = layout.high / 2.0 + size * 0.32;
    let _ = write!(
        out,
        "<g transform=\"translate(0 {y})\" font-size=\"{size}\"><text x=\"{}\" y=\"{base:.1}\" \
         class=\"soft end\">{}</text>",
        CELLS - 10.0,
        row.name
    );
    for run in &row.runs {
        let (x, width) = layout.reach(run);
        let class = match run.home {
            Home::On(device) => format!("d{device}"),
            Home::Everywhere => "all".to_owned(),
        };
        let _ = write!(
            out,
            "<rect x=\"{x:.1}\" width=\"{width:.1}\" height=\"{inner}\" class=\"{class}\"><title>{}</title></rect>",
            map::told(view, run)
        );
        sign(out, view, run, (x, width), (inner, base));
    }
    if let Some((transfers, sent)) =
        view.transfers.as_ref().and_then(|all| Some((all, all.beside(row, is_last)?)))
        && sent.units() > 0
    {
        let wide = RIGHT - SENT - 8.0;
        let [hand, away] = [sent.hand_units, sent.away_units]
            .map(|units| crate::units::Ratio::new(units, transfers.most).as_f64() * wide);
        let middle = layout.high / 2.0 - 2.0;
        let _ = write!(
            out,
            "<text x=\"{SENT}\" y=\"{base:.1}\" class=\"ink end\">{}</text>\
             <g><title>{}</title><rect x=\"{:.1}\" y=\"{middle}\" width=\"{hand:.1}\" height=\"4\" class=\"hand\"/>\
             <rect x=\"{:.1}\" y=\"{middle}\" width=\"{away:.1}\" height=\"4\" class=\"away\"/></g>",
            transfers.number(sent.units()),
            transfers.told(row, &sent),
            SENT + 8.0,
            SENT + 8.0 + hand,
        );
    }
    out.push_str("</g>\n");
}

/// The letter of a run where there is room for it, else a mark at a height of the device's own.
fn sign(out: &mut String, view: &View<'_>, run: &Run, across: (f64, f64), rows: (f64, f64)) {
    let ((x, width), (high, base)) = (across, rows);
    let _ = match run.home {
        Home::On(device) if width >= LETTER => write!(
            out,
            "<text x=\"{:.1}\" y=\"{base:.1}\" class=\"mono k{device}\">{}</text>",
            x + width / 2.0,
            view.letter(device)
        ),
        Home::On(device) => {
            let levels = view.problem.devices.len().clamp(2, 8);
            let at = number(device % levels) / number(levels - 1) * (high - 2.0);
            write!(
                out,
                "<path d=\"M{x:.1} {at:.1}h{width:.1}v2h-{width:.1}z\" class=\"k{device}\"/>"
            )
        }
        Home::Everywhere => write!(
            out,
            "<text x=\"{:.1}\" y=\"{base:.1}\" class=\"mono ink\">*</text>",
            x + width / 2.0
        ),
    };
}
