//! `export` and `check --from`: what each consumer is told, what is refused and how, and that maps read back.

use std::collections::BTreeMap;

use apportion::model::Model;
use apportion::model::{Layout, catalogue};
use serde_json::Value;

use crate::binary::{Bench, Run, golden};
use crate::support::Random;

pub(super) const LAYERS: &str = "mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB";
/// Of the experts of one layer some are on a GPU and some are not.
pub(super) const DIVIDED: &str = "mixtral-8x7b --quant q4_k_m --gpu 12GiB --gpu 8GiB --cpu 64GiB";

/// A bench with the answer to the question in `p.yaml`.
pub(super) fn solved(question: &str) -> Bench {
    let bench = Bench::new();
    let run = bench.line(&format!("solve {question} -o p.yaml"));
    assert_eq!(run.code, 0, "{run:?}");
    bench
}

pub(super) fn export(bench: &Bench, words: &str) -> Run {
    bench.line(&format!("export p.yaml --to {words}"))
}

/// The component's device in a placement file's map as `export --to json` says it.
fn homes(bench: &Bench) -> BTreeMap<String, String> {
    let value = export(bench, "json").json();
    let components = value["components"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    components.iter().map(|c| (text(&c["name"]), text(&c["device"]))).collect()
}

#[test]
fn consumers_are_told_in_their_own_words() {
    let bench = solved(LAYERS);
    for (words, name) in [
        ("accelerate", "accelerate-v4.json"),
        ("accelerate --layout v5 --snippet", "accelerate-v5.py"),
        ("csv", "map.csv"),
        ("json", "map.json"),
        ("markdown", "map.md"),
        ("mistral.rs --project", "topology.yml"),
        ("sglang", "sglang.sh"),
        ("vllm", "vllm.sh"),
    ] {
        let run = export(&bench, words);
        assert_eq!(run.code, 0, "{words}: {run:?}");
        golden(&format!("export/{name}"), &run.stdout);
    }
    golden("export/list.txt", &bench.line("export --list").stdout);
    let listed = bench.line("export --list --json").json();
    assert_eq!(listed["consumers"].as_array().unwrap().len(), 9);
}

#[test]
fn parts_away_from_their_attention_are_named_in_python() {
    let bench = solved(DIVIDED);
    let run = export(&bench, "accelerate --snippet");
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("def return_outputs(model):"), "{}", run.stdout);
    let json = export(&bench, "accelerate");
    assert!(json.stderr.contains("modules are away from the attention of their layer"), "{json:?}");
    assert!(json.stderr.contains("accelerate copies what is on \"cpu\" to a GPU"), "{json:?}");
}

#[test]
fn files_that_belong_to_it_are_written_beside() {
    let bench = solved(LAYERS);
    let run = export(&bench, "accelerate -o map.json");
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    assert_eq!(bench.files(), ["map.json", "map.max_memory.json", "p.yaml"]);
    let limits: Value = serde_json::from_str(&bench.read("map.max_memory.json")).unwrap();
    assert_eq!(limits["1"].as_u64(), Some(16_750_372_454));
    let run = export(&bench, "mistral.rs --project -o t.yml");
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(bench.read("t.num_device_layers.txt"), "-n \"0:16;1:16\"\n");
    let json = export(&bench, "mistral.rs --project --json").json();
    assert_eq!(json["beside"][0]["suffix"], "num_device_layers.txt");
    assert_eq!(json["text"].as_str().unwrap(), bench.read("t.yml"));
}

#[test]
fn what_a_consumer_cannot_hold_is_refused_with_the_way_to_it() {
    let bench = solved(LAYERS);
    let run = export(&bench, "mistral.rs");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert_eq!(
        run.stderr,
        "refused: mistral.rs cannot hold `final_norm` on gpu1: it goes to gpu0, the default device, whatever \
         it is told\n\
         solve again for it:\n  apportion solve mixtral-8x7b --quant nf4-dq --gpu 15.6GiB --gpu 15.6GiB \
         --granularity layer --pin output_head=gpu0 -o placement.yaml\n\
         or export with --project, which moves what has to be together\n"
    );
    let bench = solved(DIVIDED);
    for (words, unit, granularity) in [
        ("accelerate --layout v5", "all experts of a layer are one unit there", "experts"),
        ("vllm", "a whole layer is one unit there", "layer"),
        ("sglang", "a whole layer is one unit there", "layer"),
    ] {
        let run = export(&bench, words);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(unit), "{run:?}");
        let again = format!("--granularity {granularity} -o placement.yaml");
        assert!(run.stderr.contains(&again), "{run:?}");
        let json = export(&bench, &format!("{words} --json")).json();
        assert_eq!((&json["status"], &json["can_project"]), (&"refused".into(), &true.into()));
        // The command it offers is one, and leads to a map that can be said, but for what runs on no CPU.
        let again = json["solve_again"].as_str().unwrap().strip_prefix("apportion ").unwrap();
        let solved = bench.line(&format!("{again} -o p2.yaml"));
        assert_eq!(solved.code, 0, "{solved:?}");
        let run = bench.line(&format!("export p2.yaml --to {words}"));
        assert_eq!(run.code, i32::from(!words.starts_with("accelerate")), "{run:?}");
        // Layers are whole now; what is left is the CPU, which these do not have.
        assert!(!run.stderr.contains(unit), "{run:?}");
    }
}

#[test]
fn projection_is_verified_and_its_cost_is_said() {
    let bench = solved(LAYERS);
    let run = export(&bench, "mistral.rs --project");
    golden("export/projection.txt", &run.stderr);
    let bench = solved("mixtral-8x7b --quant q4_k_m --gpu 13.4GiB --gpu 13.6GiB --context 512");
    let run = export(&bench, "mistral.rs --project");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
    assert!(
        run.stderr.starts_with("refused: `p.yaml`, projected for mistral.rs\n  gpu"),
        "{run:?}"
    );
    assert!(run.stderr.contains(": expected at most "), "{run:?}");
    let json = export(&bench, "mistral.rs --project --json").json();
    let again = json["solve_again"].as_str().unwrap();
    assert!(run.stderr.contains(&format!("  {again} -o placement.yaml\n")), "{run:?}");
}

#[test]
fn a_wrong_placement_is_not_exported() {
    let bench = solved(LAYERS);
    let text = bench.read("p.yaml").replacen("hand_overs: 1", "hand_overs: 0", 1);
    bench.write("p.yaml", text);
    let run = export(&bench, "csv");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.starts_with("refused: `p.yaml`\n"), "{run:?}");
}

#[test]
fn bad_words_are_refused() {
    let bench = solved(LAYERS);
    export(&bench, "acelerate").refuses(&["acelerate", "did you mean `accelerate`?"]);
    export(&bench, "accelerate --layout v6").refuses(&["--layout", "`v4` or `v5`"]);
    export(&bench, "csv --layout v5").refuses(&["--layout", "with --to accelerate"]);
    export(&bench, "mistral.rs --backend rocm").refuses(&["--backend", "`cuda` or `metal`"]);
    assert_eq!(bench.line("export p.yaml").code, 2);
}

#[test]
fn divided_experts_are_said_to_serving_engines_only() {
    let bench =
        solved("mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 24GiB --attention replicated");
    let sglang = export(&bench, "sglang").json();
    let rows = sglang["physical_to_logical_map"].as_array().unwrap();
    assert_eq!(rows.len(), 32);
    assert_eq!(rows[0], serde_json::json!([0, 1, 2, 3, 4, 5, 6, 7]));
    let vllm = export(&bench, "vllm");
    assert!(vllm.stdout.contains("--enable-expert-parallel --expert-placement-strategy linear"));
    let run = export(&bench, "accelerate");
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("attention has one home per layer there"), "{run:?}");
    let uneven = solved(
        "mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 24GiB --gpu 24GiB --attention replicated",
    );
    let run = export(&uneven, "sglang");
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("8 do not divide by 3"), "{run:?}");
}

#[test]
fn ktransformers_gets_the_numbers_of_a_rule_or_nothing() {
    let question = "olmoe-1b-7b-0924 --quant q4_k_m --gpu 3GiB --cpu 64GiB --free-default-pins \
                    --pin layers.*.attention=gpu0 --pin embedding=gpu0 --pin output_head=gpu0";
    let bench = solved(question);
    let run = export(&bench, "ktransformers --project");
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("--kt-expert-placement-strategy uniform"), "{run:?}");
    let number = run.stdout.split("--kt-num-gpu-experts ").nth(1).unwrap();
    let number: u32 = number.split(' ').next().unwrap().parse().unwrap();
    assert!((1..64).contains(&number), "{run:?}");
}

#[test]
fn every_tensor_of_every_family_is_at_or_below_one_path() {
    let mut families = std::collections::BTreeSet::new();
    for entry in catalogue() {
        let model = Model::from_catalogue(&entry.name).unwrap();
        // Of each family the first that is not slow to plan for.
        let slow = model.geometry.layers > 48 || model.geometry.experts > 64;
        if slow || !families.insert(model.family.clone()) {
            continue;
        }
        let bench = Bench::new();
        let bytes = model.parameters() * 2 / 3 + (2 << 30);
        let question =
            format!("solve {} --quant bf16 --gpu {bytes} --gpu {bytes} --cpu {bytes}", entry.name);
        let run =
            bench.line(&format!("{question} --granularity experts --node-limit 20 -o p.yaml"));
        assert_eq!(run.code, 0, "{run:?}");
        for (layout, name) in [(Layout::Published, "v4"), (Layout::Transformers5, "v5")] {
            let run = export(&bench, &format!("accelerate --layout {name}"));
            assert_eq!(run.code, 0, "{}: {run:?}", entry.name);
            let map: BTreeMap<String, Value> = serde_json::from_str(&run.stdout).unwrap();
            let mut used: Vec<&str> = Vec::new();
            for tensor in model.layout(layout).unwrap().iter() {
                let above = tensor.name.match_indices('.').map(|(at, _)| &tensor.name[..at]);
                let owners: Vec<&str> = above
                    .chain([tensor.name.as_str()])
                    .filter(|path| map.contains_key(*path))
                    .collect();
                assert_eq!(owners.len(), 1, "{} {name}: {}", entry.name, tensor.name);
                used.push(map.get_key_value(owners[0]).unwrap().0);
            }
            let idle = map.keys().filter(|path| !used.contains(&path.as_str()));
            for path in idle {
                let known =
                    path == "lm_head" || path.rsplit('.').next().unwrap().starts_with("rotary_emb");
                assert!(known, "{} {name}: {path}", entry.name);
            }
        }
    }
}

#[test]
fn exported_maps_read_back_as_themselves() {
    for (question, words) in [
        (LAYERS, "accelerate"),
        (LAYERS, "accelerate --layout v5"),
        (DIVIDED, "accelerate"),
        ("llama-3.2-1b --quant bf16 --gpu 2GiB --gpu 3GiB", "accelerate"),
        ("gpt-oss-20b --quant bf16 --gpu 24GiB --gpu 24GiB --granularity experts", "accelerate"),
    ] {
        let bench = solved(question);
        assert_eq!(export(&bench, &format!("{words} -o map.json")).code, 0);
        let (model, rest) = question.split_once(' ').unwrap();
        let line = format!(
            "check --from accelerate map.json --model {model} {rest} --node-limit 20 --json"
        );
        let run = bench.line(&line);
        assert_eq!(run.code, 0, "{run:?}");
        let read: BTreeMap<String, String> =
            serde_json::from_value(run.json()["placement"].clone()).unwrap();
        assert_eq!(read, homes(&bench), "{question}");
    }
}

#[test]
fn random_maps_read_back_as_themselves() {
    let bench = Bench::new();
    let mut random = Random::new(8);
    for _ in 0..5 {
        let pins: Vec<String> = (0..3)
            .flat_map(|layer| (0..8).map(move |expert| (layer, expert)))
            .map(|(layer, expert)| {
                let device = ["gpu0", "gpu1", "cpu"][usize::try_from(random.below(3)).unwrap()];
                format!("--pin layers.{layer}.experts.{expert}={device}")
            })
            .collect();
        let question = format!(
            "mixtral-8x7b --quant q4_k_m --gpu 20GiB --gpu 20GiB --cpu 64GiB --free-default-pins --node-limit 5 {}",
            pins.join(" ")
        );
        let run = bench.line(&format!("solve {question} -o p.yaml"));
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(export(&bench, "accelerate -o map.json").code, 0);
        let question = question.strip_prefix("mixtral-8x7b").unwrap();
        let run = bench.line(&format!(
            "check --from accelerate map.json --model mixtral-8x7b {question} --json"
        ));
        let read: BTreeMap<String, String> =
            serde_json::from_value(run.json()["placement"].clone()).unwrap();
        assert_eq!(read, homes(&bench));
    }
}
