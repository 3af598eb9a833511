//! What each layer keeps of a sequence, as the family's template says.

use super::size;
use crate::model::config::Values;
use crate::model::expression::{Expression, Scope};
use crate::model::family::Family;
use crate::model::template::{CacheTemplate, ExpandedTemplate};
use crate::model::{Geometry, KeyValue, LayerCache};

/// Heads, widths, windows and states of a cache.
const CACHE_SIZE_MAX: u64 = 1 << 30;

/// What each layer keeps.
pub(super) fn layers(
    family: &Family,
    values: &Values,
    geometry: &Geometry,
) -> Result<Vec<LayerCache>, String> {
    (0..geometry.layers)
        .map(|layer| {
            let scope = Scope { keys: values, layer: Some(layer) };
            for (at, template) in family.cache.iter().enumerate() {
                if template.when.as_ref().map_or(Ok(true), |when| when.boolean(scope))? {
                    return cache(template, scope).map_err(|why| format!("cache {at}: {why}"));
                }
            }
            let Geometry { kv_heads: heads, head_dim, .. } = *geometry;
            let full = KeyValue { heads, key_width: head_dim, value_width: head_dim };
            Ok(LayerCache { kept: full, expanded: full, ..LayerCache::default() })
        })
        .collect()
}

fn cache(template: &CacheTemplate, scope: Scope<'_>) -> Result<LayerCache, String> {
    // What fits here fits in 64 bits when it is multiplied by any context and batch as 128 bits.
    let bounded = |expression: &Expression| {
        let value = size(expression, scope)?;
        if value > CACHE_SIZE_MAX { Err(format!("a size of {value}")) } else { Ok(value) }
    };
    let key_value = |heads, key_width, value_width| {
        Ok::<_, String>(KeyValue {
            heads: bounded(heads)?,
            key_width: bounded(key_width)?,
            value_width: bounded(value_width)?,
        })
    };
    let CacheTemplate { heads, key_width, value_width, .. } = template;
    let kept = key_value(heads, key_width, value_width)?;
    let expanded = match &template.expanded {
        Some(ExpandedTemplate { heads, key_width, value_width }) => {
            key_value(heads, key_width, value_width)?
        }
        None => kept,
    };
    let window = bounded(&template.window)?;
    let gguf_window = template.gguf_window.as_ref().map_or(Ok(window), bounded)?;
    let state_elements = bounded(&template.state)?;
    let some = |window: u64| (window > 0).then_some(window);
    Ok(LayerCache {
        kept,
        expanded,
        window: some(window),
        gguf_window: some(gguf_window),
        state_elements,
    })
}
