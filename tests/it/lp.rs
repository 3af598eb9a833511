//! LP files: what another solver reads in them is the program, under names that none can misread.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use apportion::plan::{Formulation, Program, Sense, stage_program};
use apportion::problem::ObjectiveKind;

use crate::binary::Bench;
use crate::support::{Random, Tiny};

/// A program as read from a file by the rules of the format, and nothing else.
#[derive(Debug, Default)]
struct Read {
    /// Rows by name, the objective under `objective`: terms by column, sense, right-hand side.
    rows: Vec<(String, BTreeMap<String, i64>, &'static str, i64)>,
    /// Lower and upper bound; unbounded is the largest number.
    bounds: BTreeMap<String, (i64, i64)>,
    whole: BTreeSet<String>,
}

/// Sections, then rows as `name: terms sense rhs` over any number of lines.
fn read(text: &str) -> Read {
    let mut read = Read::default();
    let mut section = "";
    let mut words: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('\\')) {
        assert!(line.len() < 4_000, "a line of {} characters", line.len());
        match line {
            "Minimize" | "Subject To" | "Bounds" | "General" | "End" => {
                read.take(&mut words);
                section = line;
            }
            _ => {
                let begins_row = line.contains(':');
                if begins_row || section == "Bounds" || section == "General" {
                    read.take(&mut words);
                }
                words.extend(line.split_whitespace());
                match section {
                    "Bounds" => read.bound(&std::mem::take(&mut words)),
                    "General" => assert!(read.whole.insert(std::mem::take(&mut words).concat())),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(section, "End");
    read
}

impl Read {
    fn take(&mut self, words: &mut Vec<&str>) {
        let words = std::mem::take(words);
        let Some((name, mut rest)) = words.split_first() else { return };
        let name = name.strip_suffix(':').unwrap();
        let mut terms = BTreeMap::new();
        while let [sign @ ("+" | "-"), factor, column, more @ ..] = rest {
            let factor: i64 = format!("{}{factor}", sign.trim_matches('+')).parse().unwrap();
            assert!(
                terms.insert((*column).to_owned(), factor).is_none(),
                "{column} twice in {name}"
            );
            rest = more;
        }
        if let ["0", column, more @ ..] = rest {
            terms.insert((*column).to_owned(), 0);
            rest = more;
        }
        let (sense, rhs) = match rest {
            ["<=", rhs] => ("<=", rhs.parse().unwrap()),
            ["=", rhs] => ("=", rhs.parse().unwrap()),
            [] => ("objective", 0),
            other => panic!("{name}: {other:?}"),
        };
        self.rows.push((name.to_owned(), terms, sense, rhs));
    }

    fn bound(&mut self, words: &[&str]) {
        let (name, bounds) = match *words {
            [low, "<=", name, "<=", high] => (name, (low.parse().unwrap(), high.parse().unwrap())),
            [name, "=", value] => (name, (value.parse().unwrap(), value.parse().unwrap())),
            [name, ">=", low] => (name, (low.parse().unwrap(), i64::MAX)),
            ref other => panic!("{other:?}"),
        };
        assert!(self.bounds.insert(name.to_owned(), bounds).is_none(), "{name} bounded twice");
    }
}

/// Letters, digits, `_` and `.`, a letter first, no number in disguise, not too long, no keyword.
fn assert_legal(name: &str) {
    let first = name.chars().next().unwrap();
    assert!(first.is_ascii_alphabetic(), "{name}");
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c)), "{name}");
    assert!(name.len() < 255, "{name}");
    let second = name.chars().nth(1);
    let number = "eE".contains(first) && second.is_none_or(|c| c.is_ascii_digit() || c == '.');
    assert!(!number, "{name} may be read as a number");
    let keywords = ["free", "inf", "infinity", "bounds", "general", "end", "st", "binary", "max"];
    assert!(!keywords.contains(&name.to_lowercase().as_str()), "{name}");
}

/// What is read is what was stated, variables and rows in the same order.
fn assert_same(program: &Program, read: &Read) {
    let columns: Vec<&String> = read.bounds.keys().collect();
    for name in &columns {
        assert_legal(name);
    }
    let constant = usize::from(program.objective_constant != 0);
    assert_eq!(columns.len(), program.variables.len() + constant);
    let (objective, rows) = read.rows.split_first().unwrap();
    assert_eq!(rows.len(), program.rows.len());
    let names: BTreeSet<&String> = rows.iter().map(|row| &row.0).collect();
    assert_eq!(names.len(), rows.len(), "two rows with one name");
    for name in &names {
        assert_legal(name);
    }
    for (stated, (_, terms, sense, rhs)) in program.rows.iter().zip(rows) {
        assert_eq!((*rhs, *sense == "="), (stated.rhs, stated.sense == Sense::Eq));
        let mut factors: Vec<i64> = stated.terms.iter().map(|term| term.1).collect();
        let mut found: Vec<i64> = terms.values().copied().filter(|&f| f != 0).collect();
        factors.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, factors, "{}", stated.name);
        // The devices of these problems have legal names, so columns keep theirs.
        for &(var, factor) in &stated.terms {
            assert_eq!(terms.get(&program.variables[var.index()].name), Some(&factor));
        }
    }
    let constant = objective.1.get("objective_constant").copied().unwrap_or(0);
    assert_eq!(constant, program.objective_constant);
    for v in &program.variables {
        let high = v.upper.map_or(i64::MAX, i64::from);
        assert_eq!(read.bounds.get(&v.name), Some(&(i64::from(v.lower), high)));
        assert_eq!(read.whole.contains(&v.name), v.integer);
    }
}

#[test]
fn the_files_say_what_the_programs_are() {
    let mut random = Random::new(21);
    let kinds = [ObjectiveKind::SpillBytes, ObjectiveKind::PeakUtilization, ObjectiveKind::Traffic];
    for _ in 0..60 {
        let problem = random.tiny().problem();
        for (formulation, kind) in [Formulation::Counts, Formulation::Textbook]
            .into_iter()
            .flat_map(|f| kinds.map(|k| (f, k)))
        {
            let program = stage_program(&problem, formulation, &[], kind).unwrap();
            assert_same(&program, &read(&program.to_string()));
        }
    }
}

/// Device names may be anything by the time they get here.
#[test]
fn names_stay_legal_and_apart_whatever_the_devices_are_called() {
    let mut problem = Tiny::new(2, 2).gpus(4, 30).cpu(50).problem();
    let hostile = ["a b", "a-b", "<= 3", "\n End\n", &"x".repeat(1_000)];
    for (device, name) in problem.devices.iter_mut().zip(hostile) {
        name.clone_into(&mut device.id);
    }
    for formulation in [Formulation::Counts, Formulation::Textbook] {
        let kind = ObjectiveKind::Traffic;
        let program = stage_program(&problem, formulation, &[], kind).unwrap();
        let read = read(&program.to_string());
        read.bounds.keys().for_each(|name| assert_legal(name));
        read.rows.iter().for_each(|row| assert_legal(&row.0));
        assert_eq!(read.rows.len(), program.rows.len() + 1);
        assert!(read.bounds.len() >= program.variables.len());
    }
}

const QUESTION: &str = "solve mixtral-8x7b --quant nf4-dq";
const FITS: &str = "--gpu 15.60GiB --gpu 15.60GiB";

/// Names and texts of the files in a folder of the bench.
fn files(bench: &Bench, folder: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(bench.path(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn solve_writes_every_stage_under_the_caps_it_had() {
    let bench = Bench::new();
    let run = bench.line(&format!("{QUESTION} {FITS} --json --write-lp lp/new"));
    assert_eq!(run.code, 0, "{run:?}");
    let objectives = run.json()["objectives"].clone();
    let counts = files(&bench, "lp/new");
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["1-peak_utilization.lp", "2-traffic.lp"]);
    let line = |file: &str, start: &str| {
        let text = &counts[file];
        let line = text.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("no `{start}` in {file}")).to_owned()
    };
    let peak = &objectives[0];
    let claim = line("1-peak_utilization.lp", "\\ apportion ");
    assert_eq!(claim, format!("\\ apportion {} {}", peak["optimum"], peak["bound"]));
    let cap = line("2-traffic.lp", "\\ under peak_utilization ");
    assert_eq!(cap, format!("\\ under peak_utilization {}", peak["cap"]));
    // One transfer is eight units of an eighth.
    assert_eq!(line("2-traffic.lp", "\\ apportion "), "\\ apportion 8 8");
    // The cap is in the rows too: less than the capacity, which is what the first stage has.
    let limit = |file: &str| {
        let read = read(&counts[file]);
        read.rows.iter().find(|row| row.0 == "capacity_gpu0").unwrap().3
    };
    assert!(limit("2-traffic.lp") < limit("1-peak_utilization.lp"));
}

#[test]
fn the_textbook_program_is_written_without_solving_it() {
    let bench = Bench::new();
    let run =
        bench.line(&format!("{QUESTION} {FITS} --write-lp lp --lp-formulation textbook --json"));
    assert_eq!(run.code, 0, "{run:?}");
    let textbook = files(&bench, "lp");
    assert_eq!(textbook.len(), 2);
    let read = read(&textbook["2-traffic.lp"]);
    // 32 layers of 8 experts and an attention block, embedding and head; layer 0's experts and the embedding
    // are pinned to the first of two devices.
    assert_eq!(read.whole.iter().filter(|name| name.starts_with("layers.")).count(), 2 * 288 - 8);
    assert!(read.whole.contains("layers.31.experts.7.gpu1"));
    assert!(!read.whole.contains("layers.0.experts.7.gpu1"));
}

#[test]
fn without_a_placement_the_first_stage_is_written() {
    let bench = Bench::new();
    let run = bench.line(&format!("{QUESTION} --gpu 8GiB --gpu 8GiB --write-lp lp"));
    assert_eq!(run.code, 1, "{run:?}");
    let files = files(&bench, "lp");
    assert_eq!(files.keys().collect::<Vec<_>>(), ["1-peak_utilization.lp"]);
    assert!(!files["1-peak_utilization.lp"].contains("\\ apportion"));
}

#[test]
fn what_cannot_be_written_or_solved_is_refused_first() {
    let bench = Bench::new();
    bench.write("file", "x");
    bench.line(&format!("{QUESTION} {FITS} --write-lp file")).refuses(&["file", "a folder"]);
    bench.line(&format!("{QUESTION} {FITS} --write-lp file/lp")).refuses(&["file/lp"]);
    let alone = bench.line(&format!("{QUESTION} {FITS} --lp-formulation textbook"));
    alone.refuses(&["--write-lp"]);
    bench.line(&format!("{QUESTION} {FITS} --solver cplex")).refuses(&["cplex", "microlp"]);
    assert_eq!(bench.files(), ["file"]);
}

#[cfg(not(feature = "highs"))]
#[test]
fn a_solver_that_was_not_built_in_says_how_to_build_it() {
    let bench = Bench::new();
    for command in ["solve", "compare", "fit --find gpus"] {
        let line = format!("{command} mixtral-8x7b --quant nf4-dq {FITS} --solver highs");
        bench.line(&line).refuses(&["highs", "hint: ", "--features highs"]);
    }
    let sweep = "sweep mixtral-8x7b --quants nf4-dq --machine 2x24GiB --solver highs";
    bench.line(sweep).refuses(&["highs", "hint: ", "--features highs"]);
}

#[cfg(feature = "highs")]
#[test]
fn the_solver_that_was_asked_is_recorded() {
    let bench = Bench::new();
    let run = bench.line(&format!("{QUESTION} {FITS} --solver highs -o map.yaml"));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("by highs"), "{run:?}");
    assert!(bench.read("map.yaml").contains("name: highs"));
    assert_eq!(bench.line("check map.yaml").code, 0);
}
