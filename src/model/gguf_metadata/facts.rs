//! What expressions about a GGUF file may name: its metadata, and which tensors it has.

use std::collections::BTreeMap;

use super::super::expression::Value;
use crate::checkpoint::{Checkpoint, MetaValue, Metadata};

/// More layers than this are no list.
const LAYERS_MAX: i64 = 1000;

/// A GGUF file by names that expressions can have.
///
/// Metadata of the architecture: `attention_head_count` is `llama.attention.head_count`. A list with a
/// number per layer is that number when all layers that have one have the same, 0 being none.
///
/// Tensors, by their name without the layer and with `_` for `.`: `has_output_weight`,
/// `layers_with_attn_q_weight`, `layers_without_ffn_gate_inp_weight`, `rows_of_token_embd_weight` and
/// `columns_of_token_embd_weight`, which are the last two dimensions, of the first of them.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    metadata: BTreeMap<String, &'a MetaValue>,
    tensors: BTreeMap<String, Tensors<'a>>,
}

/// The tensors of one name in all layers.
#[derive(Debug)]
struct Tensors<'a> {
    layers: Vec<i64>,
    shape: &'a [u64],
}

impl<'a> Facts<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, architecture: &str) -> Self {
        let mut tensors: BTreeMap<String, Tensors<'a>> = BTreeMap::new();
        for tensor in &checkpoint.tensors {
            let (layer, rest) = split(&tensor.name);
            let new = || Tensors { layers: Vec::new(), shape: &tensor.shape };
            tensors.entry(rest.replace('.', "_")).or_insert_with(new).layers.extend(layer);
        }
        for same in tensors.values_mut() {
            same.layers.sort_unstable();
        }
        Self { metadata: of_architecture(&checkpoint.metadata, architecture), tensors }
    }

    /// The value of a name, if the file has it.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        let dimension = |tensor: &str, from_last: usize| {
            let size = self.tensors.get(tensor)?.shape.iter().rev().nth(from_last)?;
            i64::try_from(*size).ok().map(Value::Integer)
        };
        if let Some(tensor) = name.strip_prefix("has_") {
            return Some(Value::Boolean(self.tensors.contains_key(tensor)));
        }
        if let Some(tensor) = name.strip_prefix("layers_with_") {
            return Some(Value::Integers(self.layers_with(tensor).to_vec()));
        }
        if let Some(tensor) = name.strip_prefix("layers_without_") {
            return self.layers_without(tensor).map(Value::Integers);
        }
        if let Some(tensor) = name.strip_prefix("rows_of_") {
            return dimension(tensor, 1);
        }
        if let Some(tensor) = name.strip_prefix("columns_of_") {
            return dimension(tensor, 0);
        }
        value(self.metadata.get(name)?)
    }

    fn layers_with(&self, tensor: &str) -> &[i64] {
        self.tensors.get(tensor).map_or(&[], |tensors| &tensors.layers)
    }

    fn layers_without(&self, tensor: &str) -> Option<Vec<i64>> {
        let count = |name: &str| match self.value(name) {
            Some(Value::Integer(count)) => Some(count),
            _ => None,
        };
        let own = count("block_count")? - count("nextn_predict_layers").unwrap_or(0);
        let with = self.layers_with(tensor);
        let without = |layer: &i64| with.binary_search(layer).is_err();
        (0..=LAYERS_MAX).contains(&own).then(|| (0..own).filter(without).collect())
    }
}

/// N and the rest of `blk.N.rest`.
fn split(name: &str) -> (Option<i64>, &str) {
    let parts = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let layer = parts.and_then(|(digits, rest)| Some((digits.parse::<u32>().ok()?, rest)));
    layer.map_or((None, name), |(layer, rest)| (Some(i64::from(layer)), rest))
}

fn of_architecture<'a>(
    metadata: &'a Metadata,
    architecture: &str,
) -> BTreeMap<String, &'a MetaValue> {
    let own = |(key, value): (&str, &'a MetaValue)| {
        let key = key.strip_prefix(architecture)?.strip_prefix('.')?;
        Some((key.replace('.', "_"), value))
    };
    metadata.iter().filter_map(own).collect()
}

fn value(value: &MetaValue) -> Option<Value> {
    match value {
        MetaValue::Unsigned(value) => i64::try_from(*value).ok().map(Value::Integer),
        MetaValue::Negative(value) => Some(Value::Integer(*value)),
        MetaValue::Bool(value) => Some(Value::Boolean(*value)),
        MetaValue::Text(text) => Some(Value::Text(text.clone())),
        MetaValue::Integers(items) => list(items),
        MetaValue::Float(_) | MetaValue::LongText(_) | MetaValue::List(_) => None,
    }
}

fn list(items: &[u64]) -> Option<Value> {
    let items: Vec<i64> =
        items.iter().map(|&item| i64::try_from(item).ok()).collect::<Option<_>>()?;
    let mut some = items.iter().filter(|&&item| item != 0);
    let first = some.next().copied().unwrap_or(0);
    let uniform = !items.is_empty() && some.all(|&item| item == first);
    Some(if uniform { Value::Integer(first) } else { Value::Integers(items) })
}
