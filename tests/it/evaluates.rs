//! Routing statistics and other circumstances from the command line to placement files and back, and what
//! recorded placements are worth under them.

use std::path::PathBuf;
use std::sync::Arc;

use apportion::hardware::{Hardware, Link, Network, Speed};
use apportion::memory::Load;
use apportion::model::{ComponentId, Model};
use apportion::problem::{Draw, ObjectiveKind, ObjectiveValue, Placement};
use apportion::quant::Scheme;
use apportion::routing::Statistics;
use apportion::runtime::LayerDevices;
use apportion::scenario::{Granularity, Limits, Scenario, parse_objectives};
use apportion::verify::{measure, verify};
use serde_json::{Value, json};

use super::binary::Bench;
use super::scenarios::scenario;

const TWO: &str = "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB";

/// Two experts away from home, so that it matters how often they are chosen.
const APART: &str = "--pin layers.20.attention=gpu1 --pin layers.20.experts.[0-1]=gpu0";

fn published(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/ground-truth/mixtral-routing")
        .join(name)
}

fn statistics(name: &str) -> Arc<Statistics> {
    Arc::new(Statistics::read(&published(name)).unwrap())
}

/// A bench with the published counts beside the placements.
fn bench() -> Bench {
    let bench = Bench::new();
    for (name, as_name) in [
        ("machine_learning.json", "learning.json"),
        ("high_school_us_history.json", "history.json"),
    ] {
        bench.write(as_name, std::fs::read(published(name)).unwrap());
    }
    bench
}

/// Everything on device 0 but what `elsewhere` says.
fn placement(ids: &[ComponentId], elsewhere: impl Fn(ComponentId) -> bool) -> Placement {
    Placement { device_of: ids.iter().map(|&id| usize::from(elsewhere(id))).collect() }
}

#[test]
fn traffic_counts_tokens_that_chose_an_expert() {
    let mut asked = scenario("mixtral-8x7b", 2, false);
    asked.limits.routing = vec![statistics("machine_learning.json")];
    let problem = asked.problem().unwrap();
    problem.validate().unwrap();
    let counted = statistics("machine_learning.json");
    assert_eq!(problem.traffic_denominator, counted.tokens);
    let remote = ComponentId::Expert(5, 3);
    let placed = placement(&asked.component_ids(), |id| id == remote);
    let traffic = measure(&problem, &placed).unwrap().traffic;
    assert_eq!((traffic.units, traffic.denominator), (2 * counted.counts[5][3], counted.tokens));
    // Whatever every token passes is visited by all of them.
    let visits: u64 = (0..8)
        .map(|e| problem.components[problem.index_of(ComponentId::Expert(9, e)).unwrap()].visits)
        .sum();
    assert_eq!(visits, 2 * counted.tokens);
}

#[test]
fn what_statistics_cannot_price_is_refused_with_a_way_out() {
    let mut asked = scenario("mixtral-8x7b", 2, false);
    asked.limits.routing =
        vec![statistics("machine_learning.json"), statistics("high_school_us_history.json")];
    let error = asked.problem().unwrap_err();
    assert!(error.to_string().contains("expected one file where traffic is an objective, found 2"));
    assert!(error.hint_text().unwrap().contains("decode_latency"));
    asked.objectives = parse_objectives(&["peak_utilization"]).unwrap();
    assert_eq!(asked.problem().unwrap().traffic_denominator, 8);
    asked.limits.routing = vec![statistics("machine_learning.json"); 17];
    assert!(asked.problem().unwrap_err().to_string().contains("at most 16 of them, found 17"));
    let mut dense = scenario("llama-3.1-8b", 2, false);
    dense.limits.routing = vec![statistics("machine_learning.json")];
    assert!(dense.problem().unwrap_err().to_string().contains("which is dense"));
}

pub fn timed(model: &str, scheme: &str) -> Scenario {
    let speed = |bytes_per_second| Speed {
        bytes_per_second,
        by_type: std::collections::BTreeMap::new(),
        flops: Some(100_000_000_000_000),
    };
    let mut hardware = Hardware::from_sizes(&[1 << 45, 1 << 45], None, 0).unwrap();
    hardware.network = Arc::new(Network {
        speeds: [("gpu0", 1_000_000_000_000), ("gpu1", 500_000_000_000)]
            .map(|(id, rate)| (id.to_owned(), speed(rate)))
            .into(),
        default_link: Some(Link { latency_ps: 5_000_000, bytes_per_second: 32_000_000_000 }),
        ..Network::default()
    });
    Scenario {
        model: Model::from_catalogue(model).unwrap(),
        scheme: Scheme::parse(scheme).unwrap(),
        load: Load::default(),
        hardware,
        constraints: Vec::new(),
        default_pins: false,
        limits: Limits::default(),
        objectives: parse_objectives(&["decode_latency", "prefill_time"]).unwrap(),
    }
}

/// Experts on the slow device cost what is read of them there, as often as tokens chose them.
#[test]
fn decode_latency_follows_the_counts() {
    let decode = |scenario: &Scenario, elsewhere: &dyn Fn(ComponentId) -> bool| {
        let problem = scenario.problem().unwrap();
        problem.validate().unwrap();
        let placed = placement(&scenario.component_ids(), elsewhere);
        let measured = verify(&problem, &placed).unwrap();
        let ObjectiveValue::Time(ps) = measured.value(ObjectiveKind::DecodeLatency) else {
            panic!()
        };
        (ps, problem)
    };
    let counted = statistics("machine_learning.json");
    let row = &counted.counts[7];
    let numbered = || row.iter().zip(0_u32..);
    let hot = numbered().max_by_key(|(count, _)| **count).unwrap().1;
    let cold = numbered().min_by_key(|(count, _)| **count).unwrap().1;
    let mut asked = timed("mixtral-8x7b", "f16");
    asked.limits.layer_devices = Some(LayerDevices::Sequential);
    let none = decode(&asked, &|_| false).0;
    let even = decode(&asked, &|id| id == ComponentId::Expert(7, hot)).0;
    asked.limits.routing = vec![Arc::clone(&counted)];
    assert_eq!(decode(&asked, &|_| false).0, none, "two experts are read wherever they are chosen");
    let far = |expert| decode(&asked, &|id| id == ComponentId::Expert(7, expert)).0 - none;
    let (hot_ps, problem) = decode(&asked, &|id| id == ComponentId::Expert(7, hot));
    assert!(far(cold) < even - none && even - none < hot_ps - none);
    // Twice as long to read, and a way there and back, times the share of tokens.
    let expert = problem.index_of(ComponentId::Expert(7, hot)).unwrap();
    let timing = problem.decode.as_ref().unwrap();
    let visits = &timing.visit_ps[expert];
    let tokens_milli = timing.expert_tokens_milli[expert];
    assert_eq!(tokens_milli, 1000);
    let extra = visits[1] - visits[0] + timing.round_trip_ps(0, 1, tokens_milli);
    let share = |count: u64| u128::from(extra) * u128::from(count) / u128::from(counted.tokens);
    assert!(share(row[usize::try_from(hot).unwrap()]).abs_diff((hot_ps - none).into()) < 1000);
    assert!(share(row[usize::try_from(cold).unwrap()]).abs_diff(far(cold).into()) < 1000);
    assert!(matches!(&timing.draws[0][7], Draw::Sets(sets) if sets.len() == 28));
}

/// Three layers of DeepSeek-V3 are dense, and 256 experts are too many to list their sets.
#[test]
fn dense_layers_and_many_experts_can_be_priced() {
    let mut asked = timed("deepseek-v3", "fp8");
    for batch in [1, 4] {
        asked.load.batch = batch;
        let problem = asked.problem().unwrap();
        problem.validate().unwrap();
        let draws = &problem.decode.as_ref().unwrap().draws[0];
        assert_eq!(draws[2], Draw::Even(Vec::new()));
        assert!(matches!(&draws[3], Draw::Even(sizes) if !sizes.is_empty()));
    }
    let mut counts = vec![vec![]; 3];
    counts.resize(61, vec![1; 256]);
    let text = json!({"model": "m", "text": "t", "tokens": 32, "top_k": 8, "counts": counts});
    let even = Statistics::from_json(&text.to_string(), "x").unwrap();
    asked.limits.routing = vec![Arc::new(even)];
    let problem = asked.problem().unwrap();
    problem.validate().unwrap();
    let placed = placement(&asked.component_ids(), |id| id.expert().is_some_and(|e| e % 2 == 1));
    assert!(measure(&problem, &placed).unwrap().values.len() >= 6);
}

#[test]
fn files_record_what_was_asked_and_check_agrees() {
    let bench = bench();
    let plain = bench.line(&format!("{TWO} -o plain.yaml"));
    assert_eq!(plain.code, 0, "{plain:?}");
    for word in ["routing", "granularity", "layer_devices"] {
        assert!(!bench.read("plain.yaml").contains(word), "files without stay as they were");
    }
    let line = "--routing learning.json --layer-devices concurrent";
    let solved = bench.line(&format!("{TWO} {line} -o map.yaml"));
    assert_eq!(solved.code, 0, "{solved:?}");
    let said = "devices of a layer concurrent\n\
                routing: MMLU machine_learning, ";
    assert!(solved.stdout.contains(said), "{}", solved.stdout);
    assert!(solved.stdout.contains(" tokens (modelled)\n"), "{}", solved.stdout);
    let file = bench.read("map.yaml");
    assert!(file.contains("  layer_devices: concurrent\n"), "{file}");
    assert!(file.contains("routing:\n  - model: \"Mixtral"), "{file}");
    let check = bench.line("check map.yaml");
    assert_eq!(check.code, 0, "{check:?}");
    assert!(check.stdout.contains(said), "{}", check.stdout);

    // Another count is another problem; one that cannot be is no file.
    let counted = statistics("machine_learning.json");
    let row: Vec<String> = counted.counts[0].iter().map(u64::to_string).collect();
    let mut changed = row.clone();
    changed.swap(0, 1);
    let rows = [row, changed].map(|row| format!("[{}]", row.join(", ")));
    bench.write("other.yaml", file.replacen(&rows[0], &rows[1], 1));
    let check = bench.line("check other.yaml");
    assert_eq!(check.code, 1, "{check:?}");
    assert!(check.stdout.contains("problem: the file says"), "{check:?}");
    let tokens = format!("tokens: {}", counted.tokens);
    bench.write("wrong.yaml", file.replacen(&tokens, "tokens: 7", 1));
    bench.line("check wrong.yaml").refuses(&["the routing statistics", "counts, layer 0"]);
}

#[test]
fn sets_of_experts_are_recorded_too() {
    let mut asked = scenario("olmoe-1b-7b-0924", 2, false);
    let experts = asked.model.geometry.experts;
    let layers = asked.model.geometry.layers;
    let k = asked.model.geometry.experts_per_token;
    let set: Vec<u32> = (0..k).collect();
    let row: Vec<u64> = (0..experts).map(|expert| if expert < k { 3 } else { 0 }).collect();
    let rows = usize::try_from(layers).unwrap();
    let text = json!({
        "model": "m", "text": "t: \"1\"", "source": "s", "tokens": 3, "top_k": k,
        "counts": vec![row; rows], "set_counts": vec![json!([[set, 3]]); rows],
    });
    let counted = Statistics::from_json(&text.to_string(), "x").unwrap();
    asked.limits.routing = vec![Arc::new(counted.clone())];
    asked.limits.granularity = Granularity::Experts;
    asked.limits.layer_devices = Some(LayerDevices::Concurrent);
    let said = "devices of a layer concurrent; granularity experts\n\
                routing: t: \"1\", 3 tokens (measured)\n";
    assert!(apportion::report::question(&asked).ends_with(said));
    let record = super::formats::arbitrary(&asked, &mut super::support::Random::new(1));
    let yaml = record.to_yaml();
    let read = apportion::placement::Record::from_yaml(&yaml, "x", None).unwrap();
    assert_eq!(*read.scenario.limits.routing[0], counted);
    assert_eq!(read.scenario.limits, asked.limits);
    assert_eq!(read.to_yaml(), yaml);
    for (from, to, words) in [
        (":3\"", ":2\"", "set_counts, layer 0: expected a sum of 3, the tokens, found 2"),
        (":3\"", ":-3\"", "sets as in `0,1:7 0,2:9`, found `"),
        ("\"0,1,", "\"1,0,", "ascending, found [1, 0,"),
        ("top_k", "tok_k", "unknown field `tok_k`"),
        ("tokens: 3", "tokens: 9999999999", "at most 4294967296, found 9999999999"),
        ("tokens: 3", "tokens: .nan", "tokens"),
    ] {
        let other = yaml.replacen(from, to, 1);
        assert_ne!(other, yaml, "{from}");
        let error = apportion::placement::Record::from_yaml(&other, "x", None).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn several_files_need_a_word() {
    let bench = bench();
    let both = "--routing learning.json --routing history.json";
    bench.line(&format!("{TWO} {both}")).refuses(&["expected one file, or --robust", "hint: "]);
    bench.line(&format!("{TWO} --robust --routing learning.json")).refuses(&["several files"]);
    bench.line(&format!("{TWO} {both} --robust")).refuses(&["traffic is an objective"]);
    assert_eq!(bench.line(&format!("{TWO} --robust")).code, 2);
    let peak = format!("{TWO} {both} --robust --objective peak_utilization -o map.yaml");
    let solved = bench.line(&peak);
    assert_eq!(solved.code, 0, "{solved:?}");
    assert_eq!(bench.read("map.yaml").matches("  - model: ").count(), 2);
    assert_eq!(bench.line("check map.yaml").code, 0);
    bench.line(&format!("{TWO} --routing none.json")).refuses(&["none.json"]);
    let per_device = format!("{TWO} --routing learning.json --sends per-device");
    bench.line(&per_device).refuses(&["expected sends per expert", "--sends per-expert"]);
}

/// One objective's row of the JSON.
fn row<'a>(json: &'a Value, name: &str) -> &'a Value {
    let rows = json["objectives"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap()
}

#[test]
fn a_placement_is_priced_in_and_out_of_sample() {
    let bench = bench();
    let solved = bench.line(&format!("{TWO} {APART} --routing learning.json -o map.yaml"));
    assert_eq!(solved.code, 0, "{solved:?}");
    let line = "evaluate map.yaml --routing learning.json --routing history.json";
    let priced = bench.line(&format!("{line} --json"));
    assert_eq!(priced.code, 0, "{priced:?}");
    let json = priced.json();
    assert_eq!((&json["status"], &json["violations"]), (&json!("fits"), &json!([])));
    assert_eq!(json["routing"][1]["file"], "history.json");
    assert_eq!(json["routing"][0]["kind"], "modelled");
    let traffic = row(&json, "traffic");
    assert_eq!(traffic["recorded"], traffic["now"]);
    assert_eq!(traffic["routing"][0], traffic["now"], "in sample");
    assert_ne!(traffic["routing"][1], traffic["now"], "out of sample");
    assert_eq!(row(&json, "peak_utilization")["routing"], json!([null, null]));

    // Solved for the other text, that text has no more traffic than this placement brings it.
    let other = bench.line(&format!("{TWO} {APART} --routing history.json -o other.yaml"));
    assert_eq!(other.code, 0, "{other:?}");
    let best = bench.line("evaluate other.yaml --json").json();
    let [best, out] = [&row(&best, "traffic")["now"], &traffic["routing"][1]];
    assert!(best.as_f64().unwrap() <= out.as_f64().unwrap() + 1e-9, "{best} {out}");

    let text = bench.line(line);
    let heading = text.stdout.lines().find(|line| line.starts_with("objective")).unwrap();
    let words: Vec<&str> = heading.split_whitespace().collect();
    assert_eq!(words, ["objective", "recorded", "now", "learning.json", "history.json"]);
    assert!(text.stdout.starts_with("`map.yaml` fits\n"), "{}", text.stdout);
}

#[test]
fn what_no_longer_fits_is_said() {
    let bench = bench();
    assert_eq!(bench.line(&format!("{TWO} {APART} -o map.yaml")).code, 0);
    assert_eq!(bench.line("evaluate map.yaml").code, 0);
    let long = bench.line("evaluate map.yaml --context 1000000");
    assert_eq!(long.code, 1, "{long:?}");
    assert!(
        long.stdout.starts_with("`map.yaml` does not fit\n  gpu0: expected at most"),
        "{long:?}"
    );
    assert!(long.stdout.contains("context 1000000"), "{long:?}");
    let json = bench.line("evaluate map.yaml --batch 512 --json");
    assert_eq!((json.code, &json.json()["status"]), (1, &json!("violated")));
    let device = bench.line("evaluate map.yaml --sends per-device --routing learning.json --json");
    let json = device.json();
    assert_ne!(row(&json, "traffic")["now"], row(&json, "traffic")["recorded"]);
    assert_eq!(row(&json, "traffic")["routing"], json!([null]), "not priced by counts");
    bench.write("slow.yaml", "version: 1\nbased_on: candle\nrules: {driver_context_bytes: 8GiB}\n");
    let rules = bench.line("evaluate map.yaml --runtime-profile slow.yaml");
    assert_eq!(rules.code, 1, "{rules:?}");

    let machine = |ids: [&str; 2]| {
        let devices = ids.map(|id| format!("  - {{id: {id}, kind: cuda, memory: 24GiB}}\n"));
        let devices = devices.concat().replace("  - ", "      - ");
        format!("version: 1\nnodes:\n  - id: box\n    devices:\n{devices}")
    };
    bench.write("large.yaml", machine(["gpu1", "gpu0"]));
    bench.write("strange.yaml", machine(["gpu0", "gpu2"]));
    let large = bench.line("evaluate map.yaml --hardware large.yaml --json");
    assert_eq!(
        large.code, 1,
        "what is pinned to the first GPU is on the second one now: {large:?}"
    );
    let peak = |json: &Value| row(json, "peak_utilization")["now"].as_f64().unwrap();
    let json = large.json();
    assert!(peak(&json) < row(&json, "peak_utilization")["recorded"].as_f64().unwrap());
    bench
        .line("evaluate map.yaml --hardware strange.yaml")
        .refuses(&["the devices of the placement: `gpu0`, `gpu1`, found `gpu0`, `gpu2`", "hint: "]);
    bench.line("evaluate none.yaml").refuses(&["none.yaml"]);
    bench.line("evaluate map.yaml --routing map.yaml").refuses(&["routing statistics", "map.yaml"]);
}
