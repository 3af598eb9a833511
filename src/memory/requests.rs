//! What a runtime asks its allocators for while it runs, request by request: the same bytes that the estimate
//! has as sums.

use super::{Load, bounded, kv, workspace};
use crate::error::Error;
use crate::model::{LayerCache, Model};

/// One layer's cache as a runtime keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "what is bytes says so")]
pub(crate) struct CacheParts {
    /// Keys of all cells.
    pub(crate) key_bytes: u64,
    /// Values of all cells; 0 where a latent holds both.
    pub(crate) value_bytes: u64,
    /// Recurrent state.
    pub(crate) state_bytes: u64,
}

/// The cache of a layer for the context of `load`; together what the estimate has for it.
///
/// # Errors
/// As [`super::Demand::of`].
pub(crate) fn cache_parts(cache: &LayerCache, load: &Load) -> Result<CacheParts, Error> {
    let total = kv::layer_bytes(cache, load)?.0;
    let state = kv::state_bytes(cache) * u128::from(load.batch);
    let both = total.saturating_sub(state);
    let [key, value] = kv::widths(cache, load).map(u128::from);
    // Heads are whole blocks, so each part is a whole share.
    let keys = (both / (key + value).max(1)).saturating_mul(key);
    let part = |bytes| bounded("kv_cache_per_layer", bytes);
    Ok(CacheParts {
        key_bytes: part(keys)?,
        value_bytes: part(both.saturating_sub(keys))?,
        state_bytes: part(state)?,
    })
}

/// Embedding, attention, feed-forward, head: what is alive together at each kind of work, for so many tokens at
/// once, or for a micro-batch of the load.
///
/// # Errors
/// Sizes beyond [`crate::units::BYTES_MAX`].
pub(crate) fn activations(
    model: &Model,
    load: &Load,
    tokens: Option<u64>,
) -> Result<[Vec<u64>; 4], Error> {
    let mut kinds = [const { Vec::new() }; 4];
    for (sizes, pieces) in kinds.iter_mut().zip(workspace::pieces(&model.geometry, load, tokens)) {
        for bytes in pieces {
            sizes.push(bounded("workspace", bytes)?);
        }
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Demand;
    use crate::quant::Scheme;
    use crate::runtime::{NAMES, Profile};

    /// Whatever the runtime: its requests are what the estimate charges.
    #[test]
    fn requests_add_up_to_the_estimate() {
        for (model, scheme) in
            [("mixtral-8x7b", "f16"), ("deepseek-v3", "fp8"), ("gpt-oss-20b", "f16")]
        {
            let model = Model::from_catalogue(model).unwrap();
            let scheme = Scheme::parse(scheme).unwrap();
            for name in NAMES {
                let runtime = Profile::shared(name).unwrap();
                let load = Load { runtime, batch: 2, ..Load::default() };
                let demand = Demand::of(&model, &scheme, &load).unwrap();
                let sums = activations(&model, &load, None).unwrap().map(|p| p.iter().sum::<u64>());
                assert_eq!(sums, demand.workspace.kinds(), "{name}");
                let parts = model.cache.iter().map(|cache| cache_parts(cache, &load).unwrap());
                let of = |p: CacheParts| p.key_bytes + p.value_bytes + p.state_bytes;
                assert_eq!(parts.map(of).sum::<u64>(), demand.kv_cache_bytes(), "{name}");
                // One token needs less than a prompt.
                let one = activations(&model, &load, Some(1)).unwrap();
                assert!(one[1].iter().sum::<u64>() < sums[1], "{name}");
            }
        }
    }
}
