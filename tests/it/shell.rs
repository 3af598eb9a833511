//! Completions, manual pages and colour.

use std::process::Command;

use super::binary::Bench;

#[test]
fn shells_get_scripts_that_they_can_read() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = bench.run(&["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{shell}");
        assert!(run.stdout.contains("free-default-pins"), "{shell}");
    }
    bench.write("completions.bash", bench.line("completions bash").stdout);
    // What bash would offer after `apportion so`.
    let script = "source ./completions.bash; COMP_WORDS=(apportion so); COMP_CWORD=1; \
                  _apportion apportion so apportion; echo \"${COMPREPLY[@]}\"";
    let offered =
        Command::new("bash").args(["-c", script]).current_dir(bench.path(".")).output().unwrap();
    assert_eq!(String::from_utf8(offered.stdout).unwrap(), "solve\n");
    assert_eq!(bench.line("completions tcsh").code, 2);
}

#[test]
fn every_command_has_a_manual_page() {
    let bench = Bench::new();
    let run = bench.line("man -o pages");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let pages: Vec<&str> = run.stdout.lines().collect();
    let help = bench.line("--help").stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    for command in commands.map(|line| line.split_whitespace().next().unwrap()) {
        if command != "help" {
            assert!(pages.contains(&format!("apportion-{command}.1").as_str()), "{command}");
        }
    }
    let solve = bench.read("pages/apportion-solve.1");
    assert!(solve.contains(".TH") && solve.contains("Usable memory of a GPU"), "{solve}");
    assert_eq!(bench.line("man solve").stdout, solve);
    assert!(bench.line("man").stdout.contains("apportion\\-solve(1)"));
    bench.line("man sovle").refuses(&["manual page `sovle`", "the commands are models"]);
}

#[test]
fn colour_is_for_terminals_unless_asked_for() {
    let bench = Bench::new();
    let line = "solve llama-3.2-1b --quant bf16 --gpu 8GiB";
    let plain = bench.line(line).stdout;
    assert!(!plain.contains('\x1b'));
    let painted = bench.line(&format!("{line} --color always")).stdout;
    assert!(painted.starts_with("\x1b[1;32moptimal:\x1b[0m "), "{painted:?}");
    let error = bench.line("solve no-such-model --color always").stderr;
    assert!(error.starts_with("\x1b[1;31merror:\x1b[0m cannot "), "{error:?}");
    let json = bench.line(&format!("{line} --json --color always"));
    assert!(!json.stdout.contains('\x1b'), "programs read it");
    json.json();
}
