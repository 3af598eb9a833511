//! The KV cache: what attention keeps of every token it has seen.
//!
//! A cache has cells, one per token. How many a layer has is the runtime's rule (`kv_*` in
//! [`crate::runtime`]); what one takes is the model's:
//!
//! ```text
//! streams  = 1 (together) or batch (separate);  s = sequences per stream
//! size     = s x context, rounded up to the multiple
//! cells    = size; under a window: min(size, s x window + extra) rounded up, + spare
//! bytes    = streams x cells x heads x (key + value) x block bytes / block + batch x state x 4
//! ```

use super::Load;
use crate::error::Error;
use crate::model::{KeyValue, LayerCache};
use crate::runtime::{Rules, Sequences, Windows};

/// Cells of every stream, and how many streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) streams: u128,
    pub(super) each: u128,
}

impl Cells {
    /// Of such a layer.
    pub(super) fn of(cache: &LayerCache, load: &Load) -> Self {
        let rules = load.runtime.rules();
        let window = match rules.windows {
            Windows::Kept => cache.window,
            Windows::Converted => cache.gguf_window,
            Windows::Ignored => None,
        };
        let batch = u128::from(load.batch);
        let (streams, sequences) = match rules.kv_sequences {
            Sequences::Together => (1, batch),
            Sequences::Separate => (batch, 1),
        };
        let round = |cells: u128| cells.next_multiple_of(u128::from(rules.kv_cells_multiple));
        let size = round(sequences * u128::from(load.context));
        let each = match window {
            None => size,
            Some(window) => {
                let wanted =
                    sequences * u128::from(window) + u128::from(rules.kv_window_extra_tokens);
                // Without padding, extra or spare a window beyond the context changes nothing.
                round(size.min(wanted)) + u128::from(rules.kv_window_spare_cells)
            }
        };
        Self { streams, each }
    }
}

/// What this runtime keeps of a token in the layer.
fn kept(cache: &LayerCache, rules: &Rules) -> KeyValue {
    let latent = cache.kept != cache.expanded;
    if latent && rules.latent_expanded {
        return cache.expanded;
    }
    let beside = if latent { rules.kv_latent_value_width } else { 0 };
    KeyValue { value_width: cache.kept.value_width.saturating_add(beside), ..cache.kept }
}

/// Elements of a key and of a value of one head, as this runtime keeps them.
pub(super) fn widths(cache: &LayerCache, load: &Load) -> [u64; 2] {
    let KeyValue { key_width, value_width, .. } = kept(cache, load.runtime.rules());
    [key_width, value_width]
}

/// Bytes of one layer's recurrent state, for one sequence.
pub(super) fn state_bytes(cache: &LayerCache) -> u128 {
    u128::from(cache.state_elements) * 4
}

/// Bytes of one layer's cache, and the formula with its numbers.
///
/// Recurrent state is f32. Block types need heads of whole blocks, as llama.cpp does.
pub(super) fn layer_bytes(cache: &LayerCache, load: &Load) -> Result<(u128, String), Error> {
    let KeyValue { heads, key_width, value_width } = kept(cache, load.runtime.rules());
    let (elements, bytes) = load.kv_type.block();
    if let Some(odd) = [key_width, value_width].iter().find(|width| *width % elements != 0) {
        return Err(Error::new("size the KV cache")
            .place(format!("type `{}`", load.kv_type.name()))
            .expected(format!("heads of a multiple of {elements} elements"))
            .found(format!("{odd}")));
    }
    let Cells { streams, each } = Cells::of(cache, load);
    let width = u128::from(key_width) + u128::from(value_width);
    // The widest numbers there are must be refused by the caller, not overflow here.
    let of_head = (width / u128::from(elements)) * u128::from(bytes);
    let row = u128::from(heads).saturating_mul(of_head);
    let kept_bytes = (streams * each).checked_mul(row);
    let state = state_bytes(cache) * u128::from(load.batch);
    let block = if elements == 1 { bytes.to_string() } else { format!("{bytes}/{elements}") };
    let of_token = format!("{heads} heads x ({key_width} + {value_width}) x {block} B");
    let kept = match load.runtime.rules().kv_sequences {
        Sequences::Separate => format!("batch {streams} x {each} tokens x {of_token}"),
        Sequences::Together => {
            format!("{each} cells for batch {} x {} tokens, x {of_token}", load.batch, load.context)
        }
    };
    let recurrent = format!("batch {} x {} of state x 4 B", load.batch, cache.state_elements);
    let formula = match (row, state) {
        (0, _) => recurrent,
        (_, 0) => kept,
        _ => format!("{kept} + {recurrent}"),
    };
    let total = kept_bytes.and_then(|kept| kept.checked_add(state)).unwrap_or(u128::MAX);
    Ok((total, formula))
}

/// Refuses a type the runtime's cache cannot have.
pub(super) fn check_type(load: &Load) -> Result<(), Error> {
    let types = &load.runtime.rules().kv_types;
    if types.contains(&load.kv_type) {
        return Ok(());
    }
    let names: Vec<&str> = types.iter().map(|kv_type| kv_type.name()).collect();
    Err(Error::new("size the KV cache")
        .place(format!("runtime {}", load.runtime.name()))
        .expected(format!("one of {}", names.join(", ")))
        .found(format!("`{}`", load.kv_type.name()))
        .hint("another --kv-type, or another --runtime"))
}

#[cfg(test)]
#[path = "kv_tests.rs"]
mod tests;
