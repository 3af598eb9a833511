//! Headroom, a limit on devices, sends per device, migration: typed, written, read, checked, refused.

use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem, Sends};
use apportion::scenario::{Headroom, Limits, fingerprint};
use apportion::units::Ratio;
use apportion::verify::{Violation, measure, verify};
use serde_json::{Value, json};

use super::binary::Bench;
use super::scenarios::scenario;
use crate::support::{Random, Tiny, place};

const TWO: &str = "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB";

/// What a wish does to a problem whose verdict is known.
fn values(problem: &Problem, elsewhere: &[(&str, usize)]) -> (u64, Ratio) {
    let measured = measure(problem, &place(problem, elsewhere)).unwrap();
    let ObjectiveValue::Bytes(moved) = measured.value(ObjectiveKind::Migration) else { panic!() };
    (moved, measured.traffic.expected_transfers_per_token())
}

#[test]
fn sends_per_device_by_hand() {
    // Two of four experts: of six pairs, 3, 5 and 6 hit one, two, three given experts.
    let tiny = Tiny::new(2, 4).gpus(3, 100).with(|t| t.experts_per_token = 2);
    let sends = Sends::PerDevice { experts: 4, experts_per_token: 2 };
    let mut problem = Problem { sends, traffic_denominator: 6, ..tiny.problem() };
    let [a, b, c, d] = [0, 1, 2, 3].map(|e| format!("layers.1.experts.{e}"));
    let expected = |homes: &[(&str, usize)]| values(&problem, homes).1;
    assert_eq!(expected(&[(&a, 1)]), Ratio::new(2 * 3, 6));
    assert_eq!(expected(&[(&a, 1), (&b, 1)]), Ratio::new(2 * 5, 6));
    assert_eq!(expected(&[(&a, 1), (&b, 2)]), Ratio::new(2 * 6, 6), "one way to each device");
    let all = [(a.as_str(), 1), (b.as_str(), 1), (c.as_str(), 1), (d.as_str(), 1)];
    assert_eq!(expected(&all), Ratio::new(2, 1));
    assert_eq!(expected(&[(&a, 1), ("layers.0.experts.0", 1)]), Ratio::new(4 * 3, 6));
    problem.sends = Sends::PerExpert;
    assert_eq!(values(&problem, &all).1, Ratio::new(2 * 4 * 2, 6), "visits are those of the tiny");
}

#[test]
fn what_every_token_visits_takes_experts_along() {
    let tiny = Tiny::new(1, 4).gpus(2, 100).with(|t| t.shared_expert = true);
    let sends = Sends::PerDevice { experts: 4, experts_per_token: 1 };
    let problem = Problem { sends, ..tiny.problem() };
    let shared = ("layers.0.shared_expert", 1);
    assert_eq!(values(&problem, &[shared]).1, Ratio::new(2, 1));
    assert_eq!(values(&problem, &[shared, ("layers.0.experts.0", 1)]).1, Ratio::new(2, 1));
    assert_eq!(values(&problem, &[("layers.0.experts.0", 1)]).1, Ratio::new(2, 4));
}

#[test]
fn headroom_limits_and_moves_are_checked() {
    let mut problem = Tiny::new(2, 0).gpus(3, 33).problem();
    // Everything on one device: 5 + 5 + 1 + 2 * (3 + 8) = 33.
    let all = place(&problem, &[]);
    assert_eq!(verify(&problem, &all).unwrap().devices[0].headroom_bytes, 0);
    problem.headroom_bytes = vec![1];
    let [Violation::OverCapacity { required_bytes: 33, limit_bytes: 32, capacity_bytes: 33, .. }] =
        verify(&problem, &all).unwrap_err()[..]
    else {
        panic!()
    };
    let said = verify(&problem, &all).unwrap_err()[0].to_string();
    assert!(said.contains("32 B (32 bytes) besides a headroom of 1 B, found 33 B"), "{said}");
    problem.headroom_bytes.clear();
    problem.devices_max = Some(1);
    assert!(verify(&problem, &all).is_ok());
    let spread = place(&problem, &[("layers.1.mlp", 1)]);
    let two = Violation::TooManyDevices { most: 1, found: 2 };
    assert_eq!(verify(&problem, &spread).unwrap_err(), [two]);
    problem.current = Some(spread.clone());
    assert_eq!(values(&problem, &[]).0, 8);
    assert_eq!(values(&problem, &[("layers.1.mlp", 1)]).0, 0);
    assert_eq!(values(&problem, &[("layers.1.mlp", 2), ("layers.0.mlp", 2)]).0, 16);
}

#[test]
fn what_does_not_hold_together_is_refused() {
    let sound = Tiny::new(2, 4).gpus(2, 100).problem();
    let per_device = |experts, experts_per_token| Sends::PerDevice { experts, experts_per_token };
    for sends in [(0, 0), (4, 0), (4, 5), (3, 1), (1025, 1), (1000, 65), (u32::MAX, u32::MAX)] {
        let problem = Problem { sends: per_device(sends.0, sends.1), ..sound.clone() };
        assert!(problem.validate().is_err(), "{sends:?}");
    }
    let problem = Problem { sends: per_device(4, 4), ..sound.clone() };
    assert!(problem.validate().is_ok());
    let huge = u64::MAX / 2;
    let problem = Problem { sends: per_device(4, 1), traffic_denominator: huge, ..sound.clone() };
    assert!(problem.validate().is_err(), "sums of sends could overflow");
    let mut problem = sound;
    problem.headroom_bytes = vec![200, 0];
    assert_eq!((problem.limit_bytes(0), problem.limit_bytes(1)), (0, 100));
    problem.headroom_bytes = vec![0; 3];
    assert!(problem.validate().is_err());
}

/// Fewer sends: company never costs more than each for itself, and is worth the more the more there is.
#[test]
fn company_is_never_dearer() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let tiny = random.tiny();
        if tiny.experts == 0 {
            continue;
        }
        let placement = random.placement(&tiny.problem());
        let k = u32::try_from(tiny.experts_per_token).unwrap();
        let sends = Sends::PerDevice { experts: tiny.experts, experts_per_token: k };
        // Twelve divides every chance of up to three experts, so that nothing is rounded.
        let mut problem = Problem { traffic_denominator: 12, ..tiny.problem() };
        let experts = u64::from(tiny.experts);
        for component in &mut problem.components {
            component.visits *= 12 / experts;
        }
        let company = Problem { sends, ..problem.clone() };
        let units = |problem: &Problem| measure(problem, &placement).unwrap().traffic.units;
        assert!(units(&company) <= units(&problem), "seed {seed}");
    }
}

#[test]
fn fingerprints_know_every_wish_and_are_otherwise_as_they_were() {
    let asked = scenario("mixtral-8x7b", 2, false);
    let plain = asked.problem().unwrap();
    let mut seen = vec![fingerprint(&plain)];
    let mut tell = |change: &dyn Fn(&mut Problem)| {
        let mut problem = plain.clone();
        change(&mut problem);
        let print = fingerprint(&problem);
        assert!(!seen.contains(&print));
        seen.push(print);
    };
    tell(&|p| p.headroom_bytes = vec![1, 0]);
    tell(&|p| p.headroom_bytes = vec![0, 1]);
    tell(&|p| p.devices_max = Some(2));
    tell(&|p| p.sends = Sends::PerDevice { experts: 8, experts_per_token: 2 });
    tell(&|p| p.current = Some(place(p, &[])));
    tell(&|p| p.current = Some(place(p, &[("embedding", 1)])));
    let none = Problem { headroom_bytes: vec![0, 0], ..plain.clone() };
    assert_eq!(fingerprint(&none), fingerprint(&plain), "no headroom is none");
    let limits = Limits { headrooms: vec![Headroom::parse("5%").unwrap()], ..Limits::default() };
    let problem = apportion::scenario::Scenario { limits, ..asked }.problem().unwrap();
    let share = problem.devices[0].capacity_bytes.div_ceil(20);
    assert_eq!(problem.headroom_bytes, [share, share]);
}

#[test]
fn a_file_keeps_every_wish_and_check_honours_it() {
    let bench = Bench::new();
    assert_eq!(bench.line(&format!("{TWO} -o now.yaml")).code, 0);
    let wishes = "--headroom 3% --headroom gpu1=512MiB --max-devices 2 --sends per-device \
                  --migrate-from now.yaml --objective peak_utilization:1%,migration,traffic,devices_used";
    let run = bench.line(&format!("{TWO} {wishes} -o next.yaml --json"));
    assert_eq!(run.code, 0, "{run:?}");
    let answer = run.json();
    assert_eq!(answer["status"], "optimal", "{answer}");
    assert_eq!(answer["objectives"][1]["name"], "migration");
    assert_eq!(answer["objectives"][3]["value"], json!(2));
    assert_eq!(answer["devices"][1]["headroom_bytes"], json!(512 << 20));
    let file = bench.read("next.yaml");
    for line in ["max_devices: 2", "sends: per_device", "'3%'", "gpu1=512MiB", "current:"] {
        assert!(file.contains(&line.replace('\'', "\"")) || file.contains(line), "{line}: {file}");
    }
    let text = bench.line("check next.yaml");
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.stdout.contains("headroom 3%, gpu1=512MiB; at most 2 devices"), "{text:?}");
    assert!(text.stdout.contains("headroom: gpu0 "), "{text:?}");
    for (from, to) in [
        ("max_devices: 2", "max_devices: 1"),
        ("gpu1=512MiB", "gpu1=12GiB"),
        ("sends: per_device", "sends: per_expert"),
    ] {
        bench.write("changed.yaml", file.replace(from, to));
        assert_eq!(bench.line("check changed.yaml").code, 1, "{to}");
    }
    for (from, to) in [
        ("max_devices: 2", "max_devices: 0"),
        ("gpu1=512MiB", "gpu7=512MiB"),
        ("gpu1=512MiB", "gpu1=100%"),
        ("sends: per_device", "sends: sometimes"),
    ] {
        bench.write("changed.yaml", file.replace(from, to));
        bench.line("check changed.yaml").refuses(&["changed.yaml"]);
    }
}

#[test]
fn nothing_moves_that_need_not() {
    let bench = Bench::new();
    assert_eq!(bench.line(&format!("{TWO} -o now.yaml")).code, 0);
    let wish = "--migrate-from now.yaml --objective migration,peak_utilization:1%,traffic";
    let answer = bench.line(&format!("{TWO} {wish} --json")).json();
    assert_eq!(answer["status"], "optimal", "{answer}");
    assert_eq!(answer["objectives"][0]["value"], json!(0));
    // A longer context on the same machine: only what the cache displaces may move.
    let longer = format!("{TWO} {wish} --context 32768 --json");
    let answer = bench.line(&longer).json();
    assert_eq!(answer["status"], "optimal", "{answer}");
}

#[test]
fn a_limit_on_devices_is_kept_or_blamed() {
    let bench = Bench::new();
    let four =
        "solve mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB --gpu 8GiB --gpu 8GiB";
    let fewest = format!("{four} --objective devices_used,peak_utilization:1%,traffic --json");
    let answer = bench.line(&fewest).json();
    assert_eq!(answer["status"], "optimal", "{answer}");
    assert_eq!(answer["objectives"][0]["value"], json!(2));
    let answer = bench.line(&format!("{four} --max-devices 2 --json")).json();
    assert_eq!(answer["devices"][2]["used_bytes"], json!(0), "{answer}");
    let run = bench.line(&format!("{four} --max-devices 1 --json"));
    assert_eq!(run.code, 1);
    let answer = run.json();
    assert_eq!(answer["conflict"][0], json!({ "kind": "devices_max", "devices": 1 }));
    let lifted = json!({ "kind": "devices_max", "text": "the fewest devices that fit: 1 more",
        "options": "--max-devices 2", "cost": { "kind": "devices", "more": 1 }, "devices": 2 });
    assert_eq!(answer["remedies"][0], lifted, "{answer}");
}

#[test]
fn as_much_headroom_as_fits_is_offered() {
    let bench = Bench::new();
    let run = bench.line(&format!("{TWO} --headroom 40% --headroom gpu1=7GiB --json"));
    assert_eq!(run.code, 1, "{run:?}");
    let answer = run.json();
    let kinds = answer["conflict"].as_array().unwrap().iter();
    let named: Vec<&Value> = kinds.filter(|m| m["kind"] == "headroom").collect();
    let bytes = [("gpu0", 6_700_148_982_u64), ("gpu1", 7 << 30)];
    let expected =
        bytes.map(|(id, bytes)| json!({ "kind": "headroom", "device": id, "bytes": bytes }));
    assert_eq!(named, expected.iter().collect::<Vec<_>>());
    let offer = &answer["remedies"][0];
    assert_eq!(offer["kind"], "headroom", "{answer}");
    let percent = offer["percent"].as_u64().unwrap();
    assert_eq!(offer["cost"], json!({ "kind": "headroom", "percent": 100 - percent }));
    let options = offer["options"].as_str().unwrap();
    assert_eq!(bench.line(&format!("{TWO} {options}")).code, 0);
    // One percent of each more is too much.
    let share = (percent + 1) * 40;
    let bytes = (percent + 1) * (7 << 30) / 100;
    let more = format!("--headroom {}.{:02}% --headroom gpu1={bytes}B", share / 100, share % 100);
    assert_eq!(bench.line(&format!("{TWO} {more}")).code, 1);
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let bench = Bench::new();
    let refuses = |wish: &str, words: &[&str]| bench.line(&format!("{TWO} {wish}")).refuses(words);
    refuses("--headroom 100%", &["100%", "less than 100 %"]);
    refuses("--headroom=-1%", &["-1%"]);
    refuses("--headroom gpu9=1GiB", &["gpu9", "`gpu0`, `gpu1`"]);
    refuses("--headroom 1GiB --headroom 5%", &["5%", "a second one"]);
    refuses("--headroom gpu0=1GiB --headroom gpu0=2GiB", &["gpu0=2GiB", "a second one"]);
    refuses("--headroom 16GiB", &["16GiB", "less than the capacity of `gpu0`"]);
    refuses("--headroom much", &["much"]);
    refuses("--max-devices 0", &["1 to 64"]);
    refuses("--max-devices 65", &["1 to 64"]);
    refuses("--max-devices=-1", &["-1"]);
    refuses("--max-devices two", &["two"]);
    refuses("--sends sometimes", &["sometimes", "per-device"]);
    refuses("--objective migration", &["--migrate-from"]);
    refuses("--migrate-from none.yaml --objective migration", &["none.yaml"]);
    bench.write("map.yaml", "version: 1\n");
    refuses("--migrate-from map.yaml --objective migration", &["map.yaml"]);
    assert_eq!(bench.line(&format!("{TWO} -o now.yaml")).code, 0);
    refuses("--migrate-from now.yaml", &["migration"]);
    let other = "solve qwen3-30b-a3b --quant nf4-dq --gpu 24GiB --gpu 24GiB --objective migration";
    bench.line(&format!("{other} --migrate-from now.yaml")).refuses(&["mixtral-8x7b"]);
    let one = "solve mixtral-8x7b --quant nf4-dq --gpu 40GiB --objective migration";
    bench.line(&format!("{one} --migrate-from now.yaml")).refuses(&["gpu1", "`gpu0`"]);
}
