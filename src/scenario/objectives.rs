//! Objectives as they are typed: `peak_utilization:1%,traffic`.
//!
//! Tolerances are read as exact fractions, because a cap computed from a rounded one could admit a
//! placement that the user excluded.

use crate::error::Error;
use crate::objective::{ALL, Unit, law};
use crate::problem::{Objective, ObjectiveKind};
use crate::units::{Ratio, greatest_common_divisor, parse_decimal};

/// Peak utilization within 1 %, then traffic.
pub fn default_objectives() -> Vec<Objective> {
    [ObjectiveKind::PeakUtilization, ObjectiveKind::Traffic].map(with_default_tolerance).into()
}

/// As the objective's own law says.
fn with_default_tolerance(kind: ObjectiveKind) -> Objective {
    Objective { kind, tolerance: law(kind).default_tolerance() }
}

/// GPUs before CPU: where there is a CPU, bytes on it are minimised first unless the user placed
/// `spill_bytes` elsewhere, so that a low peak is never bought with host memory. Where a time comes first it says
/// itself what host memory costs, also behind `migration`.
pub fn with_spill_first(objectives: &[Objective], has_cpu: bool) -> Vec<Objective> {
    let named = objectives.iter().any(|o| o.kind == ObjectiveKind::SpillBytes);
    // What moves is not what host memory costs: whatever follows it says that.
    let mut costs = objectives.iter().filter(|o| o.kind != ObjectiveKind::Migration);
    let timed = costs.next().is_some_and(|first| law(first.kind).unit() == Unit::Time);
    let spill =
        (has_cpu && !named && !timed).then(|| with_default_tolerance(ObjectiveKind::SpillBytes));
    spill.into_iter().chain(objectives.iter().copied()).collect()
}

/// Reads `NAME[:TOLERANCE]` items, each of which may hold several separated by commas.
///
/// ```
/// use apportion::scenario::parse_objectives;
/// let objectives = parse_objectives(&["traffic,peak_utilization:0.5%"]).unwrap();
/// assert_eq!(objectives[1].tolerance, apportion::units::Ratio::new(1, 200));
/// assert!(parse_objectives(&["traffic", "traffic:1%"]).is_err());
/// ```
pub fn parse_objectives<S: AsRef<str>>(items: &[S]) -> Result<Vec<Objective>, Error> {
    let mut objectives: Vec<Objective> = Vec::new();
    for item in items.iter().flat_map(|item| item.as_ref().split(',')) {
        let objective = parse_objective(item.trim())?;
        if objectives.iter().any(|o| o.kind == objective.kind) {
            return Err(Error::new("read the objectives")
                .object(item)
                .expected("each objective once")
                .found("it twice"));
        }
        objectives.push(objective);
    }
    if objectives.is_empty() { Ok(default_objectives()) } else { Ok(objectives) }
}

fn parse_objective(item: &str) -> Result<Objective, Error> {
    let (name, tolerance) = match item.split_once(':') {
        Some((name, tolerance)) => (name, Some(tolerance)),
        None => (item, None),
    };
    let kind = ObjectiveKind::named(name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|kind| format!("`{}`", kind.name())).collect();
        Error::new("read the objective")
            .object(name)
            .expected(format!("one of {}", names.join(", ")))
            .hint("as in `--objective peak_utilization:1%,traffic`")
    })?;
    let tolerance = match tolerance {
        Some(text) => parse_tolerance(text)?,
        None => with_default_tolerance(kind).tolerance,
    };
    Ok(Objective { kind, tolerance })
}

/// Reads `1%`, `0.01` or `1/100` as the same exact fraction; at most 1000 %.
pub fn parse_tolerance(text: &str) -> Result<Ratio, Error> {
    let refuse =
        || Error::new("read the tolerance").object(text).expected("0 % to 1000 %, as in `0.5%`");
    let parsed = if let Some((numerator, denominator)) = text.split_once('/') {
        let whole = |part| parse_decimal(part).filter(|&(_, scale)| scale == 1);
        whole(numerator).zip(whole(denominator)).map(|((n, _), (d, _))| (n, d))
    } else if let Some(percent) = text.strip_suffix('%') {
        parse_decimal(percent.trim_end()).and_then(|(n, d)| Some((n, d.checked_mul(100)?)))
    } else {
        parse_decimal(text)
    };
    let (numerator, denominator) = parsed.filter(|&(_, d)| d > 0).ok_or_else(refuse)?;
    let divisor = greatest_common_divisor(numerator, denominator);
    let tolerance = Ratio::new(numerator / divisor, denominator / divisor);
    if tolerance > Ratio::new(10, 1) { Err(refuse()) } else { Ok(tolerance) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_exact() {
        for (text, expected) in [
            ("1%", (1, 100)),
            ("0.5 %", (1, 200)),
            ("0.01", (1, 100)),
            ("0", (0, 1)),
            ("3/7", (3, 7)),
        ] {
            let ratio = parse_tolerance(text).unwrap();
            assert_eq!((ratio.numerator(), ratio.denominator()), expected, "{text}");
        }
        for text in ["", "-1%", "1001%", "ten", "1/0", "1.5/2", "inf", "1e3", "%"] {
            assert!(parse_tolerance(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spill_comes_first_only_with_a_cpu_and_unless_named() {
        let kinds = |items: &[Objective]| items.iter().map(|o| o.kind).collect::<Vec<_>>();
        let default = default_objectives();
        assert_eq!(kinds(&with_spill_first(&default, false)), kinds(&default));
        assert_eq!(kinds(&with_spill_first(&default, true))[0], ObjectiveKind::SpillBytes);
        let named = parse_objectives(&["traffic", "spill_bytes:5%"]).unwrap();
        assert_eq!(with_spill_first(&named, true), named);
    }
}
