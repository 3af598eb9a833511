//! What the decoder is told, from configs and from metadata.

use apportion::load::manifest::{Architecture, Rope};
use serde_json::{Value, json};

use super::super::files::{Files, llama, manifest, mixtral, oracle, qwen3_moe, with};

fn of(config: Value) -> Architecture {
    manifest(Files::of(config).write().path(), "f16").unwrap().architecture
}

#[test]
fn a_mixtral_as_its_config_says() {
    let expected = Architecture {
        layers: 2,
        hidden: 64,
        heads: 4,
        kv_heads: 2,
        head_width: 16,
        vocabulary: 32,
        experts: 2,
        experts_per_token: 1,
        normalize_chosen: true,
        norm_epsilon: 1e-5,
        rope: Rope { theta: 1e6, interleaved: false, divisors: Vec::new() },
        window: None,
        tied_head: false,
        first_token: Some(1),
        last_tokens: vec![2],
    };
    assert_eq!(of(mixtral()), expected);
    // Left out, they are the family's; transformers 5 has them in one object.
    let bare = with(mixtral(), &json!({"rms_norm_eps": null, "rope_theta": null}));
    assert_eq!(of(bare.clone()), expected);
    let rope = json!({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}});
    assert_eq!(of(with(bare, &rope)), expected);
    let windowed = of(with(mixtral(), &json!({"sliding_window": 48})));
    assert_eq!(windowed, Architecture { window: Some(48), ..expected });
}

/// The file that llama.cpp's converter made of a checkpoint says the same of it.
#[test]
fn a_gguf_file_says_what_its_checkpoint_says() {
    let folder = oracle("tiny-mixtral-gguf");
    let published = manifest(&folder, "f16").unwrap().architecture;
    let converted = manifest(&folder.join("tk-f32.gguf"), "f16").unwrap().architecture;
    assert_eq!((published.rope.theta, published.rope.interleaved), (1e6, false));
    assert!(
        (converted.norm_epsilon - published.norm_epsilon).abs() < 1e-12,
        "stored in single precision"
    );
    let expected = Architecture {
        rope: Rope { interleaved: true, ..published.rope.clone() },
        norm_epsilon: converted.norm_epsilon,
        ..published
    };
    assert_eq!(converted, expected);
}

#[test]
fn the_qwen_line_differs_where_it_does() {
    let found = of(qwen3_moe());
    assert_eq!((found.first_token, &found.last_tokens[..]), (None, &[4, 5][..]));
    assert!(found.normalize_chosen);
    assert!(!of(with(qwen3_moe(), &json!({"norm_topk_prob": null}))).normalize_chosen);
    let qwen2 = with(llama(), &json!({"model_type": "qwen2", "sliding_window": 16}));
    assert_eq!(of(qwen2.clone()).window, None, "it is not used");
    let used = with(qwen2, &json!({"use_sliding_window": true, "max_window_layers": 0}));
    assert_eq!(of(used).window, Some(16));
}

#[test]
fn a_mistral_has_the_window_of_its_config() {
    let mistral = with(llama(), &json!({"model_type": "mistral"}));
    assert_eq!(of(mistral.clone()).window, Some(4096), "as transformers has it without the key");
    assert_eq!(of(with(mistral, &json!({"sliding_window": null}))).window, None);
}

#[test]
fn scaled_frequencies_have_divisors() {
    let linear = of(with(llama(), &json!({"rope_scaling": {"type": "linear", "factor": 4.0}})));
    assert_eq!(linear.rope.divisors, [4.0; 8]);
    assert_eq!((linear.rope.theta, linear.first_token), (5e5, None));
}
