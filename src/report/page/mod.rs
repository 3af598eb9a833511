//! A placement as a picture: one page that needs nothing else, or one SVG.
//!
//! The page shows the question and how far its answer is proven, memory per device by purpose, the map with what
//! each layer sends, the objectives with their bounds, today's habits beside it, and memory over the load. It makes
//! no request, and its content security policy allows none; names in it are text and nothing more (`report::markup`).
//! Without scripts everything is still there; with them arrow keys move over maps and bars.
//!
//! Colour never says anything alone: devices have letters (and beyond eight of them patterns), purposes patterns and
//! letters, what is proven a full dot. The same input gives the same bytes.

mod baselines;
mod bounds;
mod grid;
mod json;
mod map;
mod memory;
mod origin;
mod palette;
mod print;
mod script;
mod style;
mod svg;
mod timeline;
mod transfers;

pub use json::json;
pub use svg::svg;
pub use timeline::Replay;

use std::fmt::Write;

use super::markup::{escaped, shown, visible};
use super::{decimal, objective_value, percent, plural, quantization, question};
use crate::baseline::Row;
use crate::hardware::DeviceKind;
use crate::placement::{Placement, Record, Status};
use crate::plan::LimitReached;
use crate::problem::{ObjectiveKind, Problem};
use crate::units::format_bytes;
use crate::verify::Measured;
use grid::Grid;
use transfers::Transfers;

/// A verified placement with all that is shown of it.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What the file says; it was checked.
    pub record: &'a Record,
    /// The problem it answers.
    pub problem: &'a Problem,
    /// Its map.
    pub placement: &'a Placement,
    /// What the map is worth.
    pub measured: &'a Measured,
    /// Today's habits on the same problem.
    pub baselines: &'a [Row],
    /// How the load goes.
    pub replay: &'a Replay,
}

/// A page and what is derived for all of its parts.
struct View<'a> {
    record: &'a Record,
    problem: &'a Problem,
    placement: &'a Placement,
    measured: &'a Measured,
    baselines: &'a [Row],
    replay: &'a Replay,
    letters: Vec<String>,
    grid: Grid,
    transfers: Option<Transfers>,
}

impl<'a> View<'a> {
    fn of(page: &Page<'a>) -> Self {
        let Page { record, problem, placement, measured, baselines, replay } = *page;
        let letters = super::map::symbols(&problem.devices);
        // One of the symbols means something in markup.
        let letters = letters.into_iter().map(|letter| escaped(&letter.to_string())).collect();
        let grid = Grid::of(problem, placement);
        let transfers = Transfers::of(problem, placement);
        Self { record, problem, placement, measured, baselines, replay, letters, grid, transfers }
    }

    /// The sign of a device, as the terminal's map has it.
    fn letter(&self, device: usize) -> &str {
        self.letters.get(device).map_or("?", String::as_str)
    }

    /// `mixtral-8x7b nf4-dq`, as markup.
    fn title(&self) -> String {
        let scenario = &self.record.scenario;
        format!(
            "{} {}",
            shown(&scenario.model.name),
            escaped(&visible(&quantization(&scenario.scheme), 120))
        )
    }
}

/// The whole page.
pub fn html(page: &Page<'_>) -> String {
    let view = View::of(page);
    let sheet = style::sheet(&view.problem.devices, &(map::rules(&view) + &print::rules(&view)));
    let script = script::SCRIPT;
    let title = view.title();
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src {}; \
         script-src {}; img-src data:; base-uri 'none'; form-action 'none'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta name=\"generator\" content=\"apportion {}\"/>\n\
         <link rel=\"icon\" href=\"data:,\"/>\n<title>{title}: map</title>\n<style>{sheet}</style>\n</head>\n\
         <body>\n{DEFINITIONS}",
        script::source(&sheet),
        script::source(script),
        env!("CARGO_PKG_VERSION"),
    );
    out.push_str("<main>\n");
    out.push_str(&head(&view, &title));
    out.push_str(&memory::section(&view));
    // A map of few columns leaves room beside it.
    let beside = view.grid.experts() <= grid::SINGLE_MAX;
    out.push_str(if beside { "<div class=\"beside\">\n" } else { "" });
    out.push_str(&map::section(&view));
    out.push_str(if beside { "<div>\n" } else { "<div class=\"pair\">\n" });
    out.push_str(&bounds::section(&view));
    out.push_str(&baselines::section(&view));
    out.push_str(if beside { "</div></div>\n" } else { "</div>\n" });
    out.push_str(&timeline::section(&view));
    out.push_str(&origin::section(&view));
    out.push_str("</main>\n<div id=\"tip\" role=\"tooltip\" hidden=\"hidden\"></div>\n");
    let _ = write!(out, "<script>{script}</script>\n</body>\n</html>\n");
    out
}

/// Patterns that the pictures in the page use: lines over a colour, dots over a colour, and hatches.
const DEFINITIONS: &str = "<svg width=\"0\" height=\"0\" class=\"hidden\" aria-hidden=\"true\"><defs>\
<pattern id=\"kv\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<path d=\"M0 0V5\" class=\"veil\" stroke-width=\"3\"/></pattern>\
<pattern id=\"work\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M1 1h2v2h-2z\" class=\"dots\"/></pattern>\
<pattern id=\"reserve\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\">\
<path d=\"M0 0V5\" class=\"softline\" stroke-width=\"2\"/></pattern>\
<pattern id=\"head\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M0 3H6M3 0V6\" class=\"softline\" stroke-width=\"1\"/></pattern>\
<pattern id=\"no\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<path d=\"M0 0V5\" class=\"softline\" stroke-width=\"1.2\"/></pattern></defs></svg>\n";

fn head(view: &View<'_>, title: &str) -> String {
    let status = view.record.status;
    let said = match status {
        Status::Optimal => "every objective is proven",
        // A map that was measured and not solved for.
        Status::Feasible(_) if view.record.nodes == 0 => "no bounds were searched for",
        Status::Feasible(LimitReached::Nodes) => "the node limit stopped the proof",
        Status::Feasible(LimitReached::Time) => "the time limit stopped the proof",
        Status::Feasible(LimitReached::Precision) => {
            "the solver\u{2019}s precision stopped the proof"
        }
    };
    let asked = question(&view.record.scenario);
    // The first line begins with what the title says.
    let asked = asked
        .trim()
        .split_once(", context")
        .map_or_else(|| asked.trim().to_owned(), |(_, rest)| format!("context{rest}"));
    let mut out = format!(
        "<header><h1>{title}</h1>\n<p class=\"asked\">{}</p>\n\
         <p><span class=\"verdict {name}\">{name}</span>{said}; verified</p>\n<dl class=\"figures\">",
        escaped(&asked),
        name = status.name(),
    );
    for (name, value, more) in figures(view) {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>");
    }
    out.push_str("</dl></header>\n");
    out
}

/// What people ask first: name, number and a word more, as markup.
fn figures(view: &View<'_>) -> Vec<(&'static str, String, String)> {
    let measured = view.measured;
    let peak = measured.peak();
    let gpus = view.problem.gpus();
    let fullest = gpus.max_by_key(|&gpu| measured.devices[gpu].utilization());
    let fullest = fullest.map(|gpu| shown(&view.problem.devices[gpu].id)).unwrap_or_default();
    let mut all = vec![("peak utilization", percent(peak), format!("of {fullest}"))];
    if view.problem.is_replicated() {
        let known = view.problem.affinity.is_some();
        let kind = ObjectiveKind::Crossings;
        let value =
            if known { objective_value(kind, measured.value(kind)) } else { "\u{2013}".to_owned() };
        let more = if known { "from layer to layer" } else { "not known without pair counts" };
        all.push(("crossings per token", value, more.to_owned()));
    } else {
        let traffic = &measured.traffic;
        let more = format!(
            "{}, {}",
            plural(traffic.hand_overs, "hand-over"),
            plural(traffic.remote_experts, "remote expert")
        );
        all.push(("transfers per token", decimal(traffic.expected_transfers_per_token()), more));
    }
    if view.problem.devices.iter().any(|device| device.kind == DeviceKind::Cpu) {
        let spilled = format_bytes(measured.spill_bytes());
        all.push(("spilled to host memory", spilled, "weights and KV cache".to_owned()));
    }
    let times = [ObjectiveKind::DecodeLatency, ObjectiveKind::PrefillTime];
    let asked = view.record.objectives.iter().filter(|objective| times.contains(&objective.kind()));
    for objective in asked {
        let (name, more) = match objective.kind() {
            ObjectiveKind::DecodeLatency => ("decode latency", "for a token of every sequence"),
            _ => ("prefill time", "for a prompt as long as the context"),
        };
        all.push((name, objective_value(objective.kind(), objective.value), more.to_owned()));
    }
    let used = measured.devices.iter().filter(|used| used.used_bytes > 0).count();
    let weights =
        measured.devices.iter().fold(0_u64, |sum, used| sum.saturating_add(used.weights_bytes));
    all.push((
        "devices in use",
        format!("{used} of {}", view.problem.devices.len()),
        format!("{} of weights", format_bytes(weights)),
    ));
    all
}

/// `part` of `whole` in percent, with four decimals; all of it at most.
fn share(part: u64, whole: u64) -> String {
    let whole = u128::from(whole.max(1));
    let millionths = (u128::from(part) * 1_000_000 / whole).min(1_000_000);
    let text = format!("{}.{:04}", millionths / 10_000, millionths % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_whole() {
        assert_eq!(share(1, 3), "33.3333");
        assert_eq!(share(0, 0), "0");
        assert_eq!(share(5, 4), "100");
        assert_eq!(share(u64::MAX / 2, u64::MAX), "49.9999");
    }
}
