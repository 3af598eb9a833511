//! What is minimised: the value of the map, what is proven of it, and the interval between.

use std::fmt::Write;

use super::View;
use crate::objective::law;
use crate::placement::{ObjectiveRecord, Status};
use crate::problem::ObjectiveValue;
use crate::report::{objective_value, percent};

pub(super) fn section(view: &View<'_>) -> String {
    let mut out = String::from(
        "<section aria-labelledby=\"bounds\"><h2 id=\"bounds\">Objectives and bounds</h2>\n\
         <p class=\"note\">Most important first. Hatched: proven impossible. The dot is this map, full where that \
         is proven best; the band is what the tolerance lets later objectives spend.</p>\n\
         <table class=\"data\"><thead><tr><th scope=\"col\">objective</th><th scope=\"col\" class=\"r\">value</th>\
         <th scope=\"col\" class=\"r opt\">optimum</th><th scope=\"col\" class=\"r\">bound</th>\
         <th scope=\"col\" class=\"r\">gap</th><th scope=\"col\" class=\"opt\"><span class=\"hidden\">interval</span></th>\
         </tr></thead><tbody>\n",
    );
    for objective in &view.record.objectives {
        let kind = objective.kind();
        let value = |value| objective_value(kind, value);
        let tolerance = objective.objective.tolerance;
        let allowed = if tolerance.numerator() > 0 {
            format!(", tolerance {}", percent(tolerance))
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}<span class=\"why\">{}{allowed}</span></th><td class=\"r\">{}</td>\
             <td class=\"r opt\">{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td><td class=\"opt pic\">{}</td></tr>",
            kind.name().replace('_', " "),
            law(kind).about(),
            value(objective.value),
            value(objective.optimum),
            value(objective.bound),
            gap(objective),
            interval(view, objective),
        );
    }
    out.push_str("</tbody></table></section>\n");
    out
}

/// The gap as the file states it, as `solve` prints it.
fn gap(objective: &ObjectiveRecord) -> String {
    let gap = objective.gap.parse().unwrap_or(0.0);
    if gap > 0.0 { format!("{gap:.1e}") } else { "0".to_owned() }
}

/// From the bound to what may be spent, with some room around.
fn interval(view: &View<'_>, objective: &ObjectiveRecord) -> String {
    let [bound, optimum, value, cap] =
        [objective.bound, objective.optimum, objective.value, objective.cap]
            .map(ObjectiveValue::as_f64);
    let high = value.max(cap).max(optimum);
    let span = (high - bound).max(high * 0.002).max(1e-9);
    let place = |at: f64| 16.0 + 74.0 * ((at - bound) / span).clamp(0.0, 1.0);
    let [at_bound, at_optimum, at_value, at_cap] = [bound, optimum, value, cap].map(place);
    let proven = view.record.status == Status::Optimal || objective.bound >= objective.optimum;
    let dot = if proven { "dot" } else { "hollow" };
    let mut out = format!(
        "<svg width=\"100%\" height=\"16\" aria-hidden=\"true\">\
         <rect width=\"{at_bound:.2}%\" y=\"2\" height=\"12\" fill=\"url(#no)\"/>\
         <svg x=\"{at_bound:.2}%\" width=\"2\" height=\"16\"><path d=\"M0 1V15\" class=\"inkline\"/></svg>\
         <svg y=\"8\" width=\"100%\" height=\"1\"><rect x=\"{at_bound:.2}%\" width=\"{:.2}%\" height=\"1\" \
         class=\"outside\"/></svg>",
        (at_cap.max(at_value) - at_bound).max(0.0),
    );
    if at_cap > at_optimum {
        let _ = write!(
            out,
            "<rect class=\"allowed\" x=\"{at_optimum:.2}%\" width=\"{:.2}%\" y=\"4\" height=\"8\"/>",
            at_cap - at_optimum
        );
    }
    let _ = write!(
        out,
        "<circle class=\"{dot}\" cx=\"{at_value:.2}%\" cy=\"8\" r=\"4\" stroke-width=\"1.6\"/></svg>"
    );
    out
}
