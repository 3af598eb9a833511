//! Models from the headers of checkpoints.
//!
//! When the config (of safetensors) or the metadata (of GGUF) is that of a known family, the model is
//! derived from it as ever and the headers add what is really there. Otherwise the headers are all there
//! is, and the model is read off names and shapes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::family::Family;
use super::found::Found;
use super::grouping::{self, Extent};
use super::{ComponentKind, Model, Tensor, config, gguf_metadata, resolve, unknown};
use crate::checkpoint::{Checkpoint, Format};
use crate::error::Error;

impl Model {
    /// The model in a checkpoint; `name` is what it is called unless the catalogue knows it.
    ///
    /// # Errors
    /// A config of a known family that cannot be read, and files that are no model's: without an
    /// embedding or without layers.
    pub fn from_checkpoint(checkpoint: &Checkpoint, name: &str) -> Result<Self, Error> {
        let (mut model, family) = match derived(checkpoint, name)? {
            Some((model, family)) => (model, Some(family)),
            None => (unknown::model(checkpoint, name)?, None),
        };
        let extent = Extent {
            layers: model.geometry.layers,
            experts: model.geometry.experts,
            tied_head: family.is_some() && model.geometry.tied_head,
        };
        let (found, notices) = grouping::group(checkpoint, family, extent)?;
        check_whole(&found, checkpoint)?;
        if family.is_some() {
            check_layers(&found, checkpoint, model.geometry.layers)?;
        }
        model.notices.extend(checkpoint.notices.iter().cloned());
        model.notices.extend(notices);
        model.notices.extend(family.and_then(|_| other_shapes(&model, &found)));
        if family.is_none() {
            model.tensors = Arc::clone(&found.tensors);
            model.fingerprint.clone_from(&found.fingerprint);
        } else if !model.geometry.tied_head && !has(&found, ComponentKind::OutputHead) {
            model
                .notices
                .push("the files have no output head, so the embedding is used".to_owned());
            model.geometry.tied_head = true;
        }
        model.found = Some(Arc::new(found));
        Ok(model)
    }

    /// The model that a GGUF file's metadata and tensor names describe, whatever else the file holds: what
    /// such a file should contain can be derived from it and compared with what it does contain.
    ///
    /// `None` for other files, and for architectures that no family serves.
    ///
    /// # Errors
    /// Metadata that leave out or contradict what the family needs.
    pub fn from_gguf(checkpoint: &Checkpoint, name: &str) -> Result<Option<Self>, Error> {
        Ok(gguf_metadata::model(checkpoint, name)?.map(|(model, _)| model))
    }

    /// The model in the checkpoint at a path: see [`Checkpoint::open`].
    ///
    /// # Errors
    /// What [`Checkpoint::open`] and [`Model::from_checkpoint`] refuse.
    pub fn from_files(path: &Path) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open(path)?;
        Self::from_checkpoint(&checkpoint, &resolve::name_of(path))
    }
}

/// A notice about tensors in floats whose shapes the config contradicts.
fn other_shapes(model: &Model, found: &Found) -> Option<String> {
    let said: BTreeMap<&str, &[u64]> =
        model.tensors.iter().map(|tensor| (&*tensor.name, &*tensor.shape)).collect();
    let differs = |(tensor, stored): &(&Tensor, &(&str, u64))| {
        let other = said.get(&*tensor.name).is_some_and(|shape| *shape != &*tensor.shape);
        other && ["f32", "f16", "bf16"].contains(&stored.0)
    };
    let mut others = found.tensors.iter().zip(&found.stored).filter(differs);
    let first = others.next()?.0;
    Some(format!(
        "{} tensors have other shapes than the config says, `{}` first: cache and workspace follow the \
         config; `apportion reconcile` lists them",
        others.count() + 1,
        first.name
    ))
}

fn derived(checkpoint: &Checkpoint, name: &str) -> Result<Option<(Model, &'static Family)>, Error> {
    match (checkpoint.format, &checkpoint.config_text) {
        (Format::Safetensors, Some((source, text))) => {
            let object = config::parse(text, source)?;
            let own = config::language_model(&object);
            let Some(family) = config::known_family_of(own) else { return Ok(None) };
            let values = config::read(family, own, source)?;
            let mut model = resolve::named(family, &values, name.to_owned(), source)?;
            model.published_quantization = config::quantization_of(&object);
            Ok(Some((model, family)))
        }
        (Format::Safetensors, None) => Ok(None),
        (Format::Gguf, _) => gguf_metadata::model(checkpoint, name),
    }
}

fn has(found: &Found, kind: ComponentKind) -> bool {
    found.tensors.iter().any(|tensor| tensor.component.kind() == kind)
}

fn check_whole(found: &Found, checkpoint: &Checkpoint) -> Result<(), Error> {
    let shown = checkpoint.files.first().map(|file| file.path.display().to_string());
    for (kind, what) in [
        (ComponentKind::Embedding, "a token embedding"),
        (ComponentKind::Attention, "layers with attention"),
    ] {
        if !has(found, kind) {
            return Err(Error::new("read the model")
                .object(shown.unwrap_or_default())
                .expected(format!("a whole language model, with {what}"))
                .found(format!("{} tensors without", checkpoint.tensors.len()))
                .hint("adapters and parts of models cannot be placed"));
        }
    }
    Ok(())
}

/// Refuses files that lack a whole layer: what is solved for them would be too small.
fn check_layers(found: &Found, checkpoint: &Checkpoint, layers: u32) -> Result<(), Error> {
    let there: BTreeSet<u32> = found.tensors.iter().filter_map(|t| t.component.layer()).collect();
    let Some(missing) = (0..layers).find(|layer| !there.contains(layer)) else { return Ok(()) };
    let shown = checkpoint.files.first().map(|file| file.path.display().to_string());
    Err(Error::new("read the model")
        .object(shown.unwrap_or_default())
        .expected(format!("tensors of all {layers} layers"))
        .found(format!("none of layer {missing}"))
        .hint("the config is another model's, or files are missing"))
}
