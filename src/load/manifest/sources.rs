//! The tensors of the files by what they are to the decoder, stacked experts cut apart.

use std::collections::BTreeMap;

use super::wanted::{Wanted, rows_and_columns};
use super::{OPERATION, Slot};
use crate::checkpoint::{Checkpoint, FoundTensor};
use crate::dtype::{Dtype, GgmlType, SafeType};
use crate::error::Error;
use crate::model::{ComponentId, Model, Tensor};

/// One component's tensor in the files, or its part of one.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) tensor: &'a FoundTensor,
    pub(super) rows: u64,
    pub(super) columns: u64,
    /// Which part it is, of how many.
    part: u64,
    parts: u64,
}

/// Everything in the files that belongs to the model.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    /// The paths of the files, for messages.
    paths: Vec<String>,
    by_slot: BTreeMap<(ComponentId, Slot), Source<'a>>,
    /// Names of tensors that belong to the model and that the decoder has no use for.
    pub(super) useless: Vec<&'a str>,
    /// Whether the files have no head because it is the embedding.
    tied_head: bool,
}

impl<'a> Sources<'a> {
    /// Of a checkpoint, grouped as `files` says.
    pub(super) fn of(checkpoint: &'a Checkpoint, files: &Model) -> Result<Self, Error> {
        let found = files.found.as_ref().ok_or_else(|| {
            Error::new(OPERATION).object(&files.name).expected("a model read from its files")
        })?;
        let listed: BTreeMap<&str, &FoundTensor> =
            checkpoint.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut sources = Self {
            paths: checkpoint.files.iter().map(|file| file.path.display().to_string()).collect(),
            by_slot: BTreeMap::new(),
            useless: Vec::new(),
            tied_head: files.geometry.tied_head,
        };
        for part in found.tensors.iter() {
            let tensor = *listed.get(part.name.as_str()).ok_or_else(|| {
                Error::new(OPERATION)
                    .place(format!("tensor `{}`", part.name))
                    .expected("the checkpoint that the model was read from")
            })?;
            sources.add(part, tensor);
        }
        sources.useless.dedup();
        Ok(sources)
    }

    fn add(&mut self, part: &Tensor, tensor: &'a FoundTensor) {
        let slot = Slot::of(part.component, &part.name);
        let sides = rows_and_columns(&part.shape);
        let key = slot.map(|slot| (part.component, slot));
        let known = key.is_some_and(|(component, slot)| self.has_already(component, slot));
        let (Some(key), Some((rows, columns)), false) = (key, sides, known) else {
            self.useless.push(&tensor.name);
            return;
        };
        let parts = part.merged.map_or(1, |merged| u64::from(merged.parts));
        let number = part.merged.and(part.component.expert()).map_or(0, u64::from);
        self.by_slot.insert(key, Source { tensor, rows, columns, part: number, parts });
    }

    /// Whether the same weights are there, in one matrix or in two.
    fn has_already(&self, component: ComponentId, slot: Slot) -> bool {
        let has = |slot| self.by_slot.contains_key(&(component, slot));
        match slot {
            Slot::GateUp => has(slot) || has(Slot::Gate) || has(Slot::Up),
            Slot::Gate | Slot::Up => has(slot) || has(Slot::GateUp),
            _ => has(slot),
        }
    }

    /// What a slot is made of, in order, each with the rows it has of it: the tensor itself, half of one, or
    /// two halves; nothing when the files have none of these.
    pub(super) fn parts_of(&self, component: ComponentId, slot: Slot) -> Vec<Part<'_, 'a>> {
        let whole = |component, slot| {
            let source = self.by_slot.get(&(component, slot))?;
            Some(Part { source, slot, first_row: 0, rows: source.rows })
        };
        let itself = whole(component, slot);
        match slot {
            _ if itself.is_some() => itself.into_iter().collect(),
            Slot::Gate | Slot::Up => {
                let half = whole(component, Slot::GateUp).and_then(|both| both.half(slot));
                half.into_iter().collect()
            }
            Slot::GateUp => {
                let halves = [Slot::Gate, Slot::Up].map(|slot| whole(component, slot));
                let [Some(gate), Some(up)] = halves else { return Vec::new() };
                vec![gate, up]
            }
            Slot::Head if self.tied_head => {
                whole(ComponentId::Embedding, Slot::Embedding).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Every tensor the decoder could use.
    pub(super) fn all(&self) -> impl Iterator<Item = (ComponentId, Slot, &Source<'a>)> {
        self.by_slot.iter().map(|(&(component, slot), source)| (component, slot, source))
    }

    /// The path of the file that holds a tensor.
    pub(super) fn path_of(&self, tensor: &FoundTensor) -> &str {
        let file = usize::try_from(tensor.file).ok();
        file.and_then(|file| self.paths.get(file)).map_or("", String::as_str)
    }

    /// The path of the first file.
    pub(super) fn first_path(&self) -> &str {
        self.paths.first().map_or("", String::as_str)
    }

    /// The table of rotary factors, when the files have one: it is needed whether planned or not.
    pub(super) fn rope_factors(&self, head_width: usize) -> Result<Option<Wanted>, Error> {
        let mut tables = self.all().filter(|(_, slot, _)| *slot == Slot::RopeFactors);
        let Some((component, slot, source)) = tables.next() else { return Ok(None) };
        let pairs = u64::try_from(head_width / 2).unwrap_or(0);
        if (source.rows, source.columns) != (1, pairs) {
            return Err(Error::new(OPERATION)
                .object(self.path_of(source.tensor))
                .place(format!("tensor `{}`", source.tensor.name))
                .expected(format!("a divisor for each of {pairs} rotated pairs"))
                .found(format!("shape {:?}", source.tensor.shape)));
        }
        let (name, columns) = (source.tensor.name.clone(), source.columns);
        let held = GgmlType::F32;
        let bytes = held.bytes(columns).unwrap_or(0);
        Ok(Some(Wanted { component, slot, name, held, rows: 1, columns, bytes }))
    }
}

/// Whole rows of a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'s, 'a> {
    pub(super) source: &'s Source<'a>,
    /// What the source itself is.
    pub(super) slot: Slot,
    pub(super) first_row: u64,
    pub(super) rows: u64,
}

impl Part<'_, '_> {
    /// Gate or up of both in one matrix, where gate lies above up.
    fn half(self, slot: Slot) -> Option<Self> {
        let rows = self.rows / 2;
        let first_row = if slot == Slot::Gate { 0 } else { rows };
        self.rows.is_multiple_of(2).then_some(Self { first_row, rows, ..self })
    }
}

impl Source<'_> {
    /// The type it is stored in; `None` for types that no file of this runtime's models has.
    pub(super) fn stored(&self) -> Option<GgmlType> {
        match self.tensor.dtype {
            Dtype::Ggml(kind) => Some(kind),
            Dtype::Safe(SafeType::F32) => Some(GgmlType::F32),
            Dtype::Safe(SafeType::F16) => Some(GgmlType::F16),
            Dtype::Safe(SafeType::Bf16) => Some(GgmlType::Bf16),
            Dtype::Safe(_) => None,
        }
    }

    /// Where a row begins, in bytes from the start of the file; `None` when the tensor's bytes are not those
    /// of its rows.
    pub(super) fn offset_of(&self, row: u64) -> Option<u64> {
        let row_bytes = self.stored()?.bytes(self.columns)?;
        let part_bytes = row_bytes.checked_mul(self.rows)?;
        if part_bytes.checked_mul(self.parts)? != self.tensor.bytes {
            return None;
        }
        let before = part_bytes.checked_mul(self.part)?.checked_add(row_bytes.checked_mul(row)?)?;
        self.tensor.offset.checked_add(before)
    }
}
