//! Runtimes end to end: what they add to a device, what stays on the host, what a file records.

use std::sync::Arc;

use apportion::memory::{Demand, Load};
use apportion::model::{ComponentId, Model};
use apportion::quant::Scheme;
use apportion::runtime::{NAMES, Profile};
use serde_json::Value;

use super::binary::{Bench, golden};

const MIB: u64 = 1 << 20;

fn demand(model: &str, quant: &str, runtime: &str, context: u64) -> Demand {
    let runtime = Profile::shared(runtime).unwrap();
    let load = Load { context, runtime, ..Load::default() };
    Demand::of(&Model::from_catalogue(model).unwrap(), &Scheme::parse(quant).unwrap(), &load)
        .unwrap()
}

fn mib(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Our bound over what llama.cpp reports, in hundredths.
fn ratio(bound_bytes: u64, reported_mib: u64) -> u64 {
    bound_bytes * 100 / (reported_mib * MIB)
}

#[test]
fn compute_buffers_of_llama_cpp_are_bounded_and_caches_exact() {
    let text = include_str!("../data/oracle/llama-memory.json");
    let rows: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(rows.len() > 50);
    let (mut least, mut most) = (u64::MAX, 0);
    for row in &rows {
        let name = row["model"].as_str().unwrap();
        let model = if name.starts_with("mixtral") { "mixtral-8x7b" } else { "qwen3-30b-a3b" };
        let demand = demand(model, "q4_k_m", "llama.cpp", 4096);
        let list = |key: &str| row[key].as_array().unwrap().iter().map(mib).collect::<Vec<u64>>();
        let (layers, caches, buffers) = (list("layers"), list("context_mib"), list("compute_mib"));
        let per_layer = demand.components[1].kv_cache_bytes / MIB;
        for (gpu, (&layers, &cache)) in layers.iter().zip(&caches).enumerate() {
            // The last one's count includes the output layer, which has no cache.
            let without = u64::from(gpu + 1 == caches.len());
            assert_eq!(cache, (layers - without) * per_layer, "{row}");
        }
        let host = mib(&row["host_context_mib"]);
        assert_eq!((caches.iter().sum::<u64>() + host) * MIB, demand.kv_cache_bytes(), "{row}");

        // With everything offloaded and nothing overridden the GPUs take turns.
        let turns = [96, 56].contains(&mib(&row["host_compute_mib"]));
        let copies = if turns { demand.per_device.graph_copies_bytes } else { 0 };
        let workspace = demand.workspace;
        let layer = workspace.attention_bytes.max(workspace.feed_forward_bytes);
        for (gpu, &reported) in buffers.iter().enumerate() {
            let head = if gpu + 1 == buffers.len() { workspace.head_bytes } else { 0 };
            let found = ratio(layer.max(head) + copies, reported);
            (least, most) = (least.min(found), most.max(found));
            assert!((100..=150).contains(&found), "{found} % of {reported} MiB: {row}");
        }
        let on_host = if turns { 0 } else { layer };
        let host = workspace.embedding_bytes.max(on_host) + copies;
        assert!(ratio(host, mib(&row["host_compute_mib"])) >= 100, "{row}");
    }
    println!("bound / reported on GPUs: {least} % to {most} %");
}

#[test]
fn the_compute_buffer_measured_for_mixtral_at_512_tokens_is_bounded() {
    // 115.50 MiB in a log of 2024, when the gated product still took the place of one of its factors.
    let workspace = demand("mixtral-8x7b", "q4_k_m", "llama.cpp", 512).workspace;
    let largest = workspace.kinds().into_iter().max().unwrap();
    assert_eq!(largest, 512 * ((3 * 28672 + 4096) * 4 + 512 * 6 + 6 * 4096 * 4));
    let found = largest * 1000 / (1155 * MIB / 10) / 10;
    println!("bound / measured: {found} %");
    assert!((100..200).contains(&found), "{found}");
}

#[test]
fn workspace_of_the_pytorch_runtimes_by_their_formulas() {
    let of = demand("mixtral-8x7b", "f16", "transformers", 4096).workspace;
    assert_eq!(of.embedding_bytes, 4096 * 4096 * 2);
    assert_eq!(of.attention_bytes, 4096 * ((4 * 4096 + 80 * 128) * 2 + 4096));
    assert_eq!(of.feed_forward_bytes, 4096 * (3 * 28672 + 4 * 4096) * 2);
    assert_eq!(of.head_bytes, 4096 * 4096 * 2 + 32000 * 6);
    // A step of vLLM has at most 8192 tokens, however long the context is.
    let short = demand("mixtral-8x7b", "f16", "vllm", 32768).workspace;
    assert_eq!(short, demand("mixtral-8x7b", "f16", "vllm", 512).workspace);
    assert_eq!(short.head_bytes, 8192 * 4096 * 2 + 256 * 32000 * 6);
    // Eager attention writes the scores in 16 bit, in f32, and in 16 bit again.
    let text = "version: 1\nbased_on: transformers\nrules: {flash_attention: false}\n";
    let runtime = Arc::new(Profile::from_yaml(text, "eager").unwrap());
    let load = Load { runtime, ..Load::default() };
    let model = Model::from_catalogue("mixtral-8x7b").unwrap();
    let eager = Demand::of(&model, &Scheme::parse("f16").unwrap(), &load).unwrap();
    let scores = 4096 * 32 * 4096 * 8;
    assert_eq!(eager.workspace.attention_bytes, of.attention_bytes + scores);
}

#[test]
fn inspect_prints_every_term_with_its_source() {
    let bench = Bench::new();
    for runtime in NAMES.into_iter().skip(1) {
        let line = format!("inspect mixtral-8x7b --quant q4_k_m --runtime {runtime}");
        let run = bench.line(&line);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{line}");
        assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
        golden(&format!("inspect-{runtime}.txt"), &run.stdout);
    }
    let named = bench.line("inspect mixtral-8x7b --quant q4_k_m --runtime candle");
    assert_eq!(named.stdout, bench.line("inspect mixtral-8x7b --quant q4_k_m").stdout);
}

const SOLVE: &str = "solve mixtral-8x7b --quant q4_k_m --runtime llama.cpp --gpu 24GiB --gpu 16GiB";

#[test]
fn llama_cpp_keeps_the_embedding_on_the_host() {
    let bench = Bench::new();
    let run = bench.line(&format!("{SOLVE} --json"));
    assert_eq!(run.code, 0, "{run:?}");
    let answer = run.json();
    let placement = answer["placement"].as_object().unwrap();
    assert_eq!(placement.len(), 32 * 10 + 2);
    assert!(!placement.contains_key("embedding"));
    // The embedding is 32000 x 4096 in Q4_K.
    let devices = answer["devices"].as_array().unwrap();
    let weights: u64 = devices.iter().map(|d| d["weights_bytes"].as_u64().unwrap()).sum();
    assert_eq!(weights, 28_447_727_616 - 32_000 * 4096 / 256 * 144);
    // Context, cuBLAS, and three more copies of mask and hidden states: 256 + 32 + 108 MiB.
    assert_eq!(devices[0]["reserve_bytes"], (256 + 32 + 108) * MIB);

    let with_cpu = bench.line(&format!("{SOLVE} --cpu 64GiB --json")).json();
    assert_eq!(with_cpu["placement"]["embedding"], "cpu");
    assert_eq!(with_cpu["placement"]["layers.0.experts.0"], "gpu0", "the other default pins stay");
    let pinned = bench.line(&format!("{SOLVE} --cpu 64GiB --pin embedding=gpu0"));
    pinned.refuses(&["llama.cpp keeps the token embedding on the host", "embedding=gpu0"]);
    bench.line(&format!("{SOLVE} --pin embedding=gpu0")).refuses(&["no match"]);
}

#[test]
fn a_tied_head_is_a_copy_on_a_device() {
    let config = include_str!("../data/configs/llama-3.2-1b/config.json");
    let bench = Bench::new();
    bench.write("config.json", config);
    let line = "solve config.json --quant f16 --gpu 8GiB --json";
    let tied = bench.line(line).json();
    assert!(!tied["placement"].as_object().unwrap().contains_key("output_head"));
    let copied = bench.line(&format!("{line} --runtime llama.cpp")).json();
    assert_eq!(copied["placement"]["output_head"], "gpu0");
    let weights = |answer: &Value| answer["devices"][0]["weights_bytes"].as_u64().unwrap();
    assert!(weights(&tied) >= 128_256 * 2048 * 2);
    let demand = |runtime| {
        let load = Load { runtime: Profile::shared(runtime).unwrap(), ..Load::default() };
        let model = Model::resolve(bench.path("config.json").to_str().unwrap()).unwrap();
        Demand::of(&model, &Scheme::parse("q4_k_m").unwrap(), &load).unwrap()
    };
    let (candle, llama) = (demand("candle"), demand("llama.cpp"));
    assert!(candle.tied_head && !llama.tied_head);
    let of = |demand: &Demand, id| demand.components.iter().find(|c| c.id == id).cloned();
    let head = of(&llama, ComponentId::OutputHead).unwrap();
    assert_eq!(head.weights_bytes, of(&llama, ComponentId::Embedding).unwrap().weights_bytes);
    assert_eq!(of(&candle, ComponentId::OutputHead), None);
}

#[test]
fn a_placement_records_the_runtime_and_what_was_corrected() {
    let bench = Bench::new();
    let text = "version: 1\nbased_on: llama.cpp\nrules:\n  driver_context_bytes: {value: 430MiB, source: nvidia-smi}\n";
    bench.write("mine.yaml", text);
    let line = SOLVE.replace("--runtime llama.cpp", "--runtime-profile mine.yaml");
    let run = bench.line(&format!("{line} -o placement.yaml"));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("runtime llama.cpp with 1 rule of yours"), "{}", run.stdout);
    assert!(run.stdout.contains("the token embedding stays in host memory"), "{}", run.stdout);
    let file = bench.read("placement.yaml");
    assert!(
        file.contains(
            "runtime: llama.cpp\nruntime_rules:\n  driver_context_bytes: \"450887680\"\n"
        )
    );
    let check = bench.line("check placement.yaml");
    assert_eq!(check.code, 0, "{check:?}");
    for (from, to, code) in [
        ("\"450887680\"", "\"450887681\"", 1),
        ("runtime: llama.cpp", "runtime: vllm", 2),
        ("runtime: llama.cpp", "runtime: lama.cpp", 2),
        ("driver_context_bytes: \"", "driver_contxt_bytes: \"", 2),
        ("\"450887680\"", "\"-1\"", 2),
    ] {
        assert!(file.contains(from), "{from}");
        bench.write("changed.yaml", file.replacen(from, to, 1));
        assert_eq!(bench.line("check changed.yaml").code, code, "{to}");
    }
    // A smaller device overflows, and the answer names what the runtime keeps there.
    let smaller = file.replace("capacity_bytes: 17179869184", "capacity_bytes: 8589934592");
    assert_ne!(smaller, file);
    bench.write("smaller.yaml", smaller);
    let over = bench.line("check smaller.yaml");
    assert_eq!(over.code, 1, "{over:?}");
    let keeps = "llama.cpp itself keeps on each GPU: driver context 430.00 MiB";
    assert!(over.stdout.contains(keeps), "{}", over.stdout);
    bench.line(&format!("{line} --runtime vllm")).refuses(&["mine.yaml", "vllm"]);
    bench.line(&format!("{line}x")).refuses(&[]);
}

#[test]
fn a_runtime_says_what_it_cannot_hold_and_what_it_keeps() {
    let bench = Bench::new();
    let base = "inspect mixtral-8x7b --quant nf4 --runtime transformers";
    bench.line(&format!("{base} --kv-type q4_0")).refuses(&["transformers", "f16", "q4_0"]);
    bench.line("inspect mixtral-8x7b --quant nf4 --runtime torch").refuses(&["candle, transf"]);
    // 24.5 GiB of weights and cache on 26 GiB fit but for what the runtime itself keeps.
    let line = "solve mixtral-8x7b --quant nf4-dq --context 512 --gpu 12.0GiB --gpu 12.0GiB";
    assert_eq!(bench.line(line).code, 0);
    let run = bench.line(&format!("{line} --runtime vllm"));
    assert_eq!(run.code, 1, "{run:?}");
    let said = run.stdout.replace("\n  ", " ");
    assert!(said.contains("vllm itself keeps on each GPU: driver context 616.00 MiB"), "{said}");
    assert!(said.contains("all but 9/10 of the capacity"), "{said}");
}

/// A tied embedding that a runtime copies for the head is counted as memory and not as more bits.
#[test]
fn a_copied_head_has_the_bits_of_its_embedding() {
    let bench = Bench::new();
    let json = |line: &str| -> Value { serde_json::from_str(&bench.line(line).stdout).unwrap() };
    let of = |runtime: &str| {
        json(&format!("inspect qwen3-0.6b --quant q4_k_m --runtime {runtime} --json"))
    };
    let (plain, copied) = (of("candle"), of("llama.cpp"));
    assert_eq!(plain["bits_per_weight"], copied["bits_per_weight"]);
    // 151936 x 1024 in q6_k, 210 B per 256.
    let more = 151_936 * 1024 / 256 * 210;
    let bytes = |value: &Value| value["weights_bytes"].as_u64().unwrap();
    assert_eq!(bytes(&copied), bytes(&plain) + more);

    let text = bench.line("inspect qwen3-0.6b --quant q4_k_m --runtime llama.cpp").stdout;
    let rows = ["embedding ", "output_head "].map(|name| {
        let row = text.lines().find(|line| line.starts_with(name)).unwrap();
        row.split_whitespace().last().unwrap().to_owned()
    });
    assert_eq!(rows, ["6.5625", "6.5625"]);

    let line = "sweep qwen3-0.6b --quant q4_k_m --contexts 64 --machine one=8GiB --json --runtime";
    let bits = ["candle", "llama.cpp"].map(|name| {
        let points = json(&format!("{line} {name}"))["points"].clone();
        let points = points.as_array().unwrap().clone();
        let point = points.iter().find(|point| point["quantization"] == "q4_k_m").unwrap().clone();
        point["bits_per_weight"].clone()
    });
    assert_eq!(bits[0], bits[1]);
}
