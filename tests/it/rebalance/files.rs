//! Plans as files: read back as themselves, refused or contradicted when anything in them is not so.

use apportion::migrate::{Changes, Goal, Plan};
use apportion::placement::Record;

use super::super::support::Random;
use super::{next, record, small, solved};

/// A plan with several steps, and the placement it leads to.
fn plan() -> (Plan, Record) {
    for seed in 0.. {
        let mut random = Random::new(seed);
        let Some(here) = solved(&small(&mut random)) else { continue };
        let device = &here.scenario.hardware.devices[0];
        let usable = here.devices[0].used_bytes.saturating_sub(1).max(1);
        if usable > device.capacity_bytes {
            continue;
        }
        let changes = Changes { usable: vec![(device.id.clone(), usable)], ..Changes::default() };
        let Some(there) = record(&next(&here, &changes, Goal::LeastMoved)) else { continue };
        let Ok(plan) = Plan::between(&here, &there, None).unwrap() else { continue };
        if plan.steps.len() >= 2 {
            return (plan, there);
        }
    }
    unreachable!("some small model is tight")
}

fn read(text: &str) -> Result<Plan, String> {
    Plan::from_yaml(text, "plan.yaml", None).map_err(|error| error.to_string())
}

#[test]
fn cut_off_anywhere_it_is_no_plan() {
    let (plan, _) = plan();
    let text = plan.to_yaml();
    assert!(Plan::is_one(&text) && !Plan::is_one(&plan.to.to_yaml()));
    let mut bytes: Vec<usize> = (0..60).map(|part| text.len() * part / 60).collect();
    bytes.extend([text.len() - 2, text.len() - 20]);
    for end in bytes {
        let message = read(&text[..end]).unwrap_err();
        assert!(message.contains("plan.yaml"), "{end}: {message}");
    }
}

#[test]
fn what_is_not_so_is_named() {
    let (plan, _) = plan();
    let text = plan.to_yaml();
    let steps: Vec<&str> = text.lines().filter(|line| line.contains(" -> ")).collect();
    let (first, second) = (steps[0], steps[1]);
    let component = first.trim().trim_start_matches("- \"").split(' ').next().unwrap();
    let refusals = [
        ("apportion: migration-plan", "apportion: map", "expected migration-plan"),
        ("version: 1\ncaches", "version: 2\ncaches", "at version"),
        ("caches: kept", "caches: first", "at caches"),
        ("caches: kept", "caches: soon", "no such word"),
        ("\nsteps:", "\nmore: 1\nsteps:", "more"),
        (first, "  - \"layers.99.attention gpu0 -> gpu1\"", "a component of the model"),
        (first, "  - \"layers.0.attention gpu0 to gpu1\"", "a line such as"),
        (first, "  - \"layers.0.attention gpu0 -> gpu7\"", "a device of the plan"),
        (first, "  - \"nothing gpu0 -> gpu1\"", "the name of a component"),
    ];
    for (from, to, expected) in refusals {
        assert!(text.contains(from), "{from}");
        let message = read(&text.replacen(from, to, 1)).unwrap_err();
        assert!(message.contains(expected), "{to}: {message}");
    }
    let limit = format!("limit_bytes: {}", plan.devices[0].limit_bytes);
    let other = format!("limit_bytes: {}", plan.devices[0].limit_bytes + 1);
    assert!(read(&text.replacen(&limit, &other, 1)).unwrap_err().contains("at devices"));

    // Well-formed, and wrong: the replay says so.
    let replays = |text: &str| read(text).unwrap().replay().unwrap_err();
    assert!(replays(&text.replacen(&format!("{first}\n"), "", 1)).contains("ends at"));
    let twice = text.replacen(second, first, 1);
    assert!(replays(&twice).contains(&format!("step 2 ({component}")), "{}", replays(&twice));
    let parked = format!("{} -> (files)\"", first.rsplit_once(" -> ").unwrap().0);
    assert!(replays(&text.replacen(first, &parked, 1)).contains("given up"));
    let loaded = format!("  - \"{component} (files) -> (host)\"");
    assert!(replays(&text.replacen(first, &loaded, 1)).contains("it is not there"));

    // Right, with other numbers beside it: the differences say so.
    for number in ["moved_bytes", "loaded_bytes", "host_bytes"] {
        let line = text.lines().find(|line| line.starts_with(number)).unwrap();
        let plan = read(&text.replacen(line, &format!("{number}: 12345"), 1)).unwrap();
        let wrong = plan.differences(&plan.replay().unwrap());
        assert!(wrong.len() == 1 && wrong[0].starts_with(number), "{wrong:?}");
    }
    let plan = read(&text.replacen("whole: true", "whole: false", 1)).unwrap();
    assert_eq!(plan.differences(&plan.replay().unwrap()).len(), 1);
}

#[test]
fn placements_that_do_not_belong_together_are_refused() {
    let (plan, there) = plan();
    let message =
        |from: &Record, to: &Record| Plan::between(from, to, None).unwrap_err().to_string();
    // The one it leads to was not solved from itself.
    assert!(message(&there, &there).contains("solved from another"));
    // The one it begins with was not solved from anything.
    assert!(message(&plan.from, &plan.from).contains("one that was not"));
    let other = (0..).find_map(|seed| solved(&small(&mut Random::new(5000 + seed)))).unwrap();
    assert!(message(&other, &there).contains("expected two of"));
    // A map that does not fit is none to begin with.
    let mut over = plan.from.clone();
    let bytes = over.devices[0].used_bytes;
    over.scenario.hardware.devices[0].capacity_bytes = bytes - 1;
    assert!(message(&over, &there).contains("passes the verifier"));
}

#[test]
fn no_change_of_a_character_does_harm() {
    let (plan, _) = plan();
    let text = plan.to_yaml();
    // The plan's own part, and as much of the placements.
    let own = text.find("\n--- # from").unwrap() + 400;
    let mut random = Random::new(7);
    let [mut refused, mut wrong, mut same] = [0; 3];
    for _ in 0..1500 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..random.within(1, 3) {
            let at = random.index(own.min(bytes.len()));
            let with = b" 0123456789gpuh()->:.\"-#\nsxyz"[random.index(29)];
            match random.below(3) {
                0 => bytes[at] = with,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, with),
            }
        }
        let changed = String::from_utf8(bytes).unwrap();
        match read(&changed) {
            Err(message) => {
                assert!(message.contains("plan.yaml"), "{message}");
                refused += 1;
            }
            Ok(plan) => match plan.replay() {
                Ok(replayed) if plan.differences(&replayed).is_empty() => same += 1,
                _ => wrong += 1,
            },
        }
    }
    assert!(refused > 500 && wrong > 10 && same > 5, "{refused} {wrong} {same}");
}
