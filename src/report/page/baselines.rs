//! The map beside what people do today.

use std::fmt::Write;

use super::{View, share};
use crate::baseline::{Row, RowOutcome};
use crate::problem::ObjectiveKind;
use crate::report::markup::{escaped, shown, visible};
use crate::report::{comparison::misfit_text, decimal, objective_value, percent};
use crate::units::Ratio;
use crate::verify::Measured;

/// Peaks beyond this share of capacity are cut, in hundredths.
const CUT: u64 = 200;

pub(super) fn section(view: &View<'_>) -> String {
    let sent =
        if view.problem.is_replicated() { "crossings per token" } else { "transfers per token" };
    let mut out = format!(
        "<section aria-labelledby=\"habits\"><h2 id=\"habits\">Beside today\u{2019}s habits</h2>\n\
         <p class=\"note\">The fullest GPU\u{2019}s memory against its capacity (dashed). Habits are measured as they are, \
         pins not asked for.</p>\n<table class=\"data\"><thead><tr><th scope=\"col\">placement</th>\
         <th scope=\"col\">fits</th><th scope=\"col\" class=\"r\">peak</th>\
         <th scope=\"col\" class=\"opt\"><span class=\"hidden\">peak as a bar</span></th>\
         <th scope=\"col\" class=\"r\">{sent}</th></tr></thead><tbody>\n"
    );
    let most = most(view);
    let status = view.record.status.name();
    line(&mut out, view, Some(view.measured), &format!("this map ({status})"), "yes", "", most);
    for row in view.baselines {
        let (fits, why) = told(view, row);
        let measured = match &row.outcome {
            RowOutcome::Fits(measured) | RowOutcome::DoesNotFit { measured, .. } => Some(measured),
            RowOutcome::NotApplicable(_) => None,
        };
        line(&mut out, view, measured, row.name, fits, &why, most);
    }
    out.push_str("</tbody></table></section>\n");
    out
}

/// What the whole width of a bar stands for, in hundredths of a capacity.
fn most(view: &View<'_>) -> u64 {
    let measured = view.baselines.iter().filter_map(|row| match &row.outcome {
        RowOutcome::Fits(measured) | RowOutcome::DoesNotFit { measured, .. } => Some(measured),
        RowOutcome::NotApplicable(_) => None,
    });
    let peaks = measured.chain([view.measured]).map(|measured| hundredths(measured.peak()));
    peaks.max().unwrap_or(0).clamp(100, CUT)
}

fn hundredths(peak: Ratio) -> u64 {
    peak.floor_of(100).saturating_add(1)
}

/// Whether it fits, and what is to be said of it.
fn told(view: &View<'_>, row: &Row) -> (&'static str, String) {
    let description = escaped(row.description);
    match &row.outcome {
        RowOutcome::Fits(_) => ("yes", description),
        RowOutcome::DoesNotFit { misfit, .. } => {
            let why = escaped(&visible(&misfit_text(view.problem, misfit), 200));
            ("no", format!("{description}; <span class=\"told\">{why}</span>"))
        }
        RowOutcome::NotApplicable(why) => {
            ("\u{2013}", format!("{description}; not applicable: {}", escaped(&visible(why, 200))))
        }
    }
}

fn line(
    out: &mut String,
    view: &View<'_>,
    measured: Option<&Measured>,
    name: &str,
    fits: &str,
    why: &str,
    most: u64,
) {
    let ours = if why.is_empty() { " class=\"ours\"" } else { "" };
    let why =
        if why.is_empty() { String::new() } else { format!("<span class=\"why\">{why}</span>") };
    let fits = if fits == "no" { "<span class=\"told\">no</span>" } else { fits };
    let _ = write!(
        out,
        "<tr{ours}><th scope=\"row\">{}{why}</th><td class=\"fit\">{fits}</td>",
        shown(name)
    );
    match measured {
        None => out.push_str("<td class=\"r\"></td><td class=\"opt\"></td><td class=\"r\"></td>"),
        Some(measured) => {
            let _ = write!(
                out,
                "<td class=\"r\">{}</td><td class=\"opt pic\">{}</td><td class=\"r\">{}</td>",
                percent(measured.peak()),
                bar(measured.peak(), most),
                sent(view, measured)
            );
        }
    }
    out.push_str("</tr>\n");
}

fn sent(view: &View<'_>, measured: &Measured) -> String {
    match (view.problem.is_replicated(), view.problem.affinity.is_some()) {
        (false, _) => decimal(measured.traffic.expected_transfers_per_token()),
        (true, true) => {
            objective_value(ObjectiveKind::Crossings, measured.value(ObjectiveKind::Crossings))
        }
        (true, false) => "\u{2013}".to_owned(),
    }
}

fn bar(peak: Ratio, most: u64) -> String {
    // In millionths, so that a bar is as long as the share it stands for.
    let millionths = peak.floor_of(1_000_000);
    let whole = most.saturating_mul(10_000);
    let cut = millionths > whole;
    let data = if cut { String::new() } else { format!(" data-millionths=\"{millionths}\"") };
    let class = if millionths > 1_000_000 { "cut" } else { "away" };
    format!(
        "<svg class=\"sent\" width=\"100%\" height=\"14\" data-whole=\"{whole}\" aria-hidden=\"true\">\
         <rect class=\"{class}\" y=\"3\" width=\"{}%\" height=\"8\"{data}/><svg x=\"{}%\" width=\"2\" height=\"14\">\
         <path d=\"M1 0V14\" class=\"ceiling\"/></svg></svg>",
        share(millionths.min(whole), whole),
        share(1_000_000, whole),
    )
}
