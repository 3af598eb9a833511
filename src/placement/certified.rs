//! Compares what a placement file says about its bounds with what a certificate says and proves.

use super::check::{Difference, exact};
use super::record::{ObjectiveRecord, Record};
use crate::certificate::{Certificate, StageProof};
use crate::verify::Certified;

/// Everything in `record` that a certificate, verified with this result, does not bear out: objectives, the
/// caps under which each bound holds, and bounds above what is proven (or, where nothing is, claimed).
///
/// Empty when every bound of the file is one of the certificate.
pub fn uncertified(
    record: &Record,
    certificate: &Certificate,
    certified: &[Certified],
) -> Vec<Difference> {
    let recorded = || record.objectives.iter().map(|objective| objective.kind().name());
    let stages = || certificate.stages.iter().map(|stage| stage.kind.name());
    if !recorded().eq(stages()) || certified.len() != certificate.stages.len() {
        let names = |names: Vec<&str>| names.join(", ");
        let (recorded, stages) = (names(recorded().collect()), names(stages().collect()));
        return vec![Difference::new(
            "objectives",
            recorded,
            format!("{stages} in the certificate"),
        )];
    }
    let stages = record.objectives.iter().zip(&certificate.stages).zip(certified);
    stages.flat_map(|((recorded, stage), certified)| of_stage(recorded, stage, certified)).collect()
}

fn of_stage(
    recorded: &ObjectiveRecord,
    stage: &StageProof,
    certified: &Certified,
) -> Vec<Difference> {
    let place = |field: &str| format!("objectives.{}.{field}", recorded.kind().name());
    let mut found = Vec::new();
    if recorded.cap != stage.cap {
        let stated = format!("{} in the certificate", exact(stage.cap));
        found.push(Difference::new(place("cap"), exact(recorded.cap), stated));
    }
    let (proven, word) = match certified.proven {
        Some(proven) => (proven, "proven"),
        None => (certified.claimed, "claimed"),
    };
    if recorded.bound > proven {
        let most = format!("{} as far as is {word}", exact(proven));
        found.push(Difference::new(place("bound"), exact(recorded.bound), most));
    }
    found
}
