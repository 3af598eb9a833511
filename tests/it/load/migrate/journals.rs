//! What moved, on the disk.

use std::fs;
use std::path::Path;

use apportion::load::migrate::{Journal, Migrator, Position};

use super::*;

fn example() -> (Wanted, Plan) {
    plan_between(&Wanted::new("tiny-mixtral", 2).quant("f32"), [1, 2], 1_000_000).unwrap()
}

fn read(path: &Path, plan: &Plan) -> Result<(usize, bool), String> {
    let position = Position::read(path, plan).map_err(|error| error.to_string())?;
    Ok((position.done, position.begun))
}

#[test]
fn every_step_is_on_the_disk_before_and_after_it_and_any_part_of_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (wanted, plan) = example();
    let (mut decoder, _) = wanted.decoder(&plan.from, Mode::Concurrent);
    let migrator = Migrator::new(plan.clone(), 0, &mut decoder, 1).unwrap();
    let mut migrator = migrator.with_journal(Journal::open(&path, &plan, 0).unwrap());
    assert_eq!(read(&path, &plan), Ok((0, false)));
    for step in 1..=4 {
        migrator.step(&mut decoder).unwrap();
        assert_eq!(read(&path, &plan), Ok((step, false)));
    }
    drop(migrator);
    let whole = fs::read(&path).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let cut = folder.path().join("cut");
    // The head is long and all alike.
    let head = text.find('\n').unwrap();
    for end in (0..head).step_by(17).chain(head - 1..=whole.len()) {
        fs::write(&cut, &whole[..end]).unwrap();
        // All of a line but its end is a line.
        let is_whole = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        let lines = text[..end].lines().filter(is_whole).count();
        let steps = lines.saturating_sub(1);
        assert_eq!(read(&cut, &plan), Ok((steps / 2, steps % 2 == 1)), "{end}");
        // Somebody goes on from there, and is ended at once, or begins a step.
        let journal = Journal::open(&cut, &plan, steps / 2).unwrap();
        assert_eq!(read(&cut, &plan), Ok((steps / 2, false)), "{end}");
        drop(journal);
        let resumed = fs::read(&cut).unwrap();
        let cuts = (end..resumed.len()).filter(|at| (at - end) % 7 == end % 7);
        for end in cuts.filter(|_| end < head || end % 5 == 0) {
            fs::write(&cut, &resumed[..end]).unwrap();
            assert_eq!(read(&cut, &plan).unwrap().0, steps / 2, "{end}");
            Journal::open(&cut, &plan, steps / 2).unwrap();
            assert_eq!(read(&cut, &plan), Ok((steps / 2, false)), "{end}");
        }
    }
    let error = Journal::open(&path, &plan, 0).unwrap_err();
    assert!(error.to_string().contains("4 steps are done of, as the journal says"), "{error}");
    assert!(error.hint_text().unwrap().contains("--plan"), "{error:?}");
    let before = fs::read(&path).unwrap();
    assert_eq!(before, whole, "a journal that is refused stays as it was");
}

#[test]
fn a_step_that_was_refused_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (wanted, plan) = example();
    let (mut decoder, _) = wanted.decoder(&plan.from, Mode::Concurrent);
    let migrator = Migrator::new(plan.clone(), 0, &mut decoder, 1).unwrap();
    let mut migrator = migrator.with_journal(Journal::open(&path, &plan, 0).unwrap());
    let Place::Device(to) = plan.steps[0].to else { panic!("{:?}", plan.steps[0]) };
    let ledger = std::sync::Arc::clone(&decoder.placed().devices[to].ledger);
    let budget = ledger.budget_bytes();
    ledger.set_budget(0);
    migrator.step(&mut decoder).unwrap_err();
    assert_eq!(read(&path, &plan), Ok((0, true)));
    ledger.set_budget(budget);
    while migrator.step(&mut decoder).unwrap().is_some() {}
    assert_eq!(read(&path, &plan), Ok((plan.steps.len(), false)));
}

#[test]
fn what_is_damaged_or_of_another_plan_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (_, plan) = example();
    drop(Journal::open(&path, &plan, 0).unwrap());
    let head = fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = plan.steps.iter().map(|step| plan.line(step)).collect();
    let begin = |step: usize, line: &str| format!("{{\"begin\":{step},\"move\":\"{line}\"}}\n");
    let done = |step: usize| format!("{{\"done\":{step}}}\n");
    let first = begin(1, &lines[0]) + &done(1);
    for (rest, words) in [
        (begin(2, &lines[1]), "at line 2: expected what can come next"),
        (begin(1, &lines[1]), "where the plan has"),
        (done(1), "something else after 0 steps"),
        (first.clone() + &done(1), "something else after 1 step"),
        (first.clone() + &begin(1, &lines[0]), "something else after 1 step"),
        (first.clone() + "{\"resume\":0}\n", "something else after 1 step"),
        (first.clone() + "{\"done\":2,\"begin\":2}\n", "something else"),
        (first.clone() + "{}\n", "something else"),
        (first.clone() + "{\"done\":-1}\n" + &done(1), "at line 4: expected a whole line"),
        (first.clone() + "{\"do\n" + &begin(2, &lines[1]), "at line 4: expected a whole line"),
        (first.clone() + "[[[[\n" + &head + &begin(2, &lines[1]), "at line 4: expected a whole"),
        (first.clone() + "\n" + &begin(2, &lines[1]), "at line 4: expected a whole line"),
    ] {
        fs::write(&path, head.clone() + &rest).unwrap();
        let message = read(&path, &plan).unwrap_err();
        assert!(message.contains(words), "{rest}: {message}");
        assert!(Journal::open(&path, &plan, 1).is_err());
    }
    for (text, words) in [
        ("{}\n{}\n".to_owned(), "at line 1: expected the head"),
        ("apportion: 1\n".to_owned(), "at line 1: expected the head"),
        (head.replace("journal", "diary"), "`migration-diary`, version 1"),
        (head.replace("\"version\":1", "\"version\":7"), "version 7"),
        (head.replace("\"steps\":", "\"steps\":1"), "the journal of this plan"),
        (head.replace("\"plan\":\"", "\"plan\":\"f"), "the journal of this plan"),
    ] {
        fs::write(&path, text).unwrap();
        let message = read(&path, &plan).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
    assert!(read(&folder.path().join("none"), &plan).unwrap_err().contains("no such file"));
    assert!(read(folder.path(), &plan).unwrap_err().contains("a regular file"));
}
