//! Quantizations that are mixed by hand, and what is said about those that do less than they seem.

use serde_json::{Value, json};

use super::binary::Bench;

#[test]
fn one_expert_of_each_layer_in_more_bits_is_placed_and_checked() {
    let bench = Bench::new();
    let line = "mixtral-8x7b --quant q4_k_m --quant-override layers.*.experts.0=q8_0";
    let plain = bench.line("inspect mixtral-8x7b --quant q4_k_m --json").json();
    let mixed = bench.line(&format!("inspect {line} --json")).json();
    assert_eq!(mixed["quantization_overrides"], json!(["layers.*.experts.0=q8_0"]));
    // Three matrices of 32 experts from 4.5 bits to 8.5, the down matrix of 16 of them from 6.5625.
    let matrix = 14336 * 4096_u64;
    let more = (80 * matrix) / 2 + 16 * (matrix / 256 * (34 * 8 - 210));
    let bytes = |answer: &Value| answer["weights_bytes"].as_u64().unwrap();
    assert_eq!(bytes(&mixed) - bytes(&plain), more);

    let machine = "--gpu 20GiB --gpu 20GiB";
    let run = bench.line(&format!("solve {line} {machine} -o map.yaml"));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("q4_k_m (layers.*.experts.0=q8_0)"), "{run:?}");
    let text = bench.read("map.yaml");
    assert!(text.contains("quantization_overrides:\n  - \"layers.*.experts.0=q8_0\"\n"), "{text}");
    assert_eq!(bench.line("check map.yaml").code, 0);
    bench.write("other.yaml", text.replace("experts.0=q8_0", "experts.0=q6_k"));
    assert_eq!(bench.line("check other.yaml").code, 1);
    bench.write("wrong.yaml", text.replace("experts.0=q8_0", "experts.0=nf4"));
    bench.line("check wrong.yaml").refuses(&["nf4", "wrong.yaml"]);
}

#[test]
fn what_is_not_quantized_is_said_beside_the_answer() {
    let bench = Bench::new();
    let run = bench.line("inspect mixtral-8x7b --quant nf4:v5");
    assert_eq!(run.code, 0, "{run:?}");
    let note = "note: transformers 5 keeps the experts of this model in 16 bit: \
                90,194,313,216 of 91,476,213,760 bytes are not quantized\n";
    assert_eq!(run.stderr, note);
    assert_eq!(bench.line("inspect mixtral-8x7b --quant nf4").stderr, "");
    bench.line("inspect mixtral-8x7b").refuses(&["--quant NAME", "hint: "]);
    let line = "inspect mixtral-8x7b --quant nf4 --quant-override";
    bench.line(&format!("{line} *=q4_k")).refuses(&["*=q4_k", "beside nf4"]);
    bench.line(&format!("{line} expert=int8")).refuses(&["expert=int8", "matches none"]);
}
