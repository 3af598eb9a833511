//! Today's habits beside the optimum.

use super::{Align, Table, decimal, objective_value, percent, plural, question, wrap};
use crate::baseline::{Misfit, Row, RowOutcome};
use crate::error::printable;
use crate::placement::Status;
use crate::plan::Solved;
use crate::problem::{ObjectiveKind, Problem};
use crate::scenario::Scenario;
use crate::units::format_bytes;
use crate::verify::Measured;

/// The question, the optimum (when there is one) and every baseline, then why some do not fit.
pub fn comparison(
    scenario: &Scenario,
    problem: &Problem,
    optimum: Option<(&Solved, &Measured)>,
    rows: &[Row],
    width: usize,
) -> String {
    let columns = [
        ("placement", Align::Left),
        ("fits", Align::Left),
        ("peak", Align::Right),
        ("hand-overs", Align::Right),
        ("remote", Align::Right),
        ("transfers/token", Align::Right),
    ];
    let mut table = if problem.is_replicated() {
        Table::new(&[columns[0], columns[1], columns[2], ("crossings/token", Align::Right)])
    } else {
        Table::new(&columns)
    };
    let measured_cells = |name: &str, fits: &str, measured: &Measured| {
        if problem.is_replicated() {
            divided_cells(name, fits, problem, measured)
        } else {
            measured_cells(name, fits, measured).into()
        }
    };
    if let Some((solved, measured)) = optimum {
        let status = Status::of(solved).name();
        table.row(measured_cells(&format!("apportion ({status})"), "yes", measured));
    }
    for row in rows {
        match &row.outcome {
            RowOutcome::Fits(measured) => table.row(measured_cells(row.name, "yes", measured)),
            RowOutcome::DoesNotFit { measured, .. } => {
                table.row(measured_cells(row.name, "no", measured));
            }
            RowOutcome::NotApplicable(_) => {
                table.row([row.name.to_owned(), "-".to_owned()]);
            }
        }
    }
    let notes = rows.iter().map(|row| {
        let what = wrap(&format!("{}: {}", row.name, row.description), width);
        let why = why_not(problem, &row.outcome);
        format!("{what}{}", why.map(|why| wrap(&format!("  {why}"), width)).unwrap_or_default())
    });
    let spent = optimum.and_then(|(solved, _)| spent(solved)).map(|text| wrap(&text, width));
    let notes = spent.into_iter().chain(notes).collect::<String>();
    format!("{}\n{}\n{notes}", question(scenario), table.render())
}

/// A peak above the best one is a choice, and said to be one.
fn spent(solved: &Solved) -> Option<String> {
    let peak = solved.stages.iter().find(|stage| stage.kind == ObjectiveKind::PeakUtilization)?;
    (peak.value > peak.optimum).then(|| {
        format!(
            "apportion: the lowest peak is {}; within the tolerance of {} the rest saves traffic",
            objective_value(peak.kind, peak.optimum),
            percent(peak.tolerance)
        )
    })
}

fn measured_cells(name: &str, fits: &str, measured: &Measured) -> [String; 6] {
    [
        name.to_owned(),
        fits.to_owned(),
        percent(measured.peak()),
        measured.traffic.hand_overs.to_string(),
        plural(measured.traffic.remote_experts, "expert"),
        decimal(measured.traffic.expected_transfers_per_token()),
    ]
}

/// Where attention is replicated.
fn divided_cells(name: &str, fits: &str, problem: &Problem, measured: &Measured) -> Vec<String> {
    let kind = ObjectiveKind::Crossings;
    let known = problem.affinity.as_ref();
    let crossings = known.map(|_| objective_value(kind, measured.value(kind)));
    let crossings = crossings.unwrap_or_else(|| "-".to_owned());
    vec![name.to_owned(), fits.to_owned(), percent(measured.peak()), crossings]
}

fn why_not(problem: &Problem, outcome: &RowOutcome) -> Option<String> {
    match outcome {
        RowOutcome::Fits(_) => None,
        RowOutcome::DoesNotFit { misfit, .. } => Some(misfit_text(problem, misfit)),
        RowOutcome::NotApplicable(why) => Some(format!("not applicable: {}", printable(why))),
    }
}

pub(super) fn misfit_text(problem: &Problem, misfit: &Misfit) -> String {
    format!(
        "does not fit: with {} {} needs {} and has {}",
        misfit.component,
        printable(&problem.devices[misfit.device].id),
        format_bytes(misfit.required_bytes),
        format_bytes(misfit.limit_bytes)
    )
}
