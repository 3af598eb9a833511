//! What is written for other programs.

use super::super::binary::golden;
use super::{change, ci, filled, solved};

#[test]
fn junit_counts_names_and_explains() {
    let bench = filled();
    change(
        &bench,
        "expectations.yaml",
        "    gpus: [1GiB, 1GiB]\n",
        "    gpus: [1GiB, 1GiB]\n    reserve: 64MiB\n",
    );
    assert_eq!(ci(&bench, &["--junit", "report.xml"]).code, 1);
    let xml = bench.read("report.xml");
    let head =
        "<testsuite name=\"expectations\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">";
    assert!(xml.contains(head), "{xml}");
    assert!(xml.contains("    <testcase name=\"mixtral\" classname=\"expectations\"/>\n"), "{xml}");
    assert!(
        xml.contains(
            "<failure type=\"constraint changed\" message=\"objectives.peak_utilization: "
        ),
        "{xml}"
    );
    assert!(
        xml.contains("why: constraint changed: reserve of gpu0 from 0 B to 64.00 MiB"),
        "{xml}"
    );
    ci(&bench, &["--junit", "none/report.xml"]).refuses(&["none/report.xml"]);
}

#[test]
fn texts_for_people() {
    let bench = filled();
    golden("ci-pass.txt", &ci(&bench, &[]).stdout);
    golden("ci-expectations.yaml", &bench.read("expectations.yaml"));
    change(
        &bench,
        "small/config.json",
        "\"intermediate_size\": 8192",
        "\"intermediate_size\": 8448",
    );
    change(
        &bench,
        "expectations.yaml",
        "    gpus: [15.60GiB, 15.60GiB]\n",
        "    gpus: [15.60GiB, 15.60GiB]\n    reserve: 512MiB\n",
    );
    let fail = ci(&bench, &[]);
    assert!(fail.stdout.lines().all(|line| line.chars().count() <= 80), "{}", fail.stdout);
    golden("ci-fail.txt", &fail.stdout);
    golden("ci-update.txt", &ci(&bench, &["--update"]).stdout);
}

#[test]
fn an_output_is_never_the_input() {
    let bench = solved();
    let (text, map) = (bench.read("expectations.yaml"), bench.read("map.yaml"));
    ci(&bench, &["--junit", "./expectations.yaml"]).refuses(&["another file", "the same"]);
    assert_eq!(bench.read("expectations.yaml"), text);
    let run = bench.line("report map.yaml --format html -o ./map.yaml");
    run.refuses(&["another file", "the same"]);
    assert_eq!(bench.read("map.yaml"), map);
}
