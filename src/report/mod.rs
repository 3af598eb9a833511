//! Answers for people and for programs: text that fits 80 columns, and JSON.
//!
//! Everything here turns values into strings and decides nothing. Text says the same without colour,
//! escapes every name that came from a file, and rounds only for the eye; JSON holds bytes as integers.

mod bars;
mod calibration;
mod certified;
mod comparison;
mod conflict;
mod difference;
mod evaluation;
pub mod expectations;
mod explain;
mod explain_json;
mod explained;
mod exporting;
pub mod fit;
pub mod frontier;
pub mod frontier_svg;
mod generation;
mod imported;
mod infeasible;
mod inspect;
pub mod json;
mod junit;
mod loading;
pub mod lp;
mod map;
mod markup;
mod migration;
mod moves;
pub mod page;
mod profile;
mod reconciliation;
mod remedy;
pub mod sensitivity;
mod simulation;
mod solution;
pub mod sweep;
mod table;
mod watching;

pub use bars::bars;
pub use calibration::{calibration, calibration_json};
pub use certified::certified;
pub use comparison::comparison;
pub use difference::{Compared, difference, difference_json};
pub use evaluation::{Evaluation, Sample, evaluation, evaluation_json};
pub use explain::explanation;
pub use explain_json::explanation_json;
pub use explained::{explained, explained_json, terms, terms_json};
pub use exporting::{Projection, consumers, consumers_json, projection, projection_json};
pub use generation::{Generation, Stretch, generation, generation_json};
pub use imported::{Imported, imported, imported_json};
pub use infeasible::infeasible;
pub use inspect::{Filter, Inspection, inspection, inspection_json, tensors};
pub use junit::junit;
pub use loading::{DriverBytes, LoadedDevice, Loading, Planned, loading, loading_json};
pub use map::map;
pub use migration::{
    horizon, horizon_json, migration, migration_json, slack, slack_json, too_little,
};
pub use moves::{Moves, PeakBytes, moves, moves_json};
pub use profile::{profile, profile_json};
pub use reconciliation::reconciliation;
pub use simulation::{Replayed, simulation, simulation_json, simulation_svg, trace, trace_json};
pub use solution::{Solution, holdings, question, solution};
pub use table::{Align, Table};
pub use watching::{Watched, watched, watched_json};

use std::time::Duration;

use crate::error::printable;
use crate::objective::{Unit, law};
use crate::problem::{ObjectiveKind, ObjectiveValue};
use crate::quant::Scheme;
use crate::units::{Ratio, format_bytes, format_time};

/// The width of text that goes to a file or a pipe, in columns.
pub const WIDTH_DEFAULT: usize = 80;

/// The scheme's name, and the tensors that depart from it, all of them while they are few.
pub(crate) fn quantization(scheme: &Scheme) -> String {
    const OVERRIDES_MAX: usize = 4;
    let overrides = scheme.overrides();
    if overrides.is_empty() {
        return scheme.name();
    }
    let shown = overrides.iter().take(OVERRIDES_MAX).map(|one| printable(&one.to_string()));
    let mut shown: Vec<String> = shown.collect();
    if overrides.len() > OVERRIDES_MAX {
        shown.push(format!("and {} more", overrides.len() - OVERRIDES_MAX));
    }
    format!("{} ({})", scheme.name(), shown.join(", "))
}

/// A ratio as a percentage with two decimals, rounded to nearest: `73.08 %`.
pub fn percent(ratio: Ratio) -> String {
    let denominator = u128::from(ratio.denominator());
    let hundredths = (u128::from(ratio.numerator()) * 10_000 + denominator / 2) / denominator;
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// A ratio as a number with at most three decimals: `1`, `0.25`, `97.333`.
pub fn decimal(ratio: Ratio) -> String {
    let denominator = u128::from(ratio.denominator());
    let thousandths = (u128::from(ratio.numerator()) * 1000 + denominator / 2) / denominator;
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number of a few decimals, as it is printed for people, for JSON.
pub(crate) fn decimals(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// An objective's value in the unit people read it in.
pub fn objective_value(kind: ObjectiveKind, value: ObjectiveValue) -> String {
    match (law(kind).unit(), value) {
        (_, ObjectiveValue::Bytes(bytes)) => format_bytes(bytes),
        (_, ObjectiveValue::Count(count)) => count.to_string(),
        (_, ObjectiveValue::Time(ps)) => format_time(ps),
        (Unit::Share, ObjectiveValue::Ratio(ratio)) => percent(ratio),
        (_, ObjectiveValue::Ratio(ratio)) => decimal(ratio),
    }
}

/// How many of them there were per second, to a thousandth; `None` when no time passed.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> Option<Ratio> {
    let thousandths = (u128::from(count) * 1_000_000_000_000).checked_div(elapsed.as_nanos())?;
    Some(Ratio::new(u64::try_from(thousandths).unwrap_or(u64::MAX), 1000))
}

/// `1 node`, `2 nodes`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// Breaks a line at blanks, each further one indented by two; a longer word stays whole.
pub fn wrap(line: &str, width: usize) -> String {
    let mut text = String::new();
    let mut column = 0;
    for (index, word) in line.split(' ').enumerate() {
        let chars = word.chars().count();
        if column > 2 && column + 1 + chars > width {
            text.push_str("\n  ");
            column = 2;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += chars;
    }
    text.push('\n');
    text
}

/// As `wrap`, all of it two columns to the right.
pub(crate) fn indented(line: &str, width: usize) -> String {
    let wrapped = wrap(line, width.saturating_sub(2));
    wrapped.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_at_blanks() {
        assert_eq!(wrap("one two three", 8), "one two\n  three\n");
        assert_eq!(wrap("  indented", 80), "  indented\n");
    }

    #[test]
    fn ratios_are_rounded_for_the_eye() {
        assert_eq!(percent(Ratio::new(2, 3)), "66.67 %");
        assert_eq!(percent(Ratio::ZERO), "0.00 %");
        assert_eq!(decimal(Ratio::new(8, 8)), "1");
        assert_eq!(decimal(Ratio::new(292, 3)), "97.333");
        assert_eq!(decimal(Ratio::ZERO), "0");
    }
}
