//! A Mixtral of real proportions at reduced depth, with weights that are random but of an ordinary size, so that
//! activations neither vanish nor explode and routing is a mixture.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// How large.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Decoder layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Width of an expert.
    pub width: u64,
    /// Experts of a layer.
    pub experts: u64,
    /// Tokens the model knows.
    pub vocabulary: u64,
}

/// How elements are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Safetensors in 32 bit.
    F32,
    /// Safetensors in brain floats.
    Bf16,
    /// GGUF in 4-bit blocks, norms in 32 bit.
    Q4K,
}

const HEADS: u64 = 32;
const KV_HEADS: u64 = 8;

/// Sizes of Mixtral 8x7B but for the depth and the vocabulary, which is kept small beside two layers.
pub fn real(layers: u64) -> Shape {
    Shape { layers, hidden: 4096, width: 14336, experts: 8, vocabulary: 8192 }
}

/// Name in either format, and dimensions, outermost first.
struct Listed {
    published: String,
    gguf: String,
    shape: Vec<u64>,
}

fn listed(published: String, gguf: String, shape: &[u64]) -> Listed {
    Listed { published, gguf, shape: shape.to_vec() }
}

fn tensors(shape: Shape) -> Vec<Listed> {
    let Shape { layers, hidden, width, experts, vocabulary } = shape;
    let kv = hidden / HEADS * KV_HEADS;
    let mut all = vec![listed(
        "model.embed_tokens.weight".into(),
        "token_embd.weight".into(),
        &[vocabulary, hidden],
    )];
    for layer in 0..layers {
        let mut add = |published: String, gguf: String, shape: &[u64]| {
            let (published, gguf) =
                (format!("model.layers.{layer}.{published}"), format!("blk.{layer}.{gguf}"));
            all.push(listed(published, gguf, shape));
        };
        add("input_layernorm.weight".into(), "attn_norm.weight".into(), &[hidden]);
        for (part, short, rows, columns) in [
            ("q_proj", "attn_q", hidden, hidden),
            ("k_proj", "attn_k", kv, hidden),
            ("v_proj", "attn_v", kv, hidden),
            ("o_proj", "attn_output", hidden, hidden),
        ] {
            add(format!("self_attn.{part}.weight"), format!("{short}.weight"), &[rows, columns]);
        }
        add("post_attention_layernorm.weight".into(), "ffn_norm.weight".into(), &[hidden]);
        add(
            "block_sparse_moe.gate.weight".into(),
            "ffn_gate_inp.weight".into(),
            &[experts, hidden],
        );
        for expert in 0..experts {
            for (part, short, rows, columns) in [
                ("w1", "ffn_gate", width, hidden),
                ("w2", "ffn_down", hidden, width),
                ("w3", "ffn_up", width, hidden),
            ] {
                let published = format!("block_sparse_moe.experts.{expert}.{part}.weight");
                add(published, format!("{short}.{expert}.weight"), &[rows, columns]);
            }
        }
    }
    all.push(listed("model.norm.weight".into(), "output_norm.weight".into(), &[hidden]));
    all.push(listed("lm_head.weight".into(), "output.weight".into(), &[vocabulary, hidden]));
    all
}

/// Writes the model into a folder; the answer is what to open.
pub fn write(folder: &Path, shape: Shape, stored: Type) -> io::Result<PathBuf> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    if stored == Type::Q4K {
        return gguf(folder, shape, &mut random);
    }
    std::fs::write(folder.join("config.json"), config(shape, "null"))?;
    let width = if stored == Type::F32 { 4 } else { 2 };
    let name = if stored == Type::F32 { "F32" } else { "BF16" };
    let mut end = 0;
    let all = tensors(shape);
    let entries: Vec<String> = all
        .iter()
        .map(|tensor| {
            let start = end;
            end += tensor.shape.iter().product::<u64>() * width;
            let Listed { published, shape, .. } = tensor;
            format!("\"{published}\":{{\"dtype\":\"{name}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}")
        })
        .collect();
    let mut header = format!("{{{}}}", entries.join(","));
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let path = folder.join("model.safetensors");
    let mut file = BufWriter::with_capacity(4 << 20, File::create(&path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for tensor in &all {
        floats(&mut file, tensor, stored, &mut random)?;
    }
    file.flush()?;
    Ok(path)
}

/// The config as transformers publishes it; `window` is a number or null.
pub fn config(shape: Shape, window: &str) -> String {
    let Shape { layers, hidden, width, experts, vocabulary } = shape;
    format!(
        "{{\"model_type\":\"mixtral\",\"vocab_size\":{vocabulary},\"hidden_size\":{hidden},\
         \"intermediate_size\":{width},\"num_hidden_layers\":{layers},\"num_attention_heads\":{HEADS},\
         \"num_key_value_heads\":{KV_HEADS},\"hidden_act\":\"silu\",\"max_position_embeddings\":4096,\
         \"rms_norm_eps\":1e-5,\"rope_theta\":1000000.0,\"sliding_window\":{window},\
         \"num_experts_per_tok\":2,\"num_local_experts\":{experts},\"tie_word_embeddings\":false,\
         \"use_flash_attn\":false,\"torch_dtype\":\"bfloat16\"}}\n"
    )
}

/// Norms are one; everything else is of either sign, between 1/64 and 1/32.
fn floats(
    file: &mut impl Write,
    tensor: &Listed,
    stored: Type,
    random: &mut Random,
) -> io::Result<()> {
    let elements = tensor.shape.iter().product::<u64>();
    let norm = tensor.shape.len() == 1;
    for _ in 0..elements {
        let noise = random.next();
        // The sign, the exponent of 2^-6, and noise for the rest.
        let bits = if norm { 0x3F80_0000 } else { (noise & 0x807F_FFFF) | (121 << 23) };
        let bytes = bits.to_le_bytes();
        file.write_all(if stored == Type::F32 { &bytes } else { &bytes[2..] })?;
    }
    Ok(())
}

/// Blocks of 256 elements: two 16-bit scales, 12 bytes of 6-bit scales and minima, 128 bytes of 4-bit values.
/// The scales make the values about as large as [`floats`] does.
fn blocks(file: &mut impl Write, elements: u64, random: &mut Random) -> io::Result<()> {
    // 1.5e-4 and 1.1e-3 as 16-bit floats: values spread around zero.
    let (scale, minimum) = (0x08EA_u16, 0x1481_u16);
    let mut block = [0_u8; 144];
    block[..2].copy_from_slice(&scale.to_le_bytes());
    block[2..4].copy_from_slice(&minimum.to_le_bytes());
    for _ in 0..elements / 256 {
        for bytes in block[4..].chunks_exact_mut(4) {
            bytes.copy_from_slice(&random.next().to_le_bytes());
        }
        file.write_all(&block)?;
    }
    Ok(())
}

fn gguf(folder: &Path, shape: Shape, random: &mut Random) -> io::Result<PathBuf> {
    const ALIGNMENT: u64 = 32;
    let all = tensors(shape);
    let mut header: Vec<u8> = Vec::new();
    header.extend(b"GGUF");
    header.extend(3_u32.to_le_bytes());
    header.extend((all.len() as u64).to_le_bytes());
    metadata(&mut header, shape);
    let mut offset = 0_u64;
    for tensor in &all {
        text(&mut header, &tensor.gguf);
        header.extend(u32::try_from(tensor.shape.len()).unwrap_or(0).to_le_bytes());
        tensor.shape.iter().rev().for_each(|size| header.extend(size.to_le_bytes()));
        let kind: u32 = if in_blocks(tensor) { 12 } else { 0 };
        header.extend(kind.to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset = (offset + bytes(tensor)).next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(32), 0);
    let path = folder.join("model.gguf");
    let mut file = BufWriter::with_capacity(4 << 20, File::create(&path)?);
    file.write_all(&header)?;
    for tensor in &all {
        let elements = tensor.shape.iter().product();
        if in_blocks(tensor) {
            blocks(&mut file, elements, random)?;
        } else {
            floats(&mut file, tensor, Type::F32, random)?;
        }
        let padding = bytes(tensor).next_multiple_of(ALIGNMENT) - bytes(tensor);
        file.write_all(&[0; 32][..usize::try_from(padding).unwrap_or(0)])?;
    }
    file.flush()?;
    Ok(path)
}

/// Routers stay in floats, as llama.cpp leaves them.
fn in_blocks(tensor: &Listed) -> bool {
    tensor.shape.len() == 2 && !tensor.gguf.contains("gate_inp")
}

fn bytes(tensor: &Listed) -> u64 {
    let elements: u64 = tensor.shape.iter().product();
    if in_blocks(tensor) { elements / 256 * 144 } else { elements * 4 }
}

fn metadata(header: &mut Vec<u8>, shape: Shape) {
    let Shape { layers, hidden, width, experts, vocabulary } = shape;
    let counts = [
        ("llama.block_count", layers),
        ("llama.context_length", 4096),
        ("llama.embedding_length", hidden),
        ("llama.feed_forward_length", width),
        ("llama.attention.head_count", HEADS),
        ("llama.attention.head_count_kv", KV_HEADS),
        ("llama.rope.dimension_count", hidden / HEADS),
        ("llama.expert_count", experts),
        ("llama.expert_used_count", 2),
        ("llama.vocab_size", vocabulary),
    ];
    header.extend((counts.len() as u64 + 3).to_le_bytes());
    text(header, "general.architecture");
    header.extend(8_u32.to_le_bytes());
    text(header, "llama");
    for (name, value) in counts {
        text(header, name);
        header.extend(4_u32.to_le_bytes());
        header.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }
    for (name, value) in
        [("llama.attention.layer_norm_rms_epsilon", 1e-5_f32), ("llama.rope.freq_base", 1e6)]
    {
        text(header, name);
        header.extend(6_u32.to_le_bytes());
        header.extend(value.to_le_bytes());
    }
}

fn text(header: &mut Vec<u8>, text: &str) {
    header.extend((text.len() as u64).to_le_bytes());
    header.extend(text.as_bytes());
}

/// Marsaglia's xorshift with a multiplication: fast, and random enough for weights.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        u32::try_from(high).unwrap_or(0)
    }
}
