//! Maps of others: what they miss, repeat or name that is not there, said by name; and what the optimum saves.

use crate::binary::{Bench, Run, golden};

const QUESTION: &str =
    "--model mixtral-8x7b --quant f16 --gpu 24GiB --gpu 24GiB --cpu 128GiB --granularity layer";

/// Layers 0-7 on GPU 0, 8-15 on GPU 1, the rest on the CPU.
fn by_hand() -> String {
    let layer = |n: usize| {
        let device = ["0", "1", "\"cpu\""][(n / 8).min(2)];
        format!("  \"model.layers.{n}\": {device},\n")
    };
    let layers: String = (0..32).map(layer).collect();
    format!(
        "{{\n  \"model.embed_tokens\": 0,\n{layers}  \"model.norm\": \"cpu\",\n  \"lm_head\": \"cpu\"\n}}\n"
    )
}

fn check(map: &str) -> (Bench, Run) {
    let bench = Bench::new();
    bench.write("map.json", map);
    let run = bench.line(&format!("check --from accelerate map.json {QUESTION}"));
    (bench, run)
}

#[test]
fn a_map_is_priced_beside_the_optimum() {
    let (bench, run) = check(&by_hand());
    assert_eq!(run.code, 0, "{run:?}");
    golden("export/imported.txt", &run.stdout);
    let json = bench.line(&format!("check --from accelerate map.json {QUESTION} --json")).json();
    assert_eq!(json["status"], "valid");
    let spill = &json["objectives"][0];
    assert_eq!(spill["name"], "spill_bytes");
    assert!(spill["map"].as_u64() >= spill["optimum"].as_u64());
}

#[test]
fn what_does_not_fit_is_refused_and_still_priced() {
    let all_on_first = by_hand().replace("\"cpu\"", "0");
    let (_, run) = check(&all_on_first);
    assert_eq!(run.code, 1);
    assert!(
        run.stdout.starts_with("refused: `map.json`\n  gpu0: expected at most 24.00 GiB"),
        "{run:?}"
    );
    assert!(run.stdout.contains("transfers per token"), "{run:?}");
}

#[test]
fn mistakes_are_named() {
    let edit = |from: &str, to: &str| {
        let map = by_hand();
        assert!(map.contains(from));
        check(&map.replace(from, to)).1
    };
    edit("  \"model.layers.3\": 0,\n", "").refuses(&[
        "a device for every tensor",
        "`model.layers.3.input_layernorm.weight`",
        "and 28 more",
    ]);
    edit("model.layers.3\"", "model.layer.3\"").refuses(&["did you mean `model.layers.3`?"]);
    edit("\"model.layers.3\": 0", "\"model.layers.3\": 2").refuses(&[
        "`model.layers.3`",
        "found 2",
        "0 to 1",
    ]);
    edit("\"model.layers.3\": 0", "\"model.layers.3\": \"tpu\"").refuses(&["found \"tpu\""]);
    edit("\"model.layers.30\": \"cpu\"", "\"model.layers.30\": \"disk\"").refuses(&["\"disk\""]);
    edit("\"model.layers.3\": 0", "\"model.layers.3\": 0, \"model.layers.3.self_attn\": 1")
        .refuses(&[
            "`model.layers.3.self_attn`",
            "no path within another",
            "`model.layers.3` above it",
        ]);
    edit("\"model.layers.3\": 0", "\"model.layers.3\": 0, \"model.layers.3\": 1")
        .refuses(&["appears twice"]);
    edit("\"model.layers.3\": 0", "\"model.layers.3\": {}").refuses(&["found {}"]);
    check("[]").1.refuses(&["a JSON object"]);
    let parts = "\"model.layers.3.self_attn\": 0, \"model.layers.3.input_layernorm\": 1, \
                 \"model.layers.3.post_attention_layernorm\": 0, \"model.layers.3.block_sparse_moe\": 0";
    edit("\"model.layers.3\": 0", parts).refuses(&["all of `layers.3.attention` on one device"]);
}

#[test]
fn what_accelerate_overlooks_is_noted() {
    let surplus =
        "\"model.layers.3\": 0, \"model.rotary_emb\": 0, \"modle.norm\": 1, \"\\u001b[2J\": 0";
    let (_, run) = check(&by_hand().replace("\"model.layers.3\": 0", surplus));
    assert_eq!(run.code, 0, "{run:?}");
    // Long notes go on in the next line, two columns to the right.
    let text = run.stdout.replace("\n  ", " ");
    let notes: Vec<&str> = text.lines().filter(|line| line.starts_with("note: ")).collect();
    assert_eq!(
        notes,
        [
            "note: `\\u{1b}[2J` names no module that holds weights",
            "note: `modle.norm` names no module that holds weights; did you mean `model.norm`?",
        ]
    );
}

#[test]
fn the_question_is_needed_with_a_map_and_refused_without() {
    let bench = Bench::new();
    bench.write("map.json", "{}");
    bench.line("check --from accelerate map.json").refuses(&["--model MODEL"]);
    bench
        .line("check --from acelerate map.json --model mixtral-8x7b")
        .refuses(&["did you mean `accelerate`?"]);
    let run = bench.line("check map.json --gpu 24GiB");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("--from <FORMAT>"), "{run:?}");
}
