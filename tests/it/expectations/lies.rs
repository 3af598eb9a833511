//! Bad input: named, with the case and the key, and nothing worse.

use super::super::binary::Bench;
use super::ci;

/// A case under a name, broken in one way, beside one that holds.
fn beside_a_good_one(case: &str) -> Bench {
    let bench = Bench::new();
    let good = "{name: good, model: mixtral-8x7b, quantization: nf4-dq, machine: 2x15.60GiB, expect: {status: optimal}}";
    bench.write("expectations.yaml", format!("version: 1\ncases:\n  - {case}\n  - {good}\n"));
    bench
}

/// Cases, and what is said of them.
const BROKEN: &[(&str, &[&str])] = &[
    (
        "{name: a, model: mixtral-8x7, gpus: 2GiB, expect: {}}",
        &["`mixtral-8x7`", "key `model` of case `a`", "did you mean `mixtral-8x7b`"],
    ),
    (
        "{name: a, model: none/config.json, gpus: 2GiB, expect: {}}",
        &["none/config.json", "key `model`", "no such file"],
    ),
    (
        "{name: a, modell: mixtral-8x7b, expect: {}}",
        &["`modell`", "case `a`", "did you mean `model`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_x, gpus: 2GiB, expect: {}}",
        &["key `quantization`", "q4_x"],
    ),
    ("{name: a, model: mixtral-8x7b, gpus: 2GiB, expect: {}}", &["key `quantization`", "--quants"]),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, expect: {}}",
        &["`gpus`, `machine` or `hardware`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, machine: 2x2GiB, expect: {}}",
        &["key `gpus`", "`machine` too"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 99999999TiB, expect: {}}",
        &["key `gpus`", "more than 1024 PiB"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, machine: 65x1GiB, expect: {}}",
        &["key `machine`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, context: 18446744073709551615, expect: {}}",
        &["case `a`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, context: -1, expect: {}}",
        &["key `context`", "whole number"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, max_devices: 0, expect: {}}",
        &["key `max_devices`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, pins: [nothing], expect: {}}",
        &["key `pins`", "no `=`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, granularity: half, expect: {}}",
        &["key `granularity`", "fused_matrix"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, objectives: [speed], expect: {}}",
        &["key `objectives`", "traffic"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, time_limit: 3, expect: {}}",
        &["`time_limit`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB}",
        &["key `expect`", "expect: {}"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, expect: {stats: 1}}",
        &["`stats`", "did you mean `status`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, expect: {status: good}}",
        &["expect.status", "infeasible"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, expect: {objectives: {trafic: 1}}}",
        &["did you mean `traffic`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, expect: {objectives: {traffic: much}}}",
        &["expect.objectives.traffic", "`much`"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, expect: {objectives: {traffic: {under: 1}}}}",
        &["`under`", "at_most"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, expect: {devices: {gpu0: {used: x}}}}",
        &["expect.devices.gpu0"],
    ),
    (
        "{name: a, model: mixtral-8x7b, quantization: q4_0, gpus: 2GiB, expect: {facts: 1}}",
        &["expect.facts"],
    ),
    ("{name: a, placement: none.yaml}", &["key `placement`", "none.yaml"]),
    ("{name: a, placement: none.yaml, gpus: 2GiB}", &["`gpus`"]),
    ("{name: good, placement: x}", &["good"]),
    ("{model: x}", &["`name` of case 1", "nothing"]),
    ("{name: \"\", model: x}", &["`name` of case 1", "1 to 200"]),
    ("{name: [a], model: x}", &["`name` of case 1", "a list"]),
    ("only text", &["case 1", "text"]),
];

#[test]
fn a_broken_case_is_named_and_the_others_are_still_asked() {
    for (case, words) in BROKEN {
        let bench = beside_a_good_one(case);
        let run = ci(&bench, &[]);
        assert_eq!((run.code, run.stderr.as_str()), (2, ""), "{case}: {run:?}");
        let text = run.stdout.replace("\n  ", " ");
        assert!(text.contains("could not be asked"), "{case}: {text}");
        for word in *words {
            assert!(text.contains(word), "no `{word}` for {case}: {text}");
        }
        let good = usize::from(!case.contains("name: good"));
        assert_eq!(text.matches("\nPASS  ").count(), good, "{case}: {text}");
        assert_eq!(ci(&bench, &["--json"]).json()["errors"], 2 - good);
        let before = bench.read("expectations.yaml");
        assert_eq!(ci(&bench, &["--update", "--only", "good"]).code, if good == 1 { 0 } else { 2 });
        assert!(
            bench
                .read("expectations.yaml")
                .starts_with(before.split("- {name: good").next().unwrap())
        );
    }
}

#[test]
fn what_is_no_file_of_expectations_is_refused() {
    let bench = Bench::new();
    for (text, words) in [
        ("", &["empty"][..]),
        ("[]", &["expectations.yaml", "a list"]),
        ("version: 2\ncases: []", &["version", "expected 1, found 2"]),
        ("cases: []", &["version", "none"]),
        ("version: 1", &["cases", "nothing"]),
        ("version: 1\ncases: 3", &["cases", "a number"]),
        ("version: 1\ncases: []", &["cases", "at least one", "none"]),
        ("version: 1\ncases: []\nextra: 1", &["`extra`"]),
        ("version: 1\ndefaults: {quantisation: x}\ncases: []", &["defaults", "`quantization`"]),
        ("version: 1\ndefaults: {name: x}\ncases: []", &["defaults", "`name`"]),
        ("version: 1\ncases:\n  - &a {name: x}\n  - *a", &["an anchor"]),
        ("version: 1\ncases: [{name: x, name: y}]", &["appears twice"]),
        ("version: 1\ncases: [[[[[[", &["line "]),
    ] {
        bench.write("expectations.yaml", text);
        ci(&bench, &[]).refuses(words);
    }
    bench.write("expectations.yaml", format!("version: 1\ncases: [{}]", "{},".repeat(10_001)));
    ci(&bench, &[]).refuses(&["at most 10000", "10001"]);
    bench.write(
        "expectations.yaml",
        format!("version: 1\ncases:\n{}", "  - {}\n".repeat(1_000_000)),
    );
    ci(&bench, &[]).refuses(&["at most 4.00 MiB"]);
    bench.write("expectations.yaml", format!("version: 1\ncases:\n{}", "- a\n".repeat(900_000)));
    ci(&bench, &[]).refuses(&["500 thousand"]);
    bench.line("ci none.yaml").refuses(&["none.yaml", "no such file"]);
}

#[test]
fn names_cannot_drive_a_terminal_or_be_markup() {
    let name = "\\e[2J<b>&'\\\"]]>\\u202e\\x01 \\ufffe";
    let case = format!("{{name: \"{name}\", model: \"<i>\\u0007\", gpus: 1GiB, expect: {{}}}}");
    let bench = beside_a_good_one(&case);
    let run = ci(&bench, &["--junit", "report.xml"]);
    assert_eq!(run.code, 2, "{run:?}");
    let safe = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}');
    assert!(safe(&run.stdout), "{run:?}");
    assert!(run.stdout.contains("\\u{1b}[2J<b>&'"), "{run:?}");
    let xml = bench.read("report.xml");
    assert!(safe(&xml) && !xml.contains("<b>") && !xml.contains("<i>"), "{xml}");
    assert!(xml.contains("name=\"\\u{1b}[2J&lt;b&gt;&amp;&apos;&quot;]]&gt;"), "{xml}");
    assert!(!xml.contains('\u{fffe}'), "{xml}");
}
