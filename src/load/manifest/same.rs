//! The files are those, or like those, that a placement was solved for.

use super::OPERATION;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::model::{Geometry, Model};
use crate::scenario::Scenario;

/// Compares the sizes of both models and, when the plan's bytes are a checkpoint's own, the headers.
///
/// # Errors
/// Every size that differs, or other headers.
pub(super) fn check(
    scenario: &Scenario,
    checkpoint: &Checkpoint,
    files: &Model,
) -> Result<(), Error> {
    let path = checkpoint.files.first().map(|file| file.path.display().to_string());
    let refuse = || Error::new(OPERATION).object(path.clone().unwrap_or_default());
    let (planned, found) = differing(&scenario.model.geometry, &files.geometry);
    if !planned.is_empty() {
        return Err(refuse()
            .expected(format!("the shapes the placement was solved for, {planned}"))
            .found(found)
            .hint("it is a placement for another model; solve again for these files"));
    }
    let headers = |model: &Model| model.found.as_ref().map(|found| found.fingerprint.clone());
    if !scenario.scheme.is_stored() || headers(&scenario.model) == headers(files) {
        return Ok(());
    }
    Err(refuse()
        .expected("the headers that the placement was solved for")
        .found("others: names, shapes, types or sizes of weights have changed since")
        .hint("solve again for these files"))
}

/// The sizes that differ, as each of the two has them; empty when none does.
fn differing(planned: &Geometry, found: &Geometry) -> (String, String) {
    let sizes = sizes(planned).into_iter().zip(sizes(found));
    let differing = sizes.filter(|(planned, found)| planned != found);
    let said = differing.map(|((name, planned), (_, found))| {
        (format!("{name} {planned}"), format!("{name} {found}"))
    });
    let (planned, found): (Vec<String>, Vec<String>) = said.unzip();
    (planned.join(", "), found.join(", "))
}

fn sizes(geometry: &Geometry) -> [(&'static str, u64); 8] {
    [
        ("hidden size", geometry.hidden),
        ("layers", u64::from(geometry.layers)),
        ("heads", geometry.heads),
        ("key-value heads", geometry.kv_heads),
        ("head width", geometry.head_dim),
        ("vocabulary", geometry.vocab),
        ("experts", u64::from(geometry.experts)),
        ("experts per token", u64::from(geometry.experts_per_token)),
    ]
}
