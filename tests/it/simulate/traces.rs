//! What PyTorch's allocator really did, event by event, and traces that are none.

use std::path::{Path, PathBuf};

use apportion::simulate::{Comparison, Trace, TraceEvent};

use crate::binary::Bench;

fn traces() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch-traces");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    files.sort();
    files
}

#[test]
fn the_models_do_what_the_real_allocator_did() {
    let (mut events, mut fails, mut growing) = (0, 0, 0);
    for path in traces() {
        let trace = Trace::read(&path).unwrap();
        assert_eq!(trace.compare(), Comparison::Equal, "{}", path.display());
        events += trace.events.len();
        fails +=
            trace.events.iter().filter(|event| matches!(event, TraceEvent::Fail { .. })).count();
        growing += usize::from(trace.expandable_segments);
    }
    assert!(events > 20_000 && fails > 100 && growing > 5, "{events} {fails} {growing}");
}

/// One byte more or less somewhere, and it is found there.
#[test]
fn a_trace_that_was_changed_differs_where_it_was_changed() {
    let text = "{\"apportion_trace\":1,\"source\":\"x\",\"expandable_segments\":false,\"total_bytes\":25165824}\n\
                {\"alloc\":7,\"bytes\":1000,\"reserved\":2097152,\"allocated\":1024}\n\
                {\"fail\":30000000,\"reserved\":2097152,\"allocated\":1024}\n\
                {\"free\":7,\"reserved\":2097152,\"allocated\":0}\n\
                {\"end\":3,\"peak_reserved\":2097152,\"peak_allocated\":1024}\n";
    let bench = Bench::new();
    bench.write("good.jsonl", text);
    let good = bench.line("simulate --trace good.jsonl");
    assert_eq!((good.code, good.stderr.as_str()), (0, ""));
    assert!(
        good.stdout.starts_with("equal: the model torch has what x had after each of 3 events")
    );
    assert_eq!(bench.line("simulate --trace good.jsonl --json").json()["equal"], true);
    for (from, to, event) in [
        ("\"bytes\":1000", "\"bytes\":1025", 1),
        ("\"fail\":30000000", "\"fail\":20971520", 2),
        ("\"total_bytes\":25165824", "\"total_bytes\":125165824", 2),
        ("\"expandable_segments\":false", "\"expandable_segments\":true", 0),
        ("{\"free\":7,\"reserved\":2097152", "{\"free\":7,\"reserved\":2000000", 3),
    ] {
        bench.write("changed.jsonl", text.replace(from, to));
        let run = bench.line("simulate --trace changed.jsonl");
        if event == 0 {
            assert_eq!(run.code, 0, "small requests and one that is too large: the same for both");
            continue;
        }
        assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{to}: {run:?}");
        assert!(run.stdout.contains(&format!("after event {event} of 3")), "{to}: {run:?}");
        let json = bench.line("simulate --trace changed.jsonl --json");
        assert_eq!(json.code, 1);
        assert_eq!(json.json()["difference"]["event"], event);
    }
}

#[test]
fn what_is_no_trace_is_refused_with_the_line() {
    const HEAD: &str = "{\"apportion_trace\":1,\"source\":\"x\",\"expandable_segments\":false,\"total_bytes\":99999999}\n";
    const ALLOC: &str = "{\"alloc\":1,\"bytes\":10,\"reserved\":2097152,\"allocated\":512}\n";
    const END: &str = "{\"end\":1,\"peak_reserved\":2097152,\"peak_allocated\":512}\n";
    let bench = Bench::new();
    let refused = |text: &str, words: &[&str]| {
        bench.write("t.jsonl", text);
        bench.line("simulate --trace t.jsonl").refuses(words);
    };
    refused("\n", &["only blanks"]);
    refused("no JSON", &["line 1", "the head of a trace"]);
    refused("{}", &["line 1", "missing field"]);
    refused(&HEAD.replace(":1,", ":2,"), &["line 1", "apportion_trace 1", "found 2"]);
    refused(&HEAD.replace("99999999", "9999999999999999999"), &["line 1", "1024 PiB"]);
    refused(HEAD, &["`end` as the last", "the file was cut"]);
    refused(&format!("{HEAD}{ALLOC}"), &["none after 1 events"]);
    refused(&format!("{HEAD}{}", &ALLOC[..30]), &["line 2"]);
    refused(&format!("{HEAD}{ALLOC}{ALLOC}{END}"), &["line 3", "not in use", "found 1"]);
    refused(
        &format!("{HEAD}{{\"free\":1,\"reserved\":0,\"allocated\":0}}\n{END}"),
        &["line 2", "a number that was handed out"],
    );
    refused(&format!("{HEAD}{ALLOC}{}", END.replace(":1,", ":2,")), &["line 3", "1 events"]);
    refused(&format!("{HEAD}{ALLOC}{}", END.replace(":512", ":513")), &["line 3", "peaks of"]);
    refused(&format!("{HEAD}{ALLOC}{END}{END}"), &["line 4", "nothing after the end"]);
    refused(
        &format!("{HEAD}{}{END}", ALLOC.replace(":512", ":9999999")),
        &["line 2", "allocated <="],
    );
    refused(&format!("{HEAD}{}{END}", ALLOC.replace("2097152", "999999999")), &["line 2", "total"]);
    refused(&format!("{HEAD}{}{END}", ALLOC.replace("\"bytes\":10,", "")), &["`bytes` beside"]);
    refused(&format!("{HEAD}{}{END}", ALLOC.replace(":10", ":-10")), &["line 2"]);
    refused(&format!("{HEAD}{}{END}", ALLOC.replace('{', "{\"free\":1,")), &["one of alloc"]);
    refused(&format!("{HEAD}{}{END}", ALLOC.replace('{', "{\"more\":1,")), &["unknown field"]);
    bench.line("simulate --trace missing.jsonl").refuses(&["missing.jsonl"]);
    bench.line("simulate").refuses(&["required"]);
    bench.line("simulate --trace t.jsonl --advise").refuses(&["cannot be used with"]);
}
