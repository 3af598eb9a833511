//! A model of no known family, read off the names and shapes of its tensors.
//!
//! Bytes come from the headers and are exact. What shapes do not tell (how many experts a token visits,
//! how keys are shared) is taken from the usual config keys or metadata where they are, and said.

use std::collections::BTreeMap;

use serde_json::Value;

use super::grouping::{Place, usual_place};
use super::{ComponentId, Geometry, GgufCounts, KeyValue, LayerCache, Model, config};
use crate::checkpoint::{Checkpoint, FoundTensor};
use crate::error::Error;

/// The name of no family.
pub(super) const FAMILY: &str = "unknown";

const LAYERS_MAX: u32 = 1000;
const EXPERTS_MAX: u32 = 4096;

/// The model, without what is grouped later: tensors, fingerprint.
pub(super) fn model(checkpoint: &Checkpoint, name: &str) -> Result<Model, Error> {
    let said = Said::of(checkpoint)?;
    let mut seen = Seen::default();
    for tensor in &checkpoint.tensors {
        seen.add(tensor);
    }
    let (layers, experts) = seen.counts().map_err(|why| {
        Error::new("read the model")
            .object(
                checkpoint.files.first().map_or(String::new(), |f| f.path.display().to_string()),
            )
            .found(why)
    })?;
    let heads = said.number("num_attention_heads", "attention.head_count").unwrap_or(1).max(1);
    let kv_heads = said.number("num_key_value_heads", "attention.head_count_kv").unwrap_or(heads);
    let hidden = seen.hidden.max(1);
    let head_dim = said.number("head_dim", "attention.key_length").unwrap_or(hidden / heads).max(1);
    let chosen = said.experts_per_token().filter(|&chosen| chosen <= experts);
    let cache: Vec<LayerCache> = (0..layers).map(|layer| seen.cache(layer)).collect();
    let notices = notices(&said, experts, chosen, &cache);
    Ok(Model {
        name: name.to_owned(),
        family: FAMILY.to_owned(),
        config: BTreeMap::new(),
        geometry: Geometry {
            layers,
            hidden,
            heads,
            kv_heads: kv_heads.clamp(1, heads),
            head_dim,
            vocab: seen.vocab.max(1),
            experts,
            experts_per_token: chosen.unwrap_or(u32::from(experts > 0)),
            expert_width: seen.expert_width,
            dense_width: seen.dense_width,
            tied_head: !seen.has_head,
        },
        cache,
        gguf_counts: GgufCounts { layers, kv_heads: kv_heads.max(1), kv_heads_before: None },
        tensors: Vec::new().into(),
        fingerprint: String::new(),
        found: None,
        published_quantization: serde_json::Map::new(),
        notices,
    })
}

fn notices(said: &Said, experts: u32, chosen: Option<u32>, cache: &[LayerCache]) -> Vec<String> {
    let mut notices = vec![format!(
        "no family of this program serves {}; its tensors are grouped by the usual patterns of names",
        said.name
    )];
    if experts > 0 && chosen.is_none() {
        notices.push(format!(
            "how many of the {experts} experts a token visits is not said; 1 assumed"
        ));
    }
    let without = cache.iter().filter(|cache| cache.kept == KeyValue::default()).count();
    if without > 0 {
        notices.push(format!(
            "{without} layers have no key and value matrices by name: their KV cache is counted as 0"
        ));
    }
    notices
}

/// What config or metadata say, under the usual keys.
struct Said {
    name: String,
    config: Option<serde_json::Map<String, Value>>,
    metadata: Vec<(String, u64)>,
}

impl Said {
    fn of(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let config = match &checkpoint.config_text {
            Some((source, text)) => Some(config::parse(text, source)?),
            None => None,
        };
        let model_type = config.as_ref().and_then(|c| c.get("model_type")).and_then(Value::as_str);
        let architecture = checkpoint.metadata.text("general.architecture");
        let shown = |text: &str| {
            format!("`{}`", crate::error::printable(&text.chars().take(40).collect::<String>()))
        };
        let name = architecture.or(model_type).map_or("this model".to_owned(), shown);
        let prefix = architecture.map(|text| format!("{text}."));
        let metadata = checkpoint
            .metadata
            .iter()
            .filter_map(|(key, _)| {
                let bare = key.strip_prefix(prefix.as_deref()?)?;
                Some((bare.to_owned(), checkpoint.metadata.u64(key)?))
            })
            .collect();
        Ok(Self { name, config, metadata })
    }

    fn number(&self, key: &str, metadata: &str) -> Option<u64> {
        let from_config = self.config.as_ref().and_then(|config| config.get(key)?.as_u64());
        let found = self.metadata.iter().find(|(name, _)| name == metadata).map(|row| row.1);
        // Nothing real is beyond this, and products of a few stay in 64 bits.
        found.or(from_config).filter(|&value| (1..=1 << 20).contains(&value))
    }

    fn experts_per_token(&self) -> Option<u32> {
        ["num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k"]
            .into_iter()
            .find_map(|key| self.number(key, "expert_used_count"))
            .and_then(|chosen| u32::try_from(chosen).ok())
    }
}

/// What names and shapes show.
#[derive(Default)]
struct Seen {
    layers: u64,
    experts: u64,
    hidden: u64,
    vocab: u64,
    expert_width: u64,
    dense_width: u64,
    has_head: bool,
    /// Rows of each layer's key, value and latent matrices.
    rows: BTreeMap<u32, [u64; 3]>,
}

impl Seen {
    fn add(&mut self, tensor: &FoundTensor) {
        let rows = tensor.shape.first().copied().unwrap_or(0);
        let inner = tensor.shape.last().copied().unwrap_or(0);
        let name = tensor.name.as_str();
        let id = match usual_place(name) {
            Place::AllExperts { layer, .. } => {
                if tensor.shape.len() == 3 {
                    self.experts = self.experts.max(rows);
                }
                ComponentId::Expert(layer, 0)
            }
            Place::One(id) => id,
        };
        self.layers = self.layers.max(id.layer().map_or(0, |layer| u64::from(layer) + 1));
        self.experts = self.experts.max(id.expert().map_or(0, |expert| u64::from(expert) + 1));
        let down = ["down_proj", "w2.", "fc2", "ffn_down"].iter().any(|part| name.contains(part));
        match id {
            ComponentId::Embedding if tensor.shape.len() == 2 && rows > self.vocab => {
                (self.vocab, self.hidden) = (rows, inner);
            }
            ComponentId::OutputHead => self.has_head = true,
            ComponentId::Expert(..) if down => self.expert_width = self.expert_width.max(inner),
            ComponentId::Mlp(_) | ComponentId::SharedExpert(_) if down => {
                self.dense_width = self.dense_width.max(inner);
            }
            ComponentId::Attention(layer) if tensor.shape.len() == 2 => {
                self.add_rows(layer, name, rows);
            }
            _ => {}
        }
    }

    fn add_rows(&mut self, layer: u32, name: &str, rows: u64) {
        const KINDS: [&[&str]; 3] = [
            &["k_proj.weight", "attn_k.weight", "wk.weight"],
            &["v_proj.weight", "attn_v.weight", "wv.weight"],
            &["kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"],
        ];
        let kind = KINDS.iter().position(|names| names.iter().any(|end| name.ends_with(end)));
        if let Some(kind) = kind {
            self.rows.entry(layer).or_default()[kind] = rows.min(1 << 20);
        }
    }

    fn counts(&self) -> Result<(u32, u32), String> {
        let within = |count: u64, max: u32, what: &str| {
            let bounded = u32::try_from(count).ok().filter(|&count| count <= max);
            bounded.ok_or_else(|| format!("{count} {what}, over {max}"))
        };
        let layers = within(self.layers, LAYERS_MAX, "layers")?;
        let experts = within(self.experts, EXPERTS_MAX, "experts")?;
        if layers == 0 {
            return Err("no tensor of a layer, by the usual patterns of names".to_owned());
        }
        Ok((layers, experts))
    }

    fn cache(&self, layer: u32) -> LayerCache {
        let [key, value, latent] = self.rows.get(&layer).copied().unwrap_or_default();
        let kept = match (key + value, latent) {
            (0, 0) => KeyValue::default(),
            (0, latent) => KeyValue { heads: 1, key_width: latent, value_width: 0 },
            _ => KeyValue { heads: 1, key_width: key, value_width: value },
        };
        LayerCache { kept, expanded: kept, ..LayerCache::default() }
    }
}
