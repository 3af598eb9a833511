//! When everything is tracked, what is counted in bytes is proven exactly.

use apportion::certificate::{Certificate, Prices, Proof, StageProof, Tree};
use apportion::problem::{ObjectiveKind, ObjectiveValue};
use apportion::units::Ratio;
use apportion::verify::prove;
use rayon::prelude::*;

use super::soundness::{class_names, proven, rich_problem};
use super::values::{all_values, of};
use crate::support::Random;

fn check_case(seed: u64) -> Result<bool, String> {
    let mut problem = rich_problem(&mut Random::new(seed));
    problem.devices_max = None;
    problem.objectives.truncate(1);
    let kind = problem.objectives[0].kind;
    let placed = problem.components.iter().all(|c| !c.allowed.is_empty());
    if !placed || problem.validate().is_err() || kind == ObjectiveKind::Traffic {
        return Ok(false);
    }
    let Some(all) = all_values(&problem, 1_000) else { return Ok(false) };
    let Some(best) = all.iter().map(|values| of(values, kind)).min() else { return Ok(false) };
    let peak = kind == ObjectiveKind::PeakUtilization;
    let weights = if peak { Vec::new() } else { vec![(kind, 1)] };
    let tracked = class_names(&[], &problem);
    let proof = Proof::Relaxation(Tree::Leaf(Prices { weights, tracked, ..Prices::default() }));
    if !peak {
        let bound = proven(&[], &problem, &proof)?;
        return if bound == best { Ok(true) } else { Err(format!("{bound:?} of {best:?}")) };
    }
    let claim = |bound: ObjectiveValue| {
        let stages =
            vec![StageProof { kind, bound, cap: bound, zones: Vec::new(), proof: proof.clone() }];
        prove(&problem, &Certificate { problem: String::new(), stages }).is_ok()
    };
    let ObjectiveValue::Ratio(ratio) = best else { unreachable!() };
    let above = Ratio::new(ratio.numerator() * 9 + 1, ratio.denominator() * 9);
    if claim(ObjectiveValue::Ratio(above)) || ratio > Ratio::ZERO && !claim(best) {
        return Err(format!("{best:?} is not exactly what is proven"));
    }
    Ok(true)
}

#[test]
fn full_tracking_proves_the_best_value() {
    let results: Vec<_> = (50_000..53_000_u64)
        .into_par_iter()
        .map(|seed| (seed, check_case(seed)))
        .filter(|(_, result)| *result != Ok(false))
        .collect();
    let failures: Vec<_> = results.iter().filter(|(_, result)| result.is_err()).collect();
    assert!(failures.is_empty(), "{} failures: {:?}", failures.len(), failures.first());
    assert!(results.len() > 300, "only {} cases", results.len());
}
