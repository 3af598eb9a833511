//! What a scheme does to a model that its name does not say.

use super::Scheme;
use super::format::Format;
use super::matrix::{Matrix, is_merged_map};
use crate::error::Error;
use crate::model::{Layout, Model};
use crate::units::grouped;

/// Sentences for the user, each with exact figures.
pub(super) fn of(scheme: &Scheme, model: &Model) -> Result<Vec<String>, Error> {
    let format = scheme.format;
    let Some(quantizer) = format.quantizer() else { return Ok(Vec::new()) };
    let storage = scheme.store(model)?;
    let rest = quantizer.rest().name();
    let (mut merged, mut uneven, mut count) = (0_u64, 0_u64, 0_u64);
    for (tensor, stored) in storage.tensors.iter().zip(&storage.stored) {
        if stored.type_name != rest {
            continue;
        }
        if is_merged_map(tensor) && !quantizer.covers(tensor) {
            merged += stored.bytes;
        } else if quantizer.covers(tensor)
            && quantizer.leaves(Matrix::of(tensor, model.geometry.hidden))
        {
            uneven += stored.bytes;
            count += 1;
        }
    }
    let total = grouped(storage.bytes());
    let mut notices = Vec::new();
    if merged > 0 {
        let why = if format.layout() == Some(Layout::Transformers5) {
            "transformers 5 keeps the experts of this model in 16 bit".to_owned()
        } else {
            format!("{} leaves the merged experts of this model in 16 bit", format.name())
        };
        notices.push(format!("{why}: {} of {total} bytes are not quantized", grouped(merged)));
    }
    if count > 0 {
        notices.push(format!(
            "{} leaves {count} matrices in 16 bit whose rows are not whole groups: {} of {total} bytes",
            format.name(),
            grouped(uneven)
        ));
    }
    if matches!(format, Format::Mxfp4(_)) && model.geometry.experts == 0 {
        notices.push(
            "mxfp4 quantizes experts and this model has none: everything stays in 16 bit"
                .to_owned(),
        );
    }
    Ok(notices)
}
