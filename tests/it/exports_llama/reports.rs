//! llama.cpp's own reports (`llama-fit-params --fit-print on`) for flags of its own and of ours: `fit.json` for many
//! flags on seven machines, `referee.json` as `tests/peers/llama.cpp/referee.py` writes it.

use apportion::export::Options;
use apportion::import;
use apportion::scenario::{Granularity, Scenario};
use apportion::verify::{Measured, measure};
use serde_json::Value;

use super::{naive, question};

const MIB: u64 = 1 << 20;

/// MiB of weights, cache and compute buffers per device, the host last.
type Report = Vec<[u64; 3]>;

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    array(value).iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn triple(value: &Value) -> [u64; 3] {
    let numbers: Vec<u64> = array(value).iter().map(|number| number.as_u64().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// Bytes of tensors per device, the host last, as llama.cpp's rules say, written a second time.
fn weights(asked: &Scenario, words: &[String], names: &[String], buffers: &[String]) -> Vec<u64> {
    let storage = asked.demand().unwrap().storage;
    let kept = storage.tensors.iter().zip(&storage.stored);
    let kept: Vec<_> = kept.filter(|(tensor, _)| !tensor.name.starts_with("rope_")).collect();
    let tensors: Vec<&str> = kept.iter().map(|(tensor, _)| tensor.name.as_str()).collect();
    let layers = usize::try_from(asked.model.gguf_counts.layers).unwrap();
    let free: Vec<u64> =
        asked.hardware.devices.iter().map(|device| device.capacity_bytes).collect();
    let assigned = naive::assign(words, layers, &tensors, names, buffers, &free[..names.len()]);
    let mut bytes = vec![0; names.len() + 1];
    for ((_, stored), device) in kept.iter().zip(assigned.tensors) {
        bytes[device] += stored.bytes;
    }
    bytes
}

/// What our reader of flags makes of them.
fn imported(asked: &Scenario, text: &str, options: &Options) -> Measured {
    let problem = asked.problem().unwrap();
    let map = import::Question { scenario: asked, problem: &problem, options };
    let read = import::import(import::named("llama.cpp").unwrap(), text, &map);
    measure(&problem, &read.unwrap_or_else(|error| panic!("{error}: {text}")).placement).unwrap()
}

/// Weights to the MiB, but for small tensors that patterns of people catch; caches to the MiB.
fn agree(asked: &Scenario, text: &str, options: &Options, report: &Report) {
    let measured = imported(asked, text, options);
    // Matrices that are repacked for the host are in no row of a report.
    let whole = if text.contains("--no-repack") { report.len() } else { report.len() - 1 };
    for (device, (used, [weights, cache, _])) in measured.devices.iter().zip(report).enumerate() {
        let found = used.weights_bytes / MIB;
        let near = found.abs_diff(*weights) <= 2;
        assert!(near || device >= whole, "{found} MiB of weights, reported {weights}: {text}");
        assert_eq!(used.kv_cache_bytes / MIB, *cache, "cache: {text}");
    }
}

#[test]
fn flags_of_llama_cpp_mean_what_it_reports() {
    let text = include_str!("../../data/llama.cpp/fit.json");
    let rows: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut checked = 0;
    for row in &rows {
        let (flags, report) = match (row["args"].as_str(), row["fit_args"].as_str()) {
            (Some(args), _) => (args.to_owned(), &row["mib"]),
            (None, Some(args)) if row["memory_of_fit_args_mib"].is_object() => {
                (args.to_owned(), &row["memory_of_fit_args_mib"])
            }
            _ => continue,
        };
        let (model, level) = row["model"].as_str().unwrap().rsplit_once('-').unwrap();
        let quant = match level {
            "f16" => "gguf-f16",
            level => level,
        };
        let gpus: Vec<u64> =
            array(&row["gpus_mib"]).iter().map(|mib| mib.as_u64().unwrap() * MIB).collect();
        let asked = question(model, quant, &gpus, Granularity::FusedMatrix);
        let names: Vec<String> = (0..gpus.len()).map(|gpu| format!("GPU{gpu}")).collect();
        let options = names.iter().enumerate().map(|(gpu, name)| format!("gpu{gpu}={name}"));
        let options = Options::default().with("device-name", options);
        let keys = (0..gpus.len()).map(|gpu| format!("RPC{gpu}")).chain(["Host".to_owned()]);
        let report: Report = keys.map(|key| triple(&report[key.as_str()])).collect();
        // In the recorded lines only quotes are a matter of the shell.
        let words: Vec<String> =
            flags.replace('"', "").split_whitespace().map(str::to_owned).collect();
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let bytes = weights(&asked, &words, &names, &names);
        let mib: Vec<u64> = bytes.iter().map(|bytes| bytes / MIB).collect();
        let reported: Vec<u64> = report.iter().map(|of| of[0]).collect();
        // Matrices that are repacked for the host are in no row of such a report.
        assert_eq!(mib[..gpus.len()], reported[..gpus.len()], "{flags}");
        assert!(reported[gpus.len()] <= mib[gpus.len()], "{flags}");
        agree(&asked, &quoted.join(" "), &options, &report);
        checked += 1;
    }
    assert!(checked >= 130, "{checked}");
}

/// By the reports: every plan is what was planned, keeps the margin of --fit, and is no worse than what --fit chose.
#[test]
fn plans_are_what_llama_cpp_reports_and_no_worse_than_its_own() {
    let text = include_str!("../../data/llama.cpp/referee.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for case in &cases {
        let [model, level, machine] =
            ["model", "level", "machine"].map(|key| case[key].as_str().unwrap());
        let quant = if level == "f16" { "gguf-f16" } else { level };
        let sizes: Vec<u64> =
            array(&case["gpus_mib"]).iter().map(|mib| mib.as_u64().unwrap()).collect();
        let gpus: Vec<u64> = sizes.iter().map(|mib| mib * MIB).collect();
        let asked = question(model, quant, &gpus, Granularity::FusedMatrix);
        let flags = strings(&case["flags"]);
        let report: Report = array(&case["reported"]).iter().map(triple).collect();
        let fit: Report = array(&case["fit_reported"]).iter().map(triple).collect();
        let rpc = flags.iter().position(|word| word == "--rpc").unwrap();
        let servers: Vec<&str> = flags[rpc + 1].split(',').collect();
        let names: Vec<String> = (0..gpus.len()).map(|gpu| format!("RPC{gpu}")).collect();
        let buffers: Vec<String> = servers.iter().map(|server| format!("RPC0[{server}]")).collect();
        let bytes = weights(&asked, &flags, &names, &buffers);
        for (bytes, of) in bytes.iter().zip(&report) {
            assert_eq!(bytes / MIB, of[0], "{model} {level} {machine}");
        }
        let quoted: Vec<String> = flags.iter().map(|word| format!("'{word}'")).collect();
        let rpc = servers.iter().enumerate().map(|(gpu, server)| format!("gpu{gpu}={server}"));
        let options = Options::default().with("rpc", rpc);
        agree(&asked, &quoted.join(" "), &options, &report);

        let score = |report: &Report| {
            let (host, gpus) = report.split_last().unwrap();
            let used = gpus.iter().zip(&sizes).map(|(of, &mib)| (of.iter().sum::<u64>(), mib));
            // Shares are compared over a common denominator.
            let peak = used.map(|(used, mib)| used * 1_000_000 / mib).max();
            (host[0] + host[1], peak)
        };
        assert!(score(&report) <= score(&fit), "{model} {level} {machine}");
        for (of, mib) in report.iter().zip(&sizes) {
            assert!(of.iter().sum::<u64>() + 1024 <= *mib, "{model} {level} {machine}: the margin");
        }
        seen.insert((model, level, machine));
    }
    assert_eq!(seen.len(), cases.len(), "each case once");
    assert_eq!(seen.len(), 60, "five models, four machines, three quantizations");
}
