//! What a runtime does with memory beside holding weights: rules, each with its source.
//!
//! A [`Profile`] is data: numbers, and words that choose among the few formulas of [`crate::memory`].
//! Four come with the program (`profiles/`); users correct one with what they measured:
//!
//! ```yaml
//! version: 1
//! based_on: llama.cpp
//! rules:
//!   driver_context_bytes: {value: 430MiB, source: "nvidia-smi, idle server, RTX 6000 Ada"}
//!   micro_batch_tokens: 2048
//! ```
//!
//! or state all rules under a name of their own (`runtime: my-engine`).
//!
//! # The rules
//!
//! | rule | what it decides |
//! |---|---|
//! | `kv_types` | types the KV cache can have; others are refused |
//! | `kv_cells_multiple` | cells (tokens) of a cache are rounded up to a multiple of this |
//! | `kv_sequences` | `together`: one cache for context x batch tokens; `separate`: one per sequence |
//! | `kv_window` | `kept`: a layer with a sliding window holds only that; `converted`: where llama.cpp's architecture has one; `ignored`: the whole context |
//! | `kv_window_extra_tokens`, `kv_window_spare_cells` | cells of such a layer beyond its window, before and after rounding |
//! | `kv_latent` | latent attention keeps its latent (`kept`) or full keys and values (`expanded`) |
//! | `kv_latent_value_width` | elements of a value kept beside the latent |
//! | `workspace` | formula of the activations: `reference`, `ggml_graph` or `torch` |
//! | `micro_batch_tokens`, `micro_batch` | tokens computed at once, of all sequences `together` or of each (`separate`); `filled`: always that many |
//! | `activation_bytes`, `mask_bytes` | bytes of an activation; of the mask per token and cell |
//! | `flash_attention` | `false` adds the matrix of scores |
//! | `logits_tokens` | tokens of each sequence that logits are computed for |
//! | `staging` | where quantizing stages, or `scheme`: where the quantization's own loader does |
//! | `rounding` | what the allocator adds to each tensor: `none`, `torch`, `ggml_cuda` |
//! | `driver_context_bytes`, `blas_workspace_bytes` | kept on every GPU that is used |
//! | `graph_copies` | copies of a graph's inputs where there are several GPUs |
//! | `usable_fraction` | how much of a GPU's capacity the runtime fills |
//! | `embedding` | `host`: the token embedding never leaves host memory, and a tied head is a second copy |
//! | `sends` | a token goes to experts on other devices once for each (`per_expert`) or once for each device (`per_device`); where a profile does not say, `per_expert` |
//! | `layer_devices` | the devices that hold parts of one layer take turns (`sequential`) or work at the same time (`concurrent`); where a profile does not say, `sequential` |

mod file;
mod kv_type;
mod rules;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::error::Error;
use crate::quant::choose;

pub use kv_type::KvType;
pub use rules::{
    Activations, LayerDevices, MicroBatch, Rounding, Rules, SendRule, Sequences, Windows,
};

/// The names of the profiles that come with the program; the first is the default.
pub const NAMES: [&str; 4] = ["candle", "transformers", "llama.cpp", "vllm"];

const TEXTS: [&str; 4] = [
    include_str!("profiles/candle.yaml"),
    include_str!("profiles/transformers.yaml"),
    include_str!("profiles/llama.cpp.yaml"),
    include_str!("profiles/vllm.yaml"),
];

/// The names of all rules, in the order in which they are printed.
pub fn rule_names() -> impl Iterator<Item = &'static str> {
    rules::RULES.iter().map(|&(name, _)| name)
}

/// Read once; a test reads each on its own and holds them to their names.
static PROFILES: LazyLock<Vec<Arc<Profile>>> = LazyLock::new(|| {
    let texts = NAMES.iter().zip(TEXTS);
    texts.filter_map(|(name, text)| file::read(text, name).ok()).map(Arc::new).collect()
});

/// A rule as a profile states it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    value: String,
    source: String,
}

/// One runtime's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    name: String,
    about: String,
    rules: BTreeMap<&'static str, Rule>,
    values: Rules,
}

impl Profile {
    fn of(name: String, about: String, rules: BTreeMap<&'static str, Rule>) -> Self {
        let values = rules.iter().map(|(&key, rule)| (key, rule.value.clone())).collect();
        Self { name, about, values: Rules::of(&values), rules }
    }

    /// One of the profiles that come with the program.
    ///
    /// # Errors
    /// Another name, with all names and the nearest.
    ///
    /// ```
    /// use apportion::runtime::Profile;
    /// assert!(Profile::named("llama.cpp").unwrap().rules().embedding_on_host);
    /// assert!(Profile::named("lama.cpp").is_err());
    /// ```
    pub fn named(name: &str) -> Result<Self, Error> {
        Self::shared(name).map(|profile| Self::clone(&profile))
    }

    /// As [`Self::named`], without a copy.
    pub fn shared(name: &str) -> Result<Arc<Self>, Error> {
        let name = choose(name, "find the runtime", &NAMES, |name| name)?;
        let found = PROFILES.iter().find(|profile| profile.name == name);
        found.map(Arc::clone).ok_or_else(|| {
            Error::new("find the runtime").object(name).found("its profile cannot be read")
        })
    }

    /// Reads the text of a profile; `source` names it in messages.
    ///
    /// # Errors
    /// What is no YAML, unknown names (with the nearest), values out of bounds, rules that are missing
    /// from a profile without `based_on`.
    ///
    /// ```
    /// use apportion::runtime::Profile;
    /// let text = "version: 1\nbased_on: vllm\nrules: {usable_fraction: 95/100}\n";
    /// let profile = Profile::from_yaml(text, "mine.yaml").unwrap();
    /// assert_eq!(profile.differences(), [("usable_fraction", "95/100")]);
    /// ```
    pub fn from_yaml(text: &str, source: &str) -> Result<Self, Error> {
        file::read(text, source)
    }

    /// What [`Self::name`] and [`Self::differences`] recorded.
    ///
    /// # Errors
    /// As [`Self::from_yaml`].
    pub fn recorded(name: &str, values: &BTreeMap<String, String>) -> Result<Self, Error> {
        file::recorded(name, values)
    }

    /// The runtime's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line for people.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The rules as values.
    pub fn rules(&self) -> &Rules {
        &self.values
    }

    /// What a rule says, in its canonical form; `None` when there is no such rule.
    pub fn value(&self, rule: &str) -> Option<&str> {
        self.rules.get(rule).map(|rule| rule.value.as_str())
    }

    /// Where a rule comes from; nothing when there is no such rule.
    pub fn source(&self, rule: &str) -> &str {
        self.rules.get(rule).map_or("", |rule| rule.source.as_str())
    }

    /// The rules that differ from those of the profile of this name that comes with the program, or all
    /// when there is none: with the name, enough to have the profile again. Sorted.
    pub fn differences(&self) -> Vec<(&str, &str)> {
        let own = PROFILES.iter().find(|profile| profile.name == self.name);
        let same = |key: &str, rule: &Rule| {
            own.and_then(|own| own.rules.get(key)).is_some_and(|own| own.value == rule.value)
        };
        let rules = self.rules.iter().filter(|&(key, rule)| !same(key, rule));
        rules.map(|(&key, rule)| (key, rule.value.as_str())).collect()
    }

    /// Whether it is the default, uncorrected.
    pub fn is_default(&self) -> bool {
        self.name == NAMES[0] && self.differences().is_empty()
    }
}

impl Default for Profile {
    /// The first of [`NAMES`].
    fn default() -> Self {
        Self::clone(&shared_default())
    }
}

/// The default profile, without a copy.
pub fn shared_default() -> Arc<Profile> {
    // The embedded text is read in every test run; were it broken, nothing would add anything.
    let none = || Arc::new(Profile::of(NAMES[0].to_owned(), String::new(), BTreeMap::new()));
    PROFILES.first().map_or_else(none, Arc::clone)
}

#[cfg(test)]
mod tests;
