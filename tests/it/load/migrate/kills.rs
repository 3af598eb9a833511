//! Programs that are ended on the way, at any moment.

use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use apportion::load::migrate::Position;

use super::runs::{generated, planned, weights};
use super::*;

#[test]
fn whatever_ends_a_program_the_next_one_goes_on_from_its_journal() {
    let bench = planned();
    let text = bench.read("plan.yaml");
    let plan = Plan::from_yaml(&text, "plan.yaml", None).unwrap();
    let wanted = generated(&bench, &["--max-tokens", "12"])["tokens"].clone();
    let mut random = Random::new(7);
    let mut positions = Vec::new();
    for run in 0..12 {
        let journal = bench.path("journal");
        let _ = fs::remove_file(&journal);
        let mut child = Command::new(env!("CARGO_BIN_EXE_apportion"))
            .args(["generate", "map.yaml", "--weights", &weights(), "--threads", "1"])
            .args(["--prompt-ids", "1,5,17", "--max-tokens", "100"])
            .args(["--migrate", "plan.yaml", "--journal", "journal"])
            .current_dir(bench.path("."))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Ended in the midst of it: after so many lines of its journal, and a random moment.
        for _ in 0..10_000 {
            let lines = fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
            if lines > run || child.try_wait().unwrap().is_some() {
                break;
            }
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_micros(random.below(3000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let position = Position::read(&journal, &plan).unwrap();
        positions.push(position.done);
        let on = ["--max-tokens", "12", "--plan", "plan.yaml"];
        assert_eq!(generated(&bench, &on)["tokens"], wanted, "the old placement");
        let on = [&on[..], &["--journal", "journal"]].concat();
        assert_eq!(generated(&bench, &on)["tokens"], wanted, "{position:?}");
        // And it can be finished from there.
        let migrate = [&on[..], &["--migrate", "plan.yaml"]].concat();
        assert_eq!(generated(&bench, &migrate)["tokens"], wanted, "{position:?}");
    }
    positions.sort_unstable();
    positions.dedup();
    assert!(positions.len() >= 3, "{positions:?}");
}
