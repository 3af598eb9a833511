//! Every tensor the decoder needs is in the files, and every tensor of the files is planned.

use std::collections::BTreeSet;

use super::sources::Sources;
use super::wanted::{Wanted, some_of};
use super::{Architecture, OPERATION, Slot};
use crate::checkpoint::Format;
use crate::error::Error;
use crate::model::{ComponentId, Layout, Model};
use crate::nearest::did_you_mean;

/// A tensor that must be there, by the name it has in such files.
type Needed = (ComponentId, Slot, String);

/// Compares what is needed, what is planned and what is there.
///
/// # Errors
/// Tensors that are missing, with a name in the files that may be meant, and tensors of the model that are
/// in no plan: a model without them would be another.
pub(super) fn check(
    wanted: &[Wanted],
    sources: &Sources<'_>,
    files: &Model,
    architecture: &Architecture,
) -> Result<(), Error> {
    let needed = needed(wanted, files)?;
    let computed = |slot: Slot| slot == Slot::RopeFactors && !architecture.rope.divisors.is_empty();
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(component, slot, _)| {
            sources.parts_of(*component, *slot).is_empty() && !computed(*slot)
        })
        .map(|(_, _, name)| name.as_str())
        .collect();
    let unplanned = unplanned(wanted, sources);
    let refuse = || Error::new(OPERATION).object(sources.first_path());
    if let Some(first) = missing.first() {
        let error = refuse()
            .expected(format!("all tensors of the model, with {}", some_of(&missing)))
            .found(format!("{} of them missing", missing.len()));
        let hint = did_you_mean(first, unplanned.iter().copied());
        return Err(error.hint(hint.map_or_else(
            || "the files are incomplete or another model's; fetch them again".to_owned(),
            |meant| format!("of the tensors in the files that nothing needs: {meant}"),
        )));
    }
    if unplanned.is_empty() {
        return Ok(());
    }
    Err(refuse()
        .expected("only tensors that the placement has")
        .found(format!("{} more: {}", unplanned.len(), some_of(&unplanned)))
        .hint("without them it would be another model; see `apportion inspect FILES --tensors`"))
}

/// What the model's family has in such files, and whatever else is planned.
fn needed(wanted: &[Wanted], files: &Model) -> Result<Vec<Needed>, Error> {
    let gguf = files.found.as_ref().is_some_and(|found| found.format == Format::Gguf);
    let layout = if gguf { Layout::Gguf(u32::MAX) } else { Layout::Published };
    let tensors = files.layout(layout)?;
    let tied = files.geometry.tied_head;
    let mut needed: Vec<Needed> = tensors
        .iter()
        .filter(|tensor| !(tied && tensor.component == ComponentId::OutputHead))
        .filter_map(|tensor| {
            let slot = Slot::of(tensor.component, &tensor.name)?;
            Some((tensor.component, slot, tensor.name.clone()))
        })
        .collect();
    let known: BTreeSet<(ComponentId, Slot)> = needed.iter().map(|row| (row.0, row.1)).collect();
    // Gate and up are the same weights whether in one matrix or in two.
    let has = |component, slot| known.contains(&(component, slot));
    let others = wanted.iter().filter(|one| {
        let halves = has(one.component, Slot::Gate) || has(one.component, Slot::GateUp);
        let by_halves = halves && matches!(one.slot, Slot::Gate | Slot::Up | Slot::GateUp);
        !has(one.component, one.slot) && !by_halves
    });
    needed.extend(others.map(|one| (one.component, one.slot, one.name.clone())));
    Ok(needed)
}

/// Names of tensors in the files that nothing planned is made of, each once.
fn unplanned<'a>(wanted: &[Wanted], sources: &Sources<'a>) -> Vec<&'a str> {
    let mut used: BTreeSet<(ComponentId, Slot)> = BTreeSet::new();
    for one in wanted {
        let parts = sources.parts_of(one.component, one.slot);
        used.extend(parts.iter().map(|part| (one.component, part.slot)));
    }
    let mut names = sources.useless.clone();
    let others = sources.all().filter(|(component, slot, _)| !used.contains(&(*component, *slot)));
    for (_, _, source) in others {
        if names.last() != Some(&source.tensor.name.as_str()) {
            names.push(&source.tensor.name);
        }
    }
    names
}
