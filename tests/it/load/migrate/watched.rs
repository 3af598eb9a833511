//! Memory logs, and `watch` beside them.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use apportion::load::memory::trace_memory;
use apportion::trace::{HEAD, Reader};
use serde_json::Value;

use super::super::super::binary::Bench;
use super::runs::{planned, run};
use super::*;

#[test]
fn a_trace_says_what_ledgers_say() {
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let (mut decoder, _) = wanted.decoder(&wanted.record(&scattered(1, 2)), Mode::Concurrent);
    decoder.add_host(2, 7, 1).unwrap();
    let now = trace_memory(&decoder.placed().devices, "now");
    assert_eq!((now.label.as_str(), now.devices.len()), ("now", 3));
    for (device, traced) in decoder.placed().devices.iter().zip(&now.devices) {
        let balance = device.ledger.balance();
        assert_eq!((&traced.id, traced.used_bytes()), (&device.id, balance.bytes()));
        assert_eq!(traced.weights_bytes, balance.weights_bytes());
        assert_eq!(traced.budget_bytes, device.ledger.budget_bytes());
        assert_eq!((traced.backing.as_str(), traced.driver), ("cpu", None));
    }
    assert_eq!(now.devices[2].id, "host");
}

fn logged() -> Bench {
    let bench = planned();
    let more = ["--prompt-ids", "1,5", "--max-tokens", "30", "--migrate", "plan.yaml"];
    let generated = run(&bench, "generate", &[&more[..], &["--memory-log", "log"]].concat());
    assert_eq!(generated.code, 0, "{generated:?}");
    bench
}

#[test]
fn a_log_is_watched_to_its_end_and_beside_what_was_planned() {
    let bench = logged();
    let moments = Reader::whole(&bench.read("log")).unwrap();
    let labels: Vec<&str> = moments.iter().map(|moment| moment.label.as_str()).collect();
    assert_eq!(labels[..4], ["bind before", "bind after", "load before", "load after"]);
    assert!(moments.is_sorted_by_key(|moment| moment.at));
    let run = bench.line("watch map.yaml --log log --json");
    assert_eq!(run.code, 0, "{run:?}");
    let line: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(line["label"], "end");
    assert!(line["devices"][0]["planned_bytes"].is_u64());
    let text = bench.line("watch map.yaml --log log").stdout;
    assert!(text.contains("  end  gpu0 ") && text.contains(" planned; gpu1 "), "{text}");
    let over = bench.line("watch map.yaml --log log --above gpu1=10% --json");
    assert_eq!(over.code, 1, "{over:?}");
    let line: Value = serde_json::from_str(&over.stdout).unwrap();
    assert_eq!(line["passed"], serde_json::json!(["gpu1"]));
    assert_eq!(line["label"], "load after");
    assert_eq!(bench.line("watch map.yaml --log log --above 150%").code, 0);
}

#[test]
fn half_a_line_is_waited_for() {
    let bench = logged();
    let text = bench.read("log");
    let end = text.trim_end().rfind('\n').unwrap() + 30;
    bench.write("growing", &text[..end]);
    let child = Command::new(env!("CARGO_BIN_EXE_apportion"))
        .args(["watch", "map.yaml", "--log", "growing", "--interval", "20ms", "--json"])
        .current_dir(bench.path("."))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(500));
    let mut out = OpenOptions::new().append(true).open(bench.path("growing")).unwrap();
    out.write_all(&text.as_bytes()[end..]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "one before the rest came, one after: {lines:?}");
    assert!(!lines[0].contains("\"end\"") && lines[1].contains("\"end\""), "{lines:?}");
}

#[test]
fn what_cannot_be_watched_is_named() {
    let bench = logged();
    let log = bench.read("log");
    let watch = |more: &str| bench.line(&format!("watch map.yaml {more}"));
    watch("").refuses(&["--log <FILE>", "--nvml"]);
    watch("--log none").refuses(&["none", "no such file"]);
    watch("--log map.yaml").refuses(&["at line 1", "the head of a memory log"]);
    watch("--log log --above x").refuses(&["a share or a size"]);
    watch("--log log --above gpu7=5%").refuses(&["gpu7", "gpu0, gpu1"]);
    watch("--log log --interval 1").refuses(&["--interval"]);
    watch("--log log --interval 1us").refuses(&["1 ms at least"]);
    watch("--log log --device gpu0=1").refuses(&["it with --nvml"]);
    let lines: Vec<&str> = log.lines().collect();
    let damaged = [HEAD, lines[1], &lines[2][..50], lines[3]].join("\n") + "\n";
    bench.write("damaged", &damaged);
    watch("--log damaged").refuses(&["at line 3", "a whole moment"]);
    assert!(Reader::whole(&damaged[..damaged.len() - 20]).is_err());
    #[cfg(not(feature = "nvml"))]
    watch("--nvml").refuses(&["a build with the feature `nvml`", "--log"]);
    // Where there is a driver this would go on until it is ended.
    #[cfg(feature = "nvml")]
    if !fs::exists("/dev/nvidiactl").unwrap() {
        watch("--nvml").refuses(&["NVML"]);
    }
    fs::remove_file(bench.path("damaged")).unwrap();
}
