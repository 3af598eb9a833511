//! The rules by what a tensor does: where a file type departs from its default type.
//!
//! Each function is one branch of `llama_tensor_get_type_impl` in llama.cpp's src/llama-quant.cpp.
//! Shares of layers are integer divisions there and here.

use super::{Category, Chooser};
use crate::dtype::GgmlType as T;
use crate::error::Error;
use crate::quant::llama_cpp::FileType as F;
use crate::quant::llama_cpp::{Era, Row};

/// The first and last eighth of the layers, and every third between.
fn use_more_bits(layer: u32, layers: u32) -> bool {
    let eighth = layers / 8;
    // `7 * layers / 8` without overflow: layers come from a file.
    let last = u64::from(layers) * 7 / 8;
    layer < eighth || u64::from(layer) >= last || (layer - eighth) % 3 == 2
}

/// File types of less than 3 bits: one set of rules for all of them.
fn is_tiny(file_type: F) -> bool {
    matches!(file_type, F::Iq1S | F::Iq1M | F::Iq2Xxs | F::Iq2Xs | F::Iq2S | F::Iq2M)
}

impl Chooser<'_> {
    /// The type the mix wants, whether or not the rows fit it.
    pub(super) fn by_rules(&mut self, row: &Row<'_>, category: Category) -> Result<T, Error> {
        let default = self.recipe.file_type.default_type();
        if self.is_glm5_eight_bit(row) {
            return Ok(T::Q8_0);
        }
        if self.is_output(row, category) {
            return Ok(self.output(row));
        }
        if self.recipe.file_type == F::Mxfp4Moe {
            return Ok(self.mxfp4_moe(row, category));
        }
        if category == Category::TokenEmbedding {
            return Ok(self.token_embedding());
        }
        if is_tiny(self.recipe.file_type) {
            return Ok(self.tiny(row, category));
        }
        Ok(match self.family(row, category) {
            Category::AttnV => self.attn_v(),
            Category::AttnQkv => self.attn_qkv(),
            Category::AttnK => self.attn_k(),
            Category::AttnQ => self.attn_q(),
            Category::AttnOutput => self.attn_output(),
            Category::FfnDown => self.ffn_down(row)?,
            Category::FfnGate | Category::FfnUp => self.ffn_gate_or_up(row, category)?,
            _ => default,
        })
    }

    /// Whose rules a tensor follows: fused values are treated as values since tensors have categories,
    /// and matrices of split experts were not recognised at first.
    fn family(&self, row: &Row<'_>, category: Category) -> Category {
        let era = self.recipe.era;
        let dense = match category {
            Category::AttnQkv | Category::AttnKvB if era >= Era::TENSOR_CATEGORIES => {
                return Category::AttnV;
            }
            Category::AttnKvB => return Category::Other,
            Category::FfnDown => "ffn_down.weight",
            Category::FfnGate => "ffn_gate.weight",
            Category::FfnUp => "ffn_up.weight",
            other => return other,
        };
        let known = era >= Era::RESTORED_MIXES || row.name.ends_with(dense);
        if known { category } else { Category::Other }
    }

    /// The output matrix, or the embedding that takes its place.
    fn is_output(&self, row: &Row<'_>, category: Category) -> bool {
        let era = self.recipe.era;
        let shares = match category {
            Category::Output => return true,
            Category::TokenEmbedding => {
                row.name == "token_embd.weight" || era >= Era::TENSOR_CATEGORIES
            }
            _ => false,
        };
        shares && self.is_tied && era >= Era::TIED_EMBEDDING
    }

    /// Matrices of `glm5-next` that must not have fewer than 8 bits.
    fn is_glm5_eight_bit(&self, row: &Row<'_>) -> bool {
        const PARTS: [&str; 3] = ["attn_q_a", "attn_q_b", "nextn.eh_proj"];
        self.facts.architecture == "glm5-next" && PARTS.iter().any(|part| row.name.contains(part))
    }

    /// `output.weight`, or the embedding that takes its place.
    fn output(&self, row: &Row<'_>) -> T {
        if let Some(overridden) = self.recipe.output_type {
            return overridden;
        }
        let file_type = self.recipe.file_type;
        let default = file_type.default_type();
        let fits = row.row_elements().is_multiple_of(default.block_elements());
        match file_type {
            F::Mxfp4Moe | F::Q8_0 => T::Q8_0,
            _ if self.is_falcon() || !fits => T::Q8_0,
            other if other == F::Iq3Xxs || is_tiny(other) => T::Q5K,
            _ => T::Q6K,
        }
    }

    /// Stacks of matrices in MXFP4, which are experts in all architectures but one, where other
    /// projections are stacks too.
    fn mxfp4_moe(&self, row: &Row<'_>, category: Category) -> T {
        let is_ffn = matches!(category, Category::FfnUp | Category::FfnGate | Category::FfnDown);
        let is_expert = row.is_stack() && (self.facts.architecture != "bailingmoe3" || is_ffn);
        if is_expert { T::Mxfp4 } else { T::Q8_0 }
    }

    fn token_embedding(&self) -> T {
        match self.recipe.file_type {
            F::Iq2Xxs | F::Iq2Xs | F::Iq1S | F::Iq1M => T::Q2K,
            F::Iq2S | F::Iq2M | F::Iq3Xxs => T::Iq3S,
            F::Tq1_0 | F::Tq2_0 | F::Q2_0 => T::Q4K,
            other => other.default_type(),
        }
    }

    /// All rules of the file types of less than 3 bits. Their down projections go by how many came
    /// before, experts or not.
    fn tiny(&mut self, row: &Row<'_>, category: Category) -> T {
        let file_type = self.recipe.file_type;
        let default = file_type.default_type();
        let of_3_bits = matches!(file_type, F::Iq2S | F::Iq2M);
        let better = if of_3_bits { T::Iq3S } else { T::Q2K };
        match self.family(row, category) {
            Category::AttnV => {
                self.values_seen += 1;
                if self.shares_values() || self.facts.experts >= 4 { T::Q4K } else { better }
            }
            Category::AttnK if self.facts.experts == 8 => T::Q4K,
            Category::FfnDown => {
                let is_early = self.ffn_down_seen < self.ffn_down_total / 8;
                self.ffn_down_seen += 1;
                if is_early { better } else { default }
            }
            Category::AttnOutput if self.facts.experts == 8 => T::Q5K,
            Category::AttnOutput => match file_type {
                F::Iq1S | F::Iq1M => T::Iq2Xxs,
                F::Iq2S | F::Iq2M => T::Iq3S,
                _ => default,
            },
            _ => default,
        }
    }

    fn attn_v(&mut self) -> T {
        let (seen, total) = (self.values_seen, self.values_total);
        self.values_seen += 1;
        // Eight experts share one attention: 8 bits cost next to nothing.
        if self.facts.experts == 8 {
            return T::Q8_0;
        }
        let file_type = self.recipe.file_type;
        let shared = self.shares_values();
        let old = self.recipe.era < Era::RESTORED_MIXES;
        let chosen = match file_type {
            F::Q2K if !shared || old => T::Q3K,
            F::Q2K | F::Q2KS | F::Iq3Xxs | F::Iq3Xs | F::Iq3S if shared => T::Q4K,
            F::Iq3Xxs if !self.recipe.imatrix => T::Iq3S,
            F::Q3KM if seen < 2 => T::Q5K,
            F::Q3KM | F::Iq3M => T::Q4K,
            F::Q3KL => T::Q5K,
            F::Iq4Nl | F::Iq4Xs if shared => T::Q5K,
            F::Q4KM | F::Q5KM if use_more_bits(seen, total) => T::Q6K,
            F::Q4KS if seen < 4 => T::Q5K,
            other => other.default_type(),
        };
        match chosen {
            T::Q3K | T::Q4K if self.is_70b() => T::Q5K,
            other => other,
        }
    }

    /// Fused queries, keys and values, before they were treated as values.
    fn attn_qkv(&self) -> T {
        match self.recipe.file_type {
            F::Q3KM | F::Q3KL | F::Iq3M => T::Q4K,
            F::Q4KM => T::Q5K,
            F::Q5KM => T::Q6K,
            other => other.default_type(),
        }
    }

    fn attn_k(&self) -> T {
        if self.facts.experts == 8 { T::Q8_0 } else { self.attn_q() }
    }

    fn attn_q(&self) -> T {
        match self.recipe.file_type {
            F::Iq3Xs => T::Iq3Xxs,
            F::Iq3Xxs => T::Iq2S,
            other => other.default_type(),
        }
    }

    fn attn_output(&self) -> T {
        let file_type = self.recipe.file_type;
        let default = file_type.default_type();
        if self.is_falcon() {
            return if file_type == F::Q3KL { T::Q4K } else { default };
        }
        if self.has_8_known_experts() {
            return match file_type {
                // Q3_K_L is not among them.
                F::Q2K
                | F::Q3KS
                | F::Q3KM
                | F::Q4KS
                | F::Q4KM
                | F::Iq3Xxs
                | F::Iq3Xs
                | F::Iq3S
                | F::Iq3M
                | F::Iq4Nl
                | F::Iq4Xs => T::Q5K,
                _ => default,
            };
        }
        match file_type {
            F::Q2K => T::Q3K,
            F::Iq3Xxs => T::Iq3S,
            F::Q3KM | F::Iq3M => T::Q4K,
            F::Q3KL => T::Q5K,
            _ => default,
        }
    }

    fn ffn_down(&mut self, row: &Row<'_>) -> Result<T, Error> {
        let (layer, layers) = self.layer_of(row, self.ffn_down_seen)?;
        self.ffn_down_seen += 1;
        let (first, early) = match self.recipe.era {
            era if era < Era::RESTORED_MIXES => (2, 4),
            _ => (layers / 16, layers / 8),
        };
        let (is_first, is_early) = (layer < first, layer < early);
        let more = use_more_bits(layer, layers);
        let (falcon, imatrix) = (self.is_falcon(), self.recipe.imatrix);
        Ok(match self.recipe.file_type {
            F::Q2K => T::Q3K,
            F::Q2KS if is_early => T::Q4K,
            F::Iq3Xxs if is_early && !imatrix => T::Q4K,
            F::Iq3Xxs if !imatrix => T::Q3K,
            F::Q3KM if is_first => T::Q5K,
            F::Q3KM if !falcon || more => T::Q4K,
            F::Iq3M if is_early || (self.facts.experts == 8 && more) => T::Q4K,
            F::Q3KL if falcon => T::Q4K,
            F::Q3KL => T::Q5K,
            F::Q4KM if falcon && is_first => T::Q6K,
            F::Q4KM if more && falcon => T::Q5K,
            F::Q4KM | F::Q5KM if more => T::Q6K,
            F::Iq4Nl | F::Iq4Xs if is_early && !imatrix => T::Q5K,
            F::Q4KS if is_early && !falcon => T::Q5K,
            F::Q4_0 if is_early && imatrix => T::Q4_1,
            F::Q5_0 if is_early && imatrix => T::Q5_1,
            other => other.default_type(),
        })
    }

    fn ffn_gate_or_up(&mut self, row: &Row<'_>, category: Category) -> Result<T, Error> {
        let is_gate = category == Category::FfnGate;
        let seen = if is_gate { &mut self.ffn_gate_seen } else { &mut self.ffn_up_seen };
        let before = *seen;
        *seen += 1;
        let (layer, layers) = self.layer_of(row, before)?;
        let is_inner = layer >= layers / 8 && u64::from(layer) < u64::from(layers) * 7 / 8;
        Ok(match self.recipe.file_type {
            F::Iq3Xs if is_inner => T::Iq3Xxs,
            F::Q2K if self.recipe.era < Era::RESTORED_MIXES => T::Q3K,
            other => other.default_type(),
        })
    }

    fn is_falcon(&self) -> bool {
        self.facts.architecture == "falcon"
    }

    /// Whether four or more query heads share a head of values: `n_gqa() >= 4`.
    fn shares_values(&self) -> bool {
        let (heads, kv_heads) = (self.facts.heads, self.facts.kv_heads);
        heads.checked_div(kv_heads).is_some_and(|sharing| sharing >= 4)
    }

    fn has_8_known_experts(&self) -> bool {
        self.facts.experts == 8 && self.recipe.era >= Era::ATTN_OUTPUT_OF_8
    }

    /// `LLM_TYPE_70B`, which llama.cpp tells by architecture and layers.
    fn is_70b(&self) -> bool {
        match (self.facts.architecture, self.facts.layers) {
            ("llama" | "llama-embed", 80) => self.facts.heads != self.facts.kv_heads,
            ("qwen2" | "olmo" | "deci", 80) | ("jais2", 68) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_of_32_layers_get_more_bits() {
        let layers: Vec<u32> = (0..32).filter(|&layer| use_more_bits(layer, 32)).collect();
        assert_eq!(layers, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
        assert!(use_more_bits(u32::MAX, u32::MAX));
    }
}
