//! Caches to the byte: published logs and the sizing code of each runtime.

use std::sync::Arc;

use super::*;
use crate::runtime::{KvType, Profile};

fn load(runtime: &str, context: u64, batch: u64, kv_type: KvType) -> Load {
    let runtime = Profile::shared(runtime).unwrap();
    Load { context, batch, kv_type, runtime, ..Load::default() }
}

fn corrected(load: &Load, rules: &str) -> Load {
    let name = load.runtime.name();
    let text = format!("version: 1\nbased_on: {name}\nrules: {{{rules}}}\n");
    Load { runtime: Arc::new(Profile::from_yaml(&text, "test").unwrap()), ..load.clone() }
}

fn layer(heads: u64, width: u64, window: Option<u64>) -> LayerCache {
    let kept = KeyValue { heads, key_width: width, value_width: width };
    LayerCache { kept, expanded: kept, window, gguf_window: window, state_elements: 0 }
}

fn bytes(cache: &LayerCache, load: &Load) -> u128 {
    layer_bytes(cache, load).unwrap().0
}

/// DeepSeek-V3: rank 512, rope 64; 128 heads of 128 + 64 and 128 when expanded.
fn latent() -> LayerCache {
    LayerCache {
        kept: KeyValue { heads: 1, key_width: 576, value_width: 0 },
        expanded: KeyValue { heads: 128, key_width: 192, value_width: 128 },
        window: None,
        gguf_window: None,
        state_elements: 0,
    }
}

#[test]
fn mixtral_under_llama_cpp() {
    // n_ctx 512: 64 MiB in public logs; block types by their row sizes.
    for (context, kv_type, mib) in [
        (512, KvType::F16, 64),
        (2048, KvType::F16, 256),
        (4096, KvType::F16, 512),
        (8192, KvType::F16, 1024),
        (32768, KvType::F16, 4096),
        (32768, KvType::Q8_0, 2176),
        (32768, KvType::Q4_0, 1152),
        (32768, KvType::Iq4Nl, 1152),
        (32768, KvType::Q4_1, 1280),
        (32768, KvType::Q5_0, 1408),
        (32768, KvType::Q5_1, 1536),
    ] {
        let load = load("llama.cpp", context, 1, kv_type);
        assert_eq!(32 * bytes(&layer(8, 128, None), &load), mib << 20, "{context}");
    }
}

#[test]
fn contexts_are_padded_and_sequences_share_or_not() {
    let row = 4096; // 2 x 128 x 8 x 2
    let mixtral = layer(8, 128, None);
    let llama = |context, batch| load("llama.cpp", context, batch, KvType::F16);
    assert_eq!(bytes(&mixtral, &llama(4097, 1)), 4352 * row);
    // n_ctx = 3 x 100 = 300, padded once; or three streams of 256.
    assert_eq!(bytes(&mixtral, &llama(100, 3)), 512 * row);
    let streams = corrected(&llama(100, 3), "kv_sequences: separate");
    assert_eq!(bytes(&mixtral, &streams), 3 * 256 * row);
    assert_eq!(bytes(&mixtral, &load("candle", 4097, 3, KvType::F16)), 3 * 4097 * row);
    assert_eq!(bytes(&mixtral, &load("transformers", 4097, 3, KvType::Bf16)), 3 * 4097 * row);
    assert_eq!(bytes(&mixtral, &load("vllm", 4097, 3, KvType::F16)), 3 * 4112 * row);
    assert_eq!(bytes(&mixtral, &load("vllm", 4096, 1, KvType::Fp8E4m3)), 4096 * row / 2);
}

#[test]
fn sliding_windows() {
    // gpt-oss-20b: 8 heads of 64, window 128 in every second of 24 layers, 131072 tokens.
    let (full, sliding) = (layer(8, 64, None), layer(8, 64, Some(128)));
    let llama = load("llama.cpp", 131_072, 1, KvType::F16);
    assert_eq!(12 * bytes(&full, &llama), 3072 << 20);
    assert_eq!(12 * bytes(&sliding, &llama), 18 << 20, "768 cells");
    let (row, of) = (2048, |load: &Load| bytes(&sliding, load) / 2048);
    // pad256(min(kv_size, 128 x 4 + 512)) for four sequences in one cache; four times 768 in streams.
    let four = load("llama.cpp", 4096, 4, KvType::F16);
    assert_eq!(of(&four), 1024);
    assert_eq!(of(&corrected(&four, "kv_sequences: separate")), 4 * 768);
    assert_eq!(of(&corrected(&four, "kv_window: ignored")), 4 * 4096);
    assert_eq!(of(&load("llama.cpp", 300, 1, KvType::F16)), 512, "never more than the cache");
    assert_eq!(of(&load("candle", 4096, 2, KvType::F16)), 2 * 128);
    assert_eq!(of(&load("candle", 100, 1, KvType::F16)), 100);
    // vLLM: ceil((128 - 1 + 8192) / 16) + 1 pages, or ceil(4096 / 16) + 1.
    assert_eq!(of(&load("vllm", 131_072, 1, KvType::F16)), (520 + 1) * 16);
    assert_eq!(of(&load("vllm", 4096, 1, KvType::F16)), (256 + 1) * 16);
    assert_eq!(bytes(&sliding, &load("vllm", 4096, 1, KvType::F16)) % row, 0);
}

#[test]
fn latent_attention() {
    let one = load("candle", 1, 1, KvType::F16);
    assert_eq!(61 * bytes(&latent(), &one), 70_272);
    let long = load("llama.cpp", 32768, 1, KvType::Q8_0);
    assert_eq!(61 * bytes(&latent(), &long) * 1000, 1_166_625 << 20, "1166.625 MiB");
    // Before January 2026 a value 512 wide was kept as well: 4148 MiB instead of 2196.
    let f16 = load("llama.cpp", 32768, 1, KvType::F16);
    assert_eq!((61 * bytes(&latent(), &f16)) >> 20, 2196);
    let before = corrected(&f16, "kv_latent_value_width: 512");
    assert_eq!((61 * bytes(&latent(), &before)) >> 20, 4148);
    assert_eq!(bytes(&layer(8, 128, None), &before), 32768 * 4096, "others have their own value");
    // transformers keeps all heads: 24576 + 16384 elements per token.
    let expanded = load("transformers", 1, 1, KvType::Bf16);
    assert_eq!(bytes(&latent(), &expanded), (24_576 + 16_384) * 2);
}

#[test]
fn recurrent_state_is_per_sequence_in_f32() {
    // Jamba: d_inner 8192, d_conv 4, d_state 16: 3 x 8192 + 16 x 8192 elements.
    let state = LayerCache { state_elements: 3 * 8192 + 16 * 8192, ..LayerCache::default() };
    for runtime in ["candle", "transformers", "llama.cpp", "vllm"] {
        let (bytes, formula) = layer_bytes(&state, &load(runtime, 9999, 3, KvType::F16)).unwrap();
        assert_eq!(bytes, 3 * 19 * 8192 * 4, "{runtime}");
        assert_eq!(formula, "batch 3 x 155648 of state x 4 B");
    }
    let both = LayerCache { state_elements: 10, ..layer(1, 32, None) };
    let llama = load("llama.cpp", 256, 2, KvType::F16);
    assert_eq!(bytes(&both, &llama), 512 * 128 + 2 * 40);
}

#[test]
fn a_runtime_refuses_types_its_cache_cannot_have() {
    for (runtime, kv_type, holds) in [
        ("transformers", KvType::Q4_0, "one of f32, f16, bf16, found `q4_0`"),
        ("vllm", KvType::Q8_0, "one of f16, bf16, fp8_e4m3"),
        ("llama.cpp", KvType::Fp8E4m3, "iq4_nl"),
        ("candle", KvType::Q5_1, "q8_0"),
    ] {
        let message = check_type(&load(runtime, 1, 1, kv_type)).unwrap_err().to_string();
        assert!(message.contains(holds) && message.contains(runtime), "{message}");
    }
    let odd = layer(1, 80, None);
    assert!(layer_bytes(&odd, &load("llama.cpp", 1, 1, KvType::Q5_0)).is_err());
}

#[test]
fn the_largest_numbers_are_refused_and_do_not_overflow() {
    let huge = layer(u64::MAX, u64::MAX, Some(u64::MAX));
    for runtime in ["candle", "llama.cpp", "vllm"] {
        let load = load(runtime, Load::CONTEXT_MAX, Load::BATCH_MAX, KvType::F16);
        assert_eq!(bytes(&LayerCache { state_elements: u64::MAX, ..huge }, &load), u128::MAX);
    }
}
