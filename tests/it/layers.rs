//! Who may know whom, and how long things may be: the architecture, read from the sources.

use std::fs;
use std::path::{Path, PathBuf};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 400;

/// What may be named where: words, and the beginnings of the paths that may use them.
///
/// Test modules are read like the rest except for files and clocks, which tests may use.
const HOMES: [(&[&str], &[&str]); 8] = [
    (&["candle_core", "candle_nn", "half::", "bytemuck", "tokenizers::"], &["src/load/"]),
    (&["good_lp::", "microlp::", "good_lp;", "microlp;"], &["src/plan/solver/"]),
    (&["clap"], &["src/cli/", "src/main.rs"]),
    (&["crate::cli", "apportion::"], &["src/cli/", "src/main.rs"]),
    (
        &["std::fs", "std::env", "env::var("],
        &["src/files.rs", "src/files/", "src/build.rs", "src/cli/"],
    ),
    (&["std::process"], &["src/files.rs", "src/cli/", "src/main.rs"]),
    (
        &["Instant", "SystemTime"],
        &["src/plan/search.rs", "src/plan/solver/", "src/cli/", "src/load/calibrate/"],
    ),
    (&["HashMap", "HashSet"], &[]),
];

/// Which rooms must not name which: the left ones none of the right ones.
const STRANGERS: [(&[&str], &[&str]); 11] = [
    // Facts know nothing of what is decided with them.
    (
        &[
            "dtype",
            "checkpoint",
            "model",
            "quant",
            "routing",
            "runtime",
            "memory",
            "hardware",
            "trace",
        ],
        &["plan", "scenario", "verify", "placement"],
    ),
    // What is in a file is read without an opinion of what should be.
    (&["dtype", "checkpoint"], &["model", "quant", "memory", "hardware", "problem"]),
    // Objectives are below whoever plans for them and whoever checks.
    (
        &["objective", "program"],
        &["plan", "verify", "scenario", "placement", "baseline", "remedy", "yaml", "files"],
    ),
    // The planner sees the problem, never what it was made from.
    (&["plan"], &["scenario", "quant", "placement", "baseline", "remedy", "yaml", "files"]),
    // The checker shares nothing with what it checks.
    (&["verify"], &["plan", "scenario", "placement", "quant", "baseline", "remedy"]),
    // How problems are made is the case's business, how they are decided the caller's.
    (&["remedy", "baseline"], &["plan", "scenario"]),
    // What asks the planner many times sees problems, never what they were made from.
    (
        &["frontier", "sensitivity"],
        &["scenario", "model", "quant", "placement", "baseline", "remedy"],
    ),
    // A replay knows a recorded map, never how it was found or whether it is right.
    (&["simulate"], &["plan", "verify", "baseline", "remedy", "sweep", "yaml"]),
    // What is said of a map to others, or heard from them, is neither how it was found nor how it is printed.
    (&["export", "import"], &["plan", "baseline", "remedy", "sweep", "simulate", "files"]),
    // Whoever plans knows nothing of the runtime.
    (
        &[
            "plan",
            "verify",
            "scenario",
            "placement",
            "baseline",
            "remedy",
            "sweep",
            "export",
            "import",
            "memory",
            "model",
            "routing",
            "simulate",
            "report",
            "trace",
        ],
        &["load"],
    ),
    // What people read is made last.
    (
        &[
            "dtype",
            "checkpoint",
            "model",
            "quant",
            "routing",
            "runtime",
            "memory",
            "hardware",
            "problem",
            "program",
            "objective",
            "plan",
            "verify",
            "scenario",
            "placement",
            "baseline",
            "remedy",
            "sweep",
            "frontier",
            "sensitivity",
            "simulate",
            "expectations",
            "trace",
            "export",
            "import",
            "files",
            "yaml",
            "strict",
            "nearest",
            "error",
            "units",
        ],
        &["report"],
    ),
];

struct Source {
    /// From the root of the crate, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// The lines of code above the tests, without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().take_while(|line| *line != "#[cfg(test)]");
        lines.filter(|line| !line.trim_start().starts_with("//"))
    }

    fn is_in(&self, room: &str) -> bool {
        let rest = self.path.strip_prefix("src/").and_then(|path| path.strip_prefix(room));
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        // The fuzz targets are a crate of their own, which is built in its own folder.
        if path.ends_with("fuzz/target") || path.ends_with("fuzz/artifacts") {
            continue;
        }
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Every text file of the folders and files named, as far as they are there.
fn sources(names: &[&str], extension: Option<&str>) -> Vec<Source> {
    let mut files = Vec::new();
    for name in names.iter().map(|name| root().join(name)).filter(|path| path.exists()) {
        if name.is_dir() { collect(&name, &mut files) } else { files.push(name) }
    }
    let wanted =
        |path: &PathBuf| extension.is_none_or(|e| path.extension().is_some_and(|x| x == e));
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(root()).unwrap().display().to_string();
        let text = String::from_utf8(fs::read(&path).unwrap()).ok()?;
        Some(Source { path: relative.replace('\\', "/"), text })
    };
    files.into_iter().filter(wanted).filter_map(read).collect()
}

fn rust() -> Vec<Source> {
    let all = sources(&["src", "tests", "benches"], Some("rs"));
    assert!(all.len() > 80, "only {} files were found", all.len());
    all
}

/// Fails with every finding, so that one run shows all there is to mend.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn what_only_some_files_may_use_is_used_nowhere_else() {
    let mut found = Vec::new();
    for source in rust().iter().filter(|source| source.path.starts_with("src/")) {
        for (words, homes) in HOMES {
            if homes.iter().any(|home| source.path.starts_with(home)) {
                continue;
            }
            let names = |line: &&str| words.iter().any(|word| line.contains(word));
            found
                .extend(source.code().filter(names).map(|line| format!("{}: {line}", source.path)));
        }
    }
    none(&found);
}

#[test]
fn no_room_names_a_room_it_must_not_know() {
    let mut found = Vec::new();
    for source in rust() {
        for (rooms, strangers) in STRANGERS {
            if !rooms.iter().any(|room| source.is_in(room)) {
                continue;
            }
            let names = |line: &&str| {
                strangers.iter().any(|room| line.contains(&format!("crate::{room}::")))
            };
            found
                .extend(source.code().filter(names).map(|line| format!("{}: {line}", source.path)));
        }
    }
    none(&found);
}

/// An objective's file holds its exact value and its linear form; that is all they share.
#[test]
fn the_planner_does_not_evaluate_and_the_checker_does_not_state() {
    let mut found = Vec::new();
    for (room, word) in [("plan", ".evaluate("), ("verify", ".linear("), ("plan", "chance")] {
        for source in rust().iter().filter(|source| source.is_in(room)) {
            let lines = source.code().filter(|line| line.contains(word));
            found.extend(lines.map(|line| format!("{}: {line}", source.path)));
        }
    }
    none(&found);
}

#[test]
fn the_checker_counts_in_integers() {
    let checks = |source: &Source| source.is_in("verify") || source.is_in("objective");
    let checker = rust().into_iter().filter(checks);
    let found = checker.flat_map(|source| {
        let floating = |line: &&str| ["f32", "f64"].iter().any(|word| line.contains(word));
        let found: Vec<String> = source.code().filter(floating).map(str::to_owned).collect();
        found
    });
    none(&found.collect::<Vec<_>>());
}

/// Cargo.toml denies it everywhere; only a file that says what makes it sound may allow it.
#[test]
fn one_file_alone_is_unsafe() {
    let home = "src/load/weights/blocks.rs";
    let all = rust();
    let others = all.iter().filter(|source| source.path.starts_with("src/") && source.path != home);
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let allows = |line: &&str| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == "unsafe" || word == "unsafe_code")
    };
    let mut found = Vec::new();
    for source in others {
        let lines = source.text.lines().filter(is_code).filter(allows);
        found.extend(lines.map(|line| format!("{}: {line}", source.path)));
    }
    none(&found);
}

#[test]
fn every_file_says_what_it_is_and_is_about_one_thing() {
    let mut found = Vec::new();
    for source in rust() {
        if !source.text.starts_with("//! ") {
            found.push(format!("{}: no heading", source.path));
        }
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!("{}: {lines} lines", source.path));
        }
    }
    none(&found);
}

#[test]
fn functions_fit_on_a_page() {
    let mut found = Vec::new();
    for source in rust() {
        for (name, lines) in functions(&source.text) {
            if lines > FUNCTION_LINES_MAX {
                found.push(format!("{}: `{name}` has {lines} lines", source.path));
            }
        }
    }
    none(&found);
    let example = "fn a() {}\n\npub(super) fn b(\n    x: u8,\n) -> u8 {\n    x\n}\n";
    assert_eq!(functions(example), [("a", 1), ("b", 5)], "the measure itself");
}

/// Every function with its lines: formatted code closes it at the depth where it begins.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some((before, after)) = code.split_once("fn ") else { continue };
        let modifier = |word: &str| {
            word.starts_with("pub") || ["const", "async", "unsafe", "extern"].contains(&word)
        };
        let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        if name.is_empty() || !before.split_whitespace().all(modifier) {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let closes = |line: &&str| {
            let rest = line.strip_prefix(indent).unwrap_or(" ");
            !rest.starts_with(' ') && rest.ends_with(['}', ';'])
        };
        let length = lines[at..].iter().position(closes).map_or(lines.len() - at, |last| last + 1);
        functions.push((name, length));
    }
    functions
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    // Put together here, so that this file does not contain what it looks for.
    let folders = ["home", "root", "Users", "tmp", "work", "var/folders"];
    let local: Vec<String> = folders.iter().map(|folder| ["/", folder, "/"].concat()).collect();
    let places = [
        "src",
        "tests",
        "benches",
        "models",
        ".ci",
        ".github",
        ".pre-commit-hooks.yaml",
        "README.md",
        "CHANGELOG.md",
        "Cargo.toml",
        ".clippy.toml",
        ".rustfmt.toml",
    ];
    let mut found = Vec::new();
    for source in sources(&places, None) {
        // What follows a host or another name is an address, not a folder of this machine.
        let starts = |line: &str, word: &str| {
            line.match_indices(word).any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}$".contains(c))
            })
        };
        let names = |line: &&str| local.iter().any(|word| starts(line, word));
        found.extend(source.text.lines().filter(names).map(|l| format!("{}: {l}", source.path)));
    }
    none(&found);
}
