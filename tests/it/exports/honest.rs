//! `export` and `check --from`: nodes, types of caches, wishes and options that may not pass without a word.

use std::collections::BTreeMap;

use serde_json::Value;

use super::commands::{DIVIDED, LAYERS, export, solved};
use crate::binary::Bench;

/// Two machines with two GPUs each.
const TWO_NODES: &str = "version: 1\nnodes:\n  - id: a\n    devices:\n\
                         \x20     - {id: a0, kind: cuda, memory: 24GiB}\n\
                         \x20     - {id: a1, kind: cuda, memory: 24GiB}\n\
                         \x20     - {id: a-host, kind: cpu, memory: 64GiB}\n\
                         \x20 - id: b\n    devices:\n\
                         \x20     - {id: b0, kind: cuda, memory: 24GiB}\n\
                         \x20     - {id: b1, kind: cuda, memory: 24GiB}\n";

fn on_nodes(question: &str) -> Bench {
    let bench = Bench::new();
    bench.write("two.yaml", TWO_NODES);
    let run = bench.line(&format!("solve {question} --hardware two.yaml -o p.yaml"));
    assert_eq!(run.code, 0, "{run:?}");
    bench
}

#[test]
fn a_map_over_two_nodes_is_not_told_as_one_machine() {
    let question = "olmoe-1b-7b-0924 --quant q4_k_m --granularity layer --node-limit 20 \
                    --free-default-pins";
    let both =
        on_nodes(&format!("{question} --pin layers.0.attention=a0 --pin layers.3.attention=b0"));
    for words in ["accelerate", "mistral.rs", "ktransformers"] {
        let run = export(&both, words);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
        assert!(run.stderr.contains("on the nodes `a` and `b`"), "{run:?}");
        let json = export(&both, &format!("{words} --json")).json();
        assert_eq!(json["wishes"], serde_json::json!([]));
    }
    // On the second node alone GPUs are counted from its first.
    let second = on_nodes(&format!("{question} --pin *=b1"));
    let map: BTreeMap<String, Value> =
        serde_json::from_str(&export(&second, "accelerate").stdout).unwrap();
    assert!(map.values().all(|device| *device == 1), "{map:?}");
    let vllm = export(&second, "vllm");
    assert!(vllm.stdout.contains("export CUDA_VISIBLE_DEVICES=1\n"), "{vllm:?}");
}

#[test]
fn the_type_of_the_cache_is_told_or_refused() {
    let question = "mixtral-8x7b --quant nf4-dq --gpu 24GiB --gpu 24GiB --granularity layer \
                    --node-limit 20";
    let told = solved(&format!("{question} --runtime vllm --kv-type fp8_e4m3"));
    let refused = solved(&format!("{question} --kv-type q8_0"));
    for words in ["sglang", "vllm"] {
        let run = export(&told, words);
        assert!(run.stdout.contains(" --kv-cache-dtype fp8_e4m3\n"), "{run:?}");
        let run = export(&refused, words);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
        assert!(run.stderr.contains("planned for one of q8_0"), "{run:?}");
        assert_eq!(run.stderr.matches("--kv-type").count(), 1, "{run:?}");
        assert!(run.stderr.contains("--kv-type f16"), "{run:?}");
    }
}

#[test]
fn bytes_of_gguf_are_said_to_be_that() {
    let run = export(&solved(DIVIDED), "accelerate");
    assert!(run.stderr.contains("bytes are those of GGUF (`q4_k_m`)"), "{run:?}");
    assert!(!export(&solved(LAYERS), "accelerate").stderr.contains("GGUF"));
}

#[test]
fn wishes_stand_instead_of_what_they_contradict() {
    let bench = solved(&format!("{LAYERS} --pin output_head=gpu1 --max-devices 2"));
    let run = export(&bench, "mistral.rs");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("--pin output_head=gpu0"), "{run:?}");
    assert!(!run.stderr.contains("--pin output_head=gpu1"), "{run:?}");
    let several = "olmoe-1b-7b-0924 --quant q4_k_m --gpu 3GiB --gpu 3GiB --cpu 64GiB \
                   --free-default-pins --pin layers.*.attention=gpu0 --pin embedding=gpu0 \
                   --pin output_head=gpu0 --pin layers.1.experts.*=gpu1 --node-limit 20";
    let run = export(&solved(several), "ktransformers");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("--forbid '*=gpu1'"), "{run:?}");
}

#[test]
fn options_that_would_be_ignored_are_refused() {
    let bench = solved(LAYERS);
    for words in ["-o x", "--project", "--layout v5", "--model mixtral-8x7b", "--rpc a=b:1"] {
        assert_eq!(bench.line(&format!("export --list {words}")).code, 2, "{words}");
    }
    let run = export(&bench, "csv --model mixtral-8x22b");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
    assert!(run.stderr.contains("solved for another model"), "{run:?}");
    assert_eq!(export(&bench, "accelerate -o map.json").code, 0);
    let line = "check --from accelerate map.json --model mixtral-8x7b --quant nf4-dq \
                --gpu 15.60GiB --gpu 15.60GiB --device-name gpu0=CUDA0";
    bench.line(line).refuses(&["--device-name", "it with --from llama.cpp"]);
    let value = format!("{{\"{}\": 0}}", "a".repeat(1025));
    bench.write("map.json", value);
    let line = "check --from accelerate map.json --model mixtral-8x7b --quant nf4-dq --gpu 40GiB";
    bench.line(line).refuses(&["at most 1024 bytes"]);
    bench.write("map.json", "{\"\": \"+0\"}");
    bench.line(line).refuses(&["a GPU of this machine"]);
}

#[test]
fn copies_that_llama_cpp_makes_for_prompts_are_mentioned() {
    let question = "--quant q4_k_m --runtime llama.cpp --gpu 3GiB --cpu 64GiB --node-limit 20 \
                    --granularity fused-matrix --pin layers.*.attention=gpu0 --pin output_head=gpu0";
    let bench = solved(&format!("olmoe-1b-7b-0924 {question}"));
    let line = export(&bench, "llama.cpp").stdout;
    let check = |text: &str| {
        bench.write("flags.txt", text);
        let words = "check --from llama.cpp flags.txt --model olmoe-1b-7b-0924";
        bench.line(&format!("{words} {question} --json")).json()["notes"].to_string()
    };
    assert!(line.contains(" --no-op-offload"), "{line}");
    assert!(!check(&line).contains("without --no-op-offload"));
    let without = check(&line.replace(" --no-op-offload", ""));
    assert!(without.contains("without --no-op-offload llama.cpp copies"), "{without}");
}
