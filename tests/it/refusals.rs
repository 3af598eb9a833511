//! Bad input, through the binary: exit status 2, one clear message, nothing half done.

use std::fs::File;

use super::binary::{Bench, Run};

const MACHINE: &str = "--gpu 15.60GiB --gpu 15.60GiB";

/// Runs `solve` on Mixtral with further options.
fn solve_with(bench: &Bench, options: &[&str]) -> Run {
    let mut args = vec!["solve", "mixtral-8x7b", "--quant", "nf4-dq"];
    args.extend(MACHINE.split(' '));
    args.extend(options);
    bench.run(&args)
}

fn solved_file(bench: &Bench) -> String {
    let run = solve_with(bench, &["-o", "map.yaml"]);
    assert_eq!(run.code, 0, "{run:?}");
    bench.read("map.yaml")
}

#[test]
fn unknown_names() {
    let bench = Bench::new();
    let model = bench.line(&format!("solve mixtral-8x7 --quant nf4-dq {MACHINE}"));
    model.refuses(&["mixtral-8x7`", "hint: ", "mixtral-8x7b"]);
    let quant = bench.line(&format!("solve mixtral-8x7b --quant q5_k_l {MACHINE}"));
    quant.refuses(&["q5_k_l", "q5_k_m"]);
    solve_with(&bench, &["--pin", "embedding=gpu7"]).refuses(&["gpu7", "`gpu0`, `gpu1`"]);
    solve_with(&bench, &["--kv-type", "f8"]).refuses(&["f8", "f16"]);
    solve_with(&bench, &["--staging", "disk"]).refuses(&["disk", "host"]);
    solve_with(&bench, &["--objective", "speed"]).refuses(&["speed", "peak_utilization"]);
}

#[test]
fn absurd_numbers() {
    let bench = Bench::new();
    for options in [
        ["--context", "0"],
        ["--context", "18446744073709551615"],
        ["--context", "99999999999999999999999"],
        ["--batch", "0"],
        ["--batch", "18446744073709551615"],
        ["--threads", "0"],
        ["--threads", "1000000"],
        ["--time-limit", "0"],
        ["--time-limit", "NaN"],
        ["--time-limit", "inf"],
        ["--time-limit=-1", "--json"],
        ["--time-limit", "1e300"],
        ["--time-limit", "1e18"],
        ["--time-limit", "soon"],
        ["--context=-1", "--json"],
        ["--context", "4096.0"],
        ["--node-limit", "many"],
        ["--gpu", "0"],
        ["--gpu", "16 gigs"],
        ["--gpu", "99999999TiB"],
        ["--cpu", "0GiB"],
        ["--reserve", "lots"],
        ["--objective", "traffic:1001%"],
        ["--objective", "traffic:-1%"],
        ["--objective", "traffic,traffic"],
        ["--objective", ""],
    ] {
        let run = solve_with(&bench, &options);
        run.refuses(&[]);
    }
    solve_with(&bench, &["--context", "1e3"]).refuses(&["1e3", "expected a whole number"]);
    solve_with(&bench, &["--time-limit", "1e300"]).refuses(&["1e300", "seconds above 0"]);
    solve_with(&bench, &["--gpu=-1GiB"]).refuses(&["-1GiB", "found a negative number"]);
    bench.line("solve mixtral-8x7b --quant nf4").refuses(&["at least one GPU", "hint: "]);
    bench.line("solve mixtral-8x7b --quant nf4 --cpu 1TiB").refuses(&["at least one GPU"]);
    let many = "--gpu 1GiB ".repeat(65);
    bench.line(&format!("solve mixtral-8x7b --quant nf4 {many}")).refuses(&["64"]);
}

#[test]
fn pins_that_do_nothing_or_contradict() {
    let bench = Bench::new();
    let nothing = solve_with(&bench, &["--pin", "layers.32.experts.*=gpu1"]);
    nothing.refuses(&["layers.32.experts.*", "hint: ", "`layers.3"]);
    for text in ["=gpu0", "embedding=", "embedding", "layers.[=gpu0", ""] {
        solve_with(&bench, &["--pin", text]).refuses(&[]);
        solve_with(&bench, &["--forbid", text]).refuses(&[]);
    }
    let two = ["--pin", "layers.3.*=gpu0", "--pin", "layers.*.attention=gpu1"];
    let both = ["--pin layers.3.*=gpu0", "--pin layers.*.attention=gpu1", "layers.3.attention"];
    solve_with(&bench, &two).refuses(&both);
    let forbidden = ["--pin", "output_head=gpu1", "--forbid", "output_head=gpu1"];
    solve_with(&bench, &forbidden).refuses(&["--pin output_head", "--forbid output_head"]);
    let nowhere = ["--forbid", "final_norm=gpu0", "--forbid", "output_head=gpu1"];
    let together = ["--forbid final_norm=gpu0", "--forbid output_head=gpu1", "live together"];
    solve_with(&bench, &nowhere).refuses(&together);
}

#[test]
fn configs_that_lie() {
    let bench = Bench::new();
    let good = r#""model_type":"llama","hidden_size":64,"intermediate_size":128,
        "num_attention_heads":4,"num_key_value_heads":4,"num_hidden_layers":2,"vocab_size":100"#;
    bench.write("config.json", format!("{{{good}}}"));
    let inspect = || bench.line("inspect config.json --quant f16");
    assert_eq!(inspect().code, 0, "{:?}", inspect());
    for (from, to) in [
        ("\"hidden_size\":64,", ""),
        ("64", "\"64\""),
        ("64", "-64"),
        ("64", "0"),
        ("64", "1e300"),
        ("64", "18446744073709551615"),
        ("\"num_hidden_layers\":2", "\"num_hidden_layers\":4294967295"),
        ("\"vocab_size\":100", "\"vocab_size\":9223372036854775807"),
        ("\"llama\"", "\"alpaca\""),
        ("64,", "64,\"hidden_size\":65,"),
        ("{", "["),
        ("}", ""),
    ] {
        bench.write("config.json", format!("{{{good}}}").replace(from, to));
        inspect().refuses(&["config.json"]);
    }
}

#[test]
fn files_that_are_no_text() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("folder")).unwrap();
    bench.write("empty", "");
    bench.write("binary", b"\x7fELF\x02\x01\x01\x00\xff\xfe");
    bench.write("utf16", b"\xff\xfev\0e\0r\0");
    bench.write("marked", "\u{feff}version: 1\n");
    bench.write("list", "[1, 2]\n");
    bench.write("truncated", "version: 1\nmodel:\n  name: [");
    bench.write("deep", "[".repeat(100_000));
    bench.write("bomb", "a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n");
    bench.write("escape", "\u{1b}[2J\u{1b}]0;owned\u{7}: 1\n");
    // A sparse file: it claims 100 GiB and takes no room.
    File::create(bench.path("huge")).unwrap().set_len(100 << 30).unwrap();
    let mut names =
        vec!["folder", "empty", "binary", "truncated", "deep", "bomb", "escape", "huge", "missing"];
    names.extend(["utf16", "marked", "list"]);
    for name in names {
        for line in [
            format!("check {name}"),
            format!("inspect ./{name} --quant f16"),
            format!("solve mixtral-8x7b --quant nf4 --hardware {name}"),
        ] {
            let run = bench.line(&line);
            run.refuses(&[name]);
            assert!(!run.stderr.contains('\u{1b}'), "{line}: escape codes reach the terminal");
            assert!(!run.stderr.contains("struct "), "{line}: names of code reach the user");
        }
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_do_not_hang_it() {
    let bench = Bench::new();
    let made = std::process::Command::new("mkfifo").arg(bench.path("fifo")).status();
    let mut names = vec!["/dev/zero", "/dev/null"];
    if made.is_ok_and(|status| status.success()) {
        names.push("fifo");
    }
    for name in names {
        bench.line(&format!("check {name}")).refuses(&[name]);
        bench.line(&format!("inspect {name} --quant f16")).refuses(&[name]);
        bench.line(&format!("solve mixtral-8x7b --quant f16 --hardware {name}")).refuses(&[name]);
        solve_with(&bench, &["-o", name]).refuses(&[name]);
    }
}

#[test]
fn hardware_files() {
    let bench = Bench::new();
    let gpu = "{id: gpu0, kind: cuda, memory: 16GiB}";
    let file = |devices: &str, rest: &str| {
        format!("version: 1\nnodes:\n  - id: box\n    devices: [{devices}]\n{rest}")
    };
    for (text, word) in [
        (file("", ""), "GPU"),
        (file(gpu, "colour: red\n"), "colour"),
        (file(gpu, "version: 1\n"), "version"),
        (file(&format!("{gpu}, {gpu}"), ""), "gpu0"),
        (file(gpu, "links: [{between: [gpu0, gpu9]}]\n"), "gpu9"),
        (
            file(
                gpu,
                "links: [{between: [gpu0, box], kind: nvlink-4}, {between: [box, gpu0], kind: nvlink-4}]\n",
            ),
            "twice",
        ),
        (file("{id: gpu0, kind: abacus, memory: 16GiB}", ""), "abacus"),
        (file("{id: gpu0, kind: cuda, memory: 16 gigs}", ""), "16 gigs"),
        (file("{id: gpu0, kind: cuda}", ""), "memory"),
        (file(gpu, "").replace("version: 1", "version: 2"), "version"),
    ] {
        bench.write("box.yaml", text);
        let run = bench.line("solve mixtral-8x7b --quant nf4 --hardware box.yaml");
        run.refuses(&["box.yaml", word]);
    }
    for other in ["--gpu 1GiB", "--link pcie-4-x16"] {
        let both =
            bench.line(&format!("solve mixtral-8x7b --quant nf4 --hardware box.yaml {other}"));
        both.refuses(&["--hardware"]);
    }
}

#[test]
fn names_of_devices_and_links() {
    let bench = Bench::new();
    let solve = |rest: &str| bench.line(&format!("solve mixtral-8x7b --quant nf4 {rest}"));
    solve("--gpu rtx4090").refuses(&["--gpu", "rtx4090", "`rtx-4090`"]);
    solve("--gpu gpu0=16GiB").refuses(&["--gpu", "gpu0", "models --hardware"]);
    solve("--gpu rtx-4090=").refuses(&["--gpu"]);
    solve("--gpu m2-ultra").refuses(&["--gpu", "m2-ultra=64GiB"]);
    solve("--gpu ddr5-5600-dual=64GiB").refuses(&["--gpu", "`--cpu`"]);
    solve("--gpu l4 --cpu ddr5-5600-dual").refuses(&["--cpu", "ddr5-5600-dual=64GiB"]);
    solve("--gpu l4 --link pcie4-x16").refuses(&["--link", "`pcie-4-x16`"]);
    solve("--gpu l4 --link 25GB/s").refuses(&["--link", "5us,25GB/s"]);
    solve("--gpu l4 --link=-1us,25GB/s").refuses(&["--link", "-1us"]);
    solve("--gpu l4 --link 1us,0GB/s").refuses(&["--link", "0GB/s"]);
    let sweep = |rest: &str| bench.line(&format!("sweep mixtral-8x7b --quant nf4 {rest}"));
    sweep("--machine 2xrtx4090").refuses(&["`rtx-4090`"]);
    sweep("--machine 2xl4 --link pcie").refuses(&["--link"]);
}

#[test]
fn placements_that_lie() {
    let bench = Bench::new();
    let good = solved_file(&bench);
    let head = "  output_head: gpu1\n";
    assert!(good.contains(head), "{good}");
    for (text, words) in [
        (good.replace(head, ""), ["output_head", "not named"]),
        (good.replace(head, &format!("{head}{head}")), ["output_head", "twice"]),
        (
            good.replace("  final_norm", "  layers.0.experts.3: gpu0\n  final_norm"),
            ["layers.0.experts.3", "twice"],
        ),
        (good.replace(head, "  output_head: gpu9\n"), ["output_head", "gpu9"]),
        (good.replace(head, "  output_heap: gpu1\n"), ["output_heap", "expected"]),
        (
            good.replace("layers.16-31.experts.0-7", "layers.16-31.experts.0-4294967295"),
            ["experts", "more components"],
        ),
        (good.replace("hidden_size: 4096", "hidden_size: 8192"), ["fingerprint", "another model"]),
        (good.replace("name: mixtral-8x7b", "name: llama-3-8b"), ["model.name", "another model"]),
        (
            good.replace("model:\n  name: mixtral-8x7b", "model:"),
            ["map.yaml", "missing field `name`"],
        ),
        (good.replace("version: 1", "version: 2"), ["version", "2"]),
        (good.replace("status:", "mood: good\nstatus:"), ["mood", "map.yaml"]),
        (good.replace("name: peak_utilization", "name: happiness"), ["happiness", "map.yaml"]),
        (good.replace("quantization: nf4-dq", "quantization: q3"), ["q3", "map.yaml"]),
        (good.replace("status: optimal", "status: feasible"), ["limit", "map.yaml"]),
    ] {
        bench.write("map.yaml", text);
        bench.line("check map.yaml").refuses(&words);
    }
}

#[test]
fn a_placement_whose_figures_are_wrong_is_a_plain_no() {
    let bench = Bench::new();
    let good = solved_file(&bench);
    assert_eq!(bench.line("check map.yaml").code, 0);
    assert_eq!(bench.line("check map.yaml --model mixtral-8x7b").code, 0);
    let other = bench.line("check map.yaml --model mistral-7b");
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stdout.contains("another model"), "{other:?}");
    for (from, to, word) in [
        ("hand_overs: 1", "hand_overs: 0", "traffic.hand_overs"),
        ("layers.16-31.router: gpu1", "layers.16-31.router: gpu0", "router"),
        ("capacity_bytes: 16750372454", "capacity_bytes: 12000000000", "gpu"),
        ("context: 4096", "context: 8192", "kv_cache_bytes"),
    ] {
        bench.write("map.yaml", good.replace(from, to));
        let run = bench.line("check map.yaml");
        assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{run:?}");
        assert!(run.stdout.starts_with("refused: ") && run.stdout.contains(word), "{run:?}");
        let json = bench.line("check map.yaml --json");
        assert_eq!((json.code, json.json()["status"].as_str()), (1, Some("refused")));
    }
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing() {
    let bench = Bench::new();
    solve_with(&bench, &["-o", "nowhere/map.yaml"]).refuses(&["nowhere/map.yaml"]);
    std::fs::create_dir(bench.path("folder")).unwrap();
    solve_with(&bench, &["-o", "folder"]).refuses(&["folder"]);
    assert_eq!(bench.files(), ["folder"]);
    let run = bench.line("solve mixtral-8x7b --quant nf4 --gpu 8GiB -o map.yaml");
    assert_eq!(run.code, 1);
    assert_eq!(bench.files(), ["folder"], "no placement, no file");
}
