//! Placements as pages and pictures: well-formed, true, and safe with any name.

mod markup;

use apportion::baseline;
use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::{ComponentKind, Model};
use apportion::objective::{crossings_by_layer, traffic_by_layer};
use apportion::placement::{Placement, Record};
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem};
use apportion::quant::Scheme;
use apportion::report::page::{Page, Replay, html, json, svg};
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::units::{Ratio, grouped};
use apportion::verify::measure;
use serde_json::Value;

use crate::binary::{Bench, golden};
use crate::support::{Random, Tiny};
use markup::{Element, parse};

const THREE: &str = "mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 12GiB --gpu 8GiB";
const BYTES_MAX: usize = 1_500_000;

/// Experts anywhere, the rest on the first device.
fn scattered(problem: &Problem) -> Placement {
    let mut random = Random::new(7);
    let devices = problem.devices.len();
    let home = |kind: ComponentKind, random: &mut Random| {
        if kind == ComponentKind::Expert { random.index(devices) } else { 0 }
    };
    let components = problem.components.iter();
    Placement { device_of: components.map(|c| home(c.demand.id.kind(), &mut random)).collect() }
}

fn scenario(model: &str, gpus: usize, cpu: Option<u64>) -> Scenario {
    Scenario {
        model: Model::from_catalogue(model).unwrap(),
        scheme: Scheme::parse("q4_k_m").unwrap(),
        load: Load::default(),
        hardware: Hardware::from_sizes(&vec![80 << 30; gpus], cpu, 0).unwrap(),
        constraints: Vec::new(),
        default_pins: true,
        limits: Limits::default(),
        objectives: default_objectives(),
    }
}

/// A scattered map under names of one's own, as page, picture and JSON.
fn drawn(
    scenario: &Scenario,
    rename: impl Fn(&mut Record, &mut Problem),
) -> (String, String, Value) {
    let mut problem = scenario.problem().unwrap();
    let placement = scattered(&problem);
    let measured = measure(&problem, &placement).unwrap();
    let mut record = Record::of_map(scenario, &problem, &placement, &measured, "scattered");
    rename(&mut record, &mut problem);
    let page = Page {
        record: &record,
        problem: &problem,
        placement: &placement,
        measured: &measured,
        baselines: &baseline::compare(&problem),
        replay: &Replay::Missing("of \u{202e}a <test>".to_owned()),
    };
    (html(&page), svg(&page), json(&page))
}

/// What no picture may contain, whatever the names in it.
#[track_caller]
fn is_safe(text: &str) {
    let root = parse(text);
    let mut scripts = 0;
    root.each(&mut |element: &Element| {
        scripts += usize::from(element.name == "script");
        for (name, value) in &element.attributes {
            assert!(!name.starts_with("on") && name != "style", "{name}={value}");
            let address = ["src", "href", "action", "data", "poster"].contains(&name.as_str());
            assert!(!address || value == "data:,", "{name}={value}");
            assert!(!value.contains("javascript:"), "{name}={value}");
        }
    });
    assert!(scripts <= 1);
    let known = ["http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"];
    let rest = known.iter().fold(text.to_owned(), |text, address| text.replace(address, ""));
    for address in ["http:", "https:", "://", "@import", "url(\"", "url(h", "url(/"] {
        assert!(!rest.contains(address), "{address}");
    }
    let hidden = |c: &char| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c);
    assert_eq!(text.chars().find(hidden), None);
}

#[test]
fn hostile_names_stay_text() {
    let names = [
        "<script>alert(1)</script>",
        "\" onload=\"alert(1)",
        "' onmouseover='alert(1)",
        "</style><style>*{display:none}</style>",
        "</title></svg><svg onload=alert(1)>",
        "a\nb\r\u{0}\u{1b}[2J\u{202e}dcba\u{2066}\u{200b}\u{ffff}",
        "&lt;b&gt; &#60;script&#62; ]]> -->",
        "javascript:alert(1)",
    ];
    for name in names {
        let (page, picture, told) =
            drawn(&scenario("olmoe-1b-7b-0924", 2, None), |record, problem| {
                name.clone_into(&mut record.scenario.model.name);
                name.clone_into(&mut record.solver);
                name.clone_into(&mut problem.devices[1].id);
            });
        for text in [&page, &picture] {
            let lower = text.to_lowercase();
            assert!(
                !lower.contains("<script>alert") && !lower.contains("onload=\"alert"),
                "{name}"
            );
            // Its name is in it, as text of an element that a reader sees.
            let root = parse(text);
            let title = root.find("title").unwrap().text();
            let seen: String = name.chars().take_while(|c| !c.is_control()).collect();
            assert!(title.starts_with(seen.trim()), "{title} of {name}");
        }
        is_safe(&page.replace("javascript:alert", ""));
        is_safe(&picture.replace("javascript:alert", ""));
        assert_eq!(told["model"], name, "programs get it as it is");
    }
}

#[test]
fn long_names_are_cut() {
    let small = drawn(&scenario("olmoe-1b-7b-0924", 2, None), |_, _| {}).0.len();
    let (page, picture, _) = drawn(&scenario("olmoe-1b-7b-0924", 2, None), |record, problem| {
        record.scenario.model.name = "m".repeat(10_000);
        problem.devices[0].id = "d".repeat(10_000);
    });
    assert!(!page.contains(&"m".repeat(65)) && !picture.contains(&"d".repeat(65)));
    // A name is beside each of its cells, of which there are a thousand, and no more of it than is drawn.
    assert!(page.len() < small + 90 * 1100, "{} and {small}", page.len());
}

#[test]
fn the_largest_maps_are_drawn_in_bounds() {
    for (model, cpu) in [("deepseek-v3", Some(1 << 40)), ("qwen3-235b-a22b", None)] {
        let (page, picture, told) = drawn(&scenario(model, 16, cpu), |_, _| {});
        is_safe(&page);
        is_safe(&picture);
        assert!(page.len() < BYTES_MAX, "{model}: {} bytes", page.len());
        let runs = told["map"]["rows"].as_array().unwrap().iter();
        let runs: usize = runs.map(|row| row["runs"].as_array().unwrap().len()).sum();
        assert!(runs > 10_000, "{runs} runs are scattered");
        assert_eq!(told["map"]["sorted_by_device"], false);
    }
    // More than can be told apart: by device, with every expert still counted.
    let (page, picture, told) = drawn(&scenario("kimi-k2", 63, Some(1 << 41)), |_, _| {});
    is_safe(&page);
    is_safe(&picture);
    assert_eq!(told["map"]["sorted_by_device"], true);
    assert!(page.len() < BYTES_MAX && page.contains("stand by device here"), "{}", page.len());
    let experts = told["map"]["rows"][40]["runs"].as_array().unwrap().iter();
    let experts: u64 = experts
        .filter(|run| run["name"].as_str().unwrap().contains("experts"))
        .map(|run| run["columns"].as_u64().unwrap())
        .sum();
    assert_eq!(experts, 384);
}

/// A solved placement's page, picture and JSON, and the file.
fn solved(bench: &Bench, question: &str) -> (String, String, Value) {
    let solve = bench.line(&format!("solve {question} -o map.yaml"));
    assert_eq!(solve.code, 0, "{solve:?}");
    for name in ["map.html", "map.svg"] {
        let run = bench.line(&format!("report map.yaml -o {name}"));
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run:?}");
        assert_eq!(run.stderr, format!("wrote `{name}`\n"));
    }
    let told = bench.line("report map.yaml --json");
    assert_eq!(told.code, 0);
    (bench.read("map.html"), bench.read("map.svg"), told.json())
}

#[test]
fn every_number_of_the_page_is_the_records() {
    let bench = Bench::new();
    let (page, picture, told) = solved(&bench, THREE);
    is_safe(&page);
    is_safe(&picture);
    let record = Record::from_yaml(&bench.read("map.yaml"), "map.yaml", None).unwrap();
    let root = parse(&page);
    let mut capacities = Vec::new();
    let mut parts: Vec<Vec<(String, u64)>> = Vec::new();
    root.each(&mut |element| {
        if let Some(capacity) = element.get("data-capacity") {
            capacities.push(capacity.parse::<u64>().unwrap());
            parts.push(Vec::new());
        } else if let Some(bytes) = element.get("data-bytes") {
            let purpose = element.get("data-purpose").unwrap().to_owned();
            parts.last_mut().unwrap().push((purpose, bytes.parse().unwrap()));
        }
    });
    assert_eq!(capacities, [24 << 30, 12 << 30, 8 << 30]);
    for (device, (parts, capacity)) in record.devices.iter().zip(parts.iter().zip(&capacities)) {
        assert_eq!(parts.iter().map(|part| part.1).sum::<u64>(), *capacity, "a bar is the device");
        let of =
            |purpose: &str| parts.iter().find(|part| part.0 == purpose).map_or(0, |part| part.1);
        assert_eq!(of("weights"), device.weights_bytes + device.rounding_bytes);
        assert_eq!(of("kv_cache"), device.kv_cache_bytes);
        assert_eq!(of("workspace"), device.workspace_bytes);
        assert_eq!(of("free"), capacity - device.used_bytes);
        for bytes in [device.used_bytes, device.weights_bytes, device.kv_cache_bytes] {
            assert!(page.contains(&format!("<td class=\"r\">{}</td>", grouped(bytes))));
        }
    }
    let expected = record.traffic.expected;
    let sent = told["transfers"]["rows"].as_array().unwrap().iter();
    let units: u64 = sent.map(|row| row["units"].as_u64().unwrap()).sum();
    let denominator = told["transfers"]["units_per_transfer"].as_u64().unwrap();
    assert_eq!(Ratio::new(units, denominator), expected);
    assert_eq!(told["origin"]["problem"], record.problem);
    assert!(page.contains(&record.problem) && page.contains(&record.scenario.model.fingerprint));
    for (objective, told) in record.objectives.iter().zip(told["objectives"].as_array().unwrap()) {
        assert_eq!(told["name"], objective.kind().name());
        assert_eq!(told["bound"].as_f64(), Some(objective.bound.as_f64()));
    }
    every_component_is_drawn_where_it_is(&record, &told);
}

/// Each component is in exactly one run, on its device.
fn every_component_is_drawn_where_it_is(record: &Record, told: &Value) {
    let devices = &record.scenario.hardware.devices;
    let mut homes = record.homes.iter().map(|(id, device)| (id.to_string(), &devices[*device].id));
    let rows = told["map"]["rows"].as_array().unwrap();
    let mut drawn: Vec<(&str, &str)> = rows
        .iter()
        .flat_map(|row| row["runs"].as_array().unwrap())
        .map(|run| (run["name"].as_str().unwrap(), run["device"].as_str().unwrap()))
        .collect();
    assert_eq!(drawn.len(), record.homes.len(), "few experts are drawn one by one");
    drawn.sort_unstable();
    assert!(homes.all(|(id, device)| drawn.binary_search(&(&id, device)).is_ok()));
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    let bench = Bench::new();
    let (page, picture, _) = solved(&bench, "llama-3.2-1b --quant q8_0 --gpu 1GiB --gpu 1GiB");
    for (line, first) in [("report map.yaml", &page), ("report map.yaml --format svg", &picture)] {
        let again = bench.line(line);
        assert_eq!((again.code, again.stderr.as_str()), (0, ""));
        assert_eq!(&again.stdout, first, "stdout has what the file has");
    }
    golden("map.svg", &picture);
}

#[test]
fn what_is_refused_is_not_drawn() {
    let bench = Bench::new();
    solved(&bench, "llama-3.2-1b --quant q8_0 --gpu 1GiB --gpu 1GiB");
    let before = bench.read("map.html");
    let file = bench.read("map.yaml");
    let line = file.lines().find(|line| line.contains("used_bytes")).unwrap();
    bench.write("other.yaml", file.replacen(line, &format!("{line}1"), 1));
    let run = bench.line("report other.yaml -o map.html");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.starts_with("refused: `other.yaml`") && run.stdout.contains("used_bytes"));
    assert_eq!(bench.read("map.html"), before, "what was there stays");
    let run = bench.line("report other.yaml --json");
    assert_eq!((run.code, &run.json()["status"]), (1, &Value::from("refused")));
    let run = bench.line("report map.yaml --model mistral-7b -o map.html");
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("solved for another model"));
    bench.line("report map.yaml -o map.txt").refuses(&["map.txt", ".html or .svg"]);
    bench
        .line("report map.yaml -o map.svg --format html")
        .refuses(&["map.svg", "does not end in .svg"]);
    bench.line("report none.yaml").refuses(&["none.yaml"]);
    assert_eq!(bench.line("report map.yaml -o page.txt --format html").code, 0);
    assert_eq!(bench.read("page.txt"), before);
}

#[test]
fn attention_on_every_device_and_matrices_are_drawn() {
    let bench = Bench::new();
    let (page, picture, told) = solved(
        &bench,
        "olmoe-1b-7b-0924 --quant q4_k_m --gpu 8GiB --gpu 8GiB --attention replicated",
    );
    is_safe(&page);
    is_safe(&picture);
    assert_eq!(told["map"]["rows"][1]["runs"][0]["device"], Value::Null);
    assert!(page.contains("on every device") && page.contains("not known without pair counts"));
    assert!(told["transfers"].is_null());
    let (page, _, told) = solved(
        &bench,
        "mixtral-8x7b --quant nf4-dq --gpu 15.60GiB --gpu 15.60GiB --granularity fused-matrix",
    );
    is_safe(&page);
    let columns = told["map"]["columns"].as_array().unwrap();
    assert!(columns.iter().any(|column| column == "down"), "{columns:?}");
}

#[test]
fn the_policy_allows_this_style_and_this_script_only() {
    let (page, ..) = drawn(&scenario("olmoe-1b-7b-0924", 9, Some(1 << 36)), |_, _| {});
    let root = parse(&page);
    let mut policy = None;
    root.each(&mut |element| {
        if element.get("http-equiv") == Some("Content-Security-Policy") {
            policy = element.get("content").map(str::to_owned);
        }
    });
    let policy = policy.unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.matches("sha256-").count() == 2, "{policy}");
    let before = page.find("<style>").unwrap();
    assert!(page.find("Content-Security-Policy").unwrap() < before, "before what it is about");
}

#[test]
fn what_layers_send_adds_up_to_what_the_placement_sends() {
    let mut random = Random::new(11);
    for layers in [1, 2, 5] {
        for tied in [false, true] {
            let mut tiny = Tiny::new(layers, 3).gpu(1000).gpu(1000).cpu(1000);
            tiny.tied = tied;
            tiny.shared_expert = tied;
            let problem = tiny.problem();
            for _ in 0..50 {
                let device_of = problem.components.iter().map(|_| random.index(3)).collect();
                let placement = Placement { device_of };
                let measured = measure(&problem, &placement).unwrap().traffic;
                let rows = traffic_by_layer(&problem, &placement);
                let sum = |of: fn(&apportion::objective::LayerTraffic) -> u64| {
                    rows.iter().map(of).sum::<u64>()
                };
                assert_eq!(sum(|row| row.hand_overs), measured.hand_overs);
                assert_eq!(sum(|row| row.remote_experts), measured.remote_experts);
                let units = sum(|row| row.sends_units) + measured.hand_overs * measured.denominator;
                assert_eq!(units, measured.units);
            }
        }
    }
}

#[test]
fn crossings_by_layer_add_up() {
    let counts = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/ground-truth/mixtral-routing/humaneval-pairs.json");
    let bench = Bench::new();
    let question = "mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 24GiB --attention replicated";
    let (.., told) = solved(&bench, &format!("{question} --routing {}", counts.display()));
    let record = Record::from_yaml(&bench.read("map.yaml"), "map.yaml", None).unwrap();
    let problem = record.scenario.problem().unwrap();
    let placement = record.placement(&problem).unwrap();
    let rows = crossings_by_layer(&problem, &placement);
    assert_eq!(rows.len(), 31);
    let units: u64 = rows.iter().map(|row| row.1).sum();
    let measured = measure(&problem, &placement).unwrap().value(ObjectiveKind::Crossings);
    assert_eq!(measured, ObjectiveValue::Ratio(Ratio::new(units, problem.traffic_denominator)));
    assert_eq!(told["transfers"]["rows"].as_array().unwrap().len(), 31);
    assert_eq!(told["transfers"]["kind"], "crossings");
}
