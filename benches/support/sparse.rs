//! A checkpoint with DeepSeek-V3's names and shapes, of which only the headers take space.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes of data per shard, as published: 163 shards for the whole model.
const SHARD_BYTES: u64 = 4_250_000_000;

const LAYERS: u64 = 62;
const DENSE_LAYERS: u64 = 3;
const HIDDEN: u64 = 7168;
const VOCABULARY: u64 = 129_280;

/// One tensor to be listed.
struct Listed {
    name: String,
    dtype: &'static str,
    element_bytes: u64,
    shape: Vec<u64>,
}

impl Listed {
    fn bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.element_bytes
    }
}

/// What was written.
pub struct Written {
    /// What to open.
    pub path: PathBuf,
    /// How many tensors it lists.
    pub tensors: usize,
    /// How many files list them.
    pub files: usize,
}

/// Shards and an index in `folder`; 256 experts are the published model.
pub fn safetensors(folder: &Path, experts: u64) -> io::Result<Written> {
    let tensors = published(experts);
    let mut shards: Vec<Vec<&Listed>> = Vec::new();
    let mut filled = SHARD_BYTES;
    for tensor in &tensors {
        if filled + tensor.bytes() > SHARD_BYTES {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += tensor.bytes();
        shards.last_mut().into_iter().for_each(|shard| shard.push(tensor));
    }
    let (files, mut map) = (shards.len(), Vec::new());
    for (number, shard) in (1..).zip(&shards) {
        let name = format!("model-{number:05}-of-{files:05}.safetensors");
        map.extend(shard.iter().map(|t| format!("    \"{}\": \"{name}\"", t.name)));
        write_shard(&folder.join(&name), shard)?;
    }
    map.sort();
    let total: u64 = tensors.iter().map(Listed::bytes).sum();
    let metadata = format!("  \"metadata\": {{\"total_size\": {total}}}");
    let text = format!("{{\n{metadata},\n  \"weight_map\": {{\n{}\n  }}\n}}\n", map.join(",\n"));
    let path = folder.join("model.safetensors.index.json");
    std::fs::write(&path, text)?;
    Ok(Written { path, tensors: tensors.len(), files })
}

fn write_shard(path: &Path, tensors: &[&Listed]) -> io::Result<()> {
    let mut end = 0;
    let entries = tensors.iter().map(|tensor| {
        let Listed { name, dtype, shape, .. } = tensor;
        let start = end;
        end += tensor.bytes();
        format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}")
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let length = length(header.as_bytes());
    let mut file = File::create(path)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    file.set_len(8 + length + end)
}

/// The published tensors; with fewer experts a part of them.
fn published(experts: u64) -> Vec<Listed> {
    let mut tensors = vec![bf16("model.embed_tokens.weight", &[VOCABULARY, HIDDEN])];
    for layer in 0..LAYERS {
        let at = |name: &str| format!("model.layers.{layer}.{name}");
        for (name, out, inner) in [
            ("q_a_proj", 1536, HIDDEN),
            ("q_b_proj", 24_576, 1536),
            ("kv_a_proj_with_mqa", 576, HIDDEN),
            ("kv_b_proj", 32_768, 512),
            ("o_proj", HIDDEN, 16_384),
        ] {
            fp8(&mut tensors, &at(&format!("self_attn.{name}")), out, inner);
        }
        for (name, width) in [
            ("self_attn.q_a_layernorm", 1536),
            ("self_attn.kv_a_layernorm", 512),
            ("input_layernorm", HIDDEN),
            ("post_attention_layernorm", HIDDEN),
        ] {
            tensors.push(bf16(&at(&format!("{name}.weight")), &[width]));
        }
        if layer < DENSE_LAYERS {
            mlp(&mut tensors, &at("mlp"), 18_432);
            continue;
        }
        tensors.push(bf16(&at("mlp.gate.weight"), &[256, HIDDEN]));
        tensors.push(f32(&at("mlp.gate.e_score_correction_bias"), &[256]));
        mlp(&mut tensors, &at("mlp.shared_experts"), 2048);
        for expert in 0..experts {
            mlp(&mut tensors, &at(&format!("mlp.experts.{expert}")), 2048);
        }
    }
    // The last layer predicts one more token and brings what that takes.
    let at = |name: &str| format!("model.layers.{}.{name}", LAYERS - 1);
    for name in ["enorm.weight", "hnorm.weight", "shared_head.norm.weight"] {
        tensors.push(bf16(&at(name), &[HIDDEN]));
    }
    tensors.push(bf16(&at("eh_proj.weight"), &[HIDDEN, 2 * HIDDEN]));
    tensors.push(bf16(&at("embed_tokens.weight"), &[VOCABULARY, HIDDEN]));
    tensors.push(bf16(&at("shared_head.head.weight"), &[VOCABULARY, HIDDEN]));
    tensors.push(bf16("model.norm.weight", &[HIDDEN]));
    tensors.push(bf16("lm_head.weight", &[VOCABULARY, HIDDEN]));
    tensors
}

fn bf16(name: &str, shape: &[u64]) -> Listed {
    Listed { name: name.to_owned(), dtype: "BF16", element_bytes: 2, shape: shape.to_vec() }
}

fn f32(name: &str, shape: &[u64]) -> Listed {
    Listed { name: name.to_owned(), dtype: "F32", element_bytes: 4, shape: shape.to_vec() }
}

/// A matrix with one scale per block of 128 x 128.
fn fp8(tensors: &mut Vec<Listed>, name: &str, out: u64, inner: u64) {
    let (weight, shape) = (format!("{name}.weight"), vec![out, inner]);
    tensors.push(Listed { name: weight, dtype: "F8_E4M3", element_bytes: 1, shape });
    let blocks = [out.div_ceil(128), inner.div_ceil(128)];
    tensors.push(f32(&format!("{name}.weight_scale_inv"), &blocks));
}

fn mlp(tensors: &mut Vec<Listed>, name: &str, width: u64) {
    fp8(tensors, &format!("{name}.gate_proj"), width, HIDDEN);
    fp8(tensors, &format!("{name}.up_proj"), width, HIDDEN);
    fp8(tensors, &format!("{name}.down_proj"), HIDDEN, width);
}

/// Which tensors a GGUF file lists.
#[derive(Clone, Copy)]
pub enum Experts {
    /// As llama.cpp writes them: the experts of a layer as one tensor.
    Fused,
    /// As published, so many per layer.
    Single(u64),
}

/// One GGUF file with a vocabulary of DeepSeek-V3's size, its tensors in F16.
pub fn gguf(folder: &Path, experts: Experts) -> io::Result<Written> {
    let listed: Vec<(String, Vec<u64>)> = match experts {
        Experts::Single(experts) => {
            published(experts).into_iter().map(|t| (t.name, t.shape)).collect()
        }
        Experts::Fused => fused(),
    };
    let mut header = b"GGUF".to_vec();
    header.extend(3_u32.to_le_bytes());
    header.extend(length(&listed).to_le_bytes());
    header.extend(4_u64.to_le_bytes());
    value(&mut header, "general.architecture", 8);
    text(&mut header, "deepseek2");
    let word = |n: u64| format!("Ġtoken{n}");
    for (key, count) in [("tokenizer.ggml.tokens", VOCABULARY), ("tokenizer.ggml.merges", 127_741)]
    {
        list(&mut header, key, 8, count);
        (0..count).for_each(|n| text(&mut header, &word(n)));
    }
    list(&mut header, "tokenizer.ggml.token_type", 5, VOCABULARY);
    (0..VOCABULARY).for_each(|_| header.extend(1_i32.to_le_bytes()));
    let mut end = 0_u64;
    for (name, shape) in &listed {
        text(&mut header, name);
        header.extend(u32::try_from(shape.len()).map_err(io::Error::other)?.to_le_bytes());
        shape.iter().rev().for_each(|n| header.extend(n.to_le_bytes()));
        header.extend(1_u32.to_le_bytes());
        header.extend(end.to_le_bytes());
        end += (shape.iter().product::<u64>() * 2).next_multiple_of(32);
    }
    header.resize(header.len().next_multiple_of(32), 0);
    let path = folder.join("model.gguf");
    let mut file = File::create(&path)?;
    file.write_all(&header)?;
    file.set_len(length(&header) + end)?;
    Ok(Written { path, tensors: listed.len(), files: 1 })
}

/// llama.cpp's names for the 61 layers it converts.
fn fused() -> Vec<(String, Vec<u64>)> {
    let mut tensors = vec![("token_embd.weight".to_owned(), vec![VOCABULARY, HIDDEN])];
    for layer in 0..61 {
        let mut push = |name: &str, shape: &[u64]| {
            tensors.push((format!("blk.{layer}.{name}"), shape.to_vec()));
        };
        push("attn_norm.weight", &[HIDDEN]);
        push("attn_q_a.weight", &[1536, HIDDEN]);
        push("attn_q_a_norm.weight", &[1536]);
        push("attn_q_b.weight", &[24_576, 1536]);
        push("attn_kv_a_mqa.weight", &[576, HIDDEN]);
        push("attn_kv_a_norm.weight", &[512]);
        push("attn_k_b.weight", &[128, 512, 128]);
        push("attn_v_b.weight", &[128, 128, 512]);
        push("attn_output.weight", &[HIDDEN, 16_384]);
        push("ffn_norm.weight", &[HIDDEN]);
        if layer < DENSE_LAYERS {
            push("ffn_gate.weight", &[18_432, HIDDEN]);
            push("ffn_up.weight", &[18_432, HIDDEN]);
            push("ffn_down.weight", &[HIDDEN, 18_432]);
            continue;
        }
        push("ffn_gate_inp.weight", &[256, HIDDEN]);
        push("exp_probs_b.bias", &[256]);
        push("ffn_gate_exps.weight", &[256, 2048, HIDDEN]);
        push("ffn_up_exps.weight", &[256, 2048, HIDDEN]);
        push("ffn_down_exps.weight", &[256, HIDDEN, 2048]);
        push("ffn_gate_shexp.weight", &[2048, HIDDEN]);
        push("ffn_up_shexp.weight", &[2048, HIDDEN]);
        push("ffn_down_shexp.weight", &[HIDDEN, 2048]);
    }
    tensors.push(("output_norm.weight".to_owned(), vec![HIDDEN]));
    tensors.push(("output.weight".to_owned(), vec![VOCABULARY, HIDDEN]));
    tensors
}

fn text(header: &mut Vec<u8>, text: &str) {
    header.extend(length(text.as_bytes()).to_le_bytes());
    header.extend(text.bytes());
}

fn value(header: &mut Vec<u8>, key: &str, kind: u32) {
    text(header, key);
    header.extend(kind.to_le_bytes());
}

fn list(header: &mut Vec<u8>, key: &str, kind: u32, items: u64) {
    value(header, key, 9);
    header.extend(kind.to_le_bytes());
    header.extend(items.to_le_bytes());
}

fn length<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}
