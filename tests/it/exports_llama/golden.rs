//! Flags for several maps as golden files, and what cannot be said.

use crate::binary::{Bench, golden};

/// A question, wishes for its answer, options of the export.
const MAPS: [(&str, &str, &str); 4] = [
    (
        "two-gpus",
        "mixtral-8x7b --quant q4_k_m --gpu 16GiB --gpu 16GiB --cpu 64GiB --granularity fused-matrix",
        "",
    ),
    (
        "spilled",
        "mixtral-8x7b --quant q4_k_m --gpu 12GiB --cpu 64GiB --granularity experts --pin layers.*.attention=gpu0 \
         --context 8192 --batch 2 --kv-type q8_0",
        "--device-name gpu0=Vulkan0",
    ),
    (
        "servers",
        "mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 24GiB --cpu 64GiB --granularity experts \
         --pin layers.?.attention=gpu1 --pin layers.1?.attention=gpu0 --pin layers.2?.attention=gpu0 \
         --pin layers.3?.attention=gpu0 --pin output_head=gpu0 --pin layers.[0-2]*.experts.*=gpu0 \
         --pin layers.31.experts.*=cpu",
        "--rpc gpu0=192.168.0.2:50052 --rpc gpu1=node-b:50052",
    ),
    ("dense", "llama-3.2-1b --quant q8_0 --gpu 4GiB --cpu 8GiB --granularity layer", ""),
];

#[test]
fn flags_of_maps() {
    let bench = Bench::new();
    for (name, question, options) in MAPS {
        let solved = bench.line(&format!("solve {question} --runtime llama.cpp -o p.yaml"));
        assert_eq!(solved.code, 0, "{solved:?}");
        let run = bench.line(&format!("export p.yaml --to llama.cpp {options}"));
        assert_eq!(run.code, 0, "{run:?}");
        golden(&format!("export/llama.cpp-{name}.txt"), &run.stdout);
        // The same words as an array, in a file beside and in JSON.
        let run = bench.line(&format!("export p.yaml --to llama.cpp {options} -o flags.txt"));
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run:?}");
        let argv: Vec<String> = serde_json::from_str(&bench.read("flags.argv.json")).unwrap();
        assert_eq!(argv.first().map(String::as_str), bench.read("flags.txt").split(' ').next());
        // What was written is read back as the same map.
        let check = bench.line(&format!("check --from llama.cpp flags.txt --model {question} --runtime llama.cpp {options} --json"));
        let value = check.json();
        assert_eq!(check.code, 0, "{check:?}");
        assert!(value["status"] == "valid" || value["valid"] == true, "{value}");
    }
}

#[test]
fn what_llama_cpp_cannot_be_told_is_refused_with_a_way_out() {
    let bench = Bench::new();
    let cases = [
        (
            "granite-3.0-1b-a400m --quant q8_0 --gpu 4GiB --gpu 4GiB --cpu 8GiB",
            "--pin layers.3.experts.5=gpu1",
            "--granularity fused-matrix",
        ),
        (
            "olmoe-1b-7b-0924 --quant q4_k_m --gpu 8GiB --cpu 8GiB --granularity experts",
            "--pin layers.1*.attention=gpu0 --pin layers.9.attention=cpu --pin layers.0.attention=gpu0",
            "--forbid 'layers.*.attention=cpu'",
        ),
        (
            "olmoe-1b-7b-0924 --quant q4_k_m --gpu 4GiB --gpu 4GiB --cpu 8GiB --granularity experts",
            "--pin layers.0.attention=gpu0 --pin layers.1.attention=gpu1 --pin layers.2.attention=gpu0",
            "--objective",
        ),
        (
            "gemma-3-1b --quant q8_0 --gpu 4GiB --gpu 4GiB --cpu 8GiB",
            "--pin layers.*.attention=gpu0 --pin output_head=cpu",
            "--pin output_head=gpu0",
        ),
    ];
    for (question, wishes, way_out) in cases {
        let solved =
            bench.line(&format!("solve {question} {wishes} --runtime llama.cpp -o p.yaml"));
        assert_eq!(solved.code, 0, "{solved:?}");
        let run = bench.line("export p.yaml --to llama.cpp");
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
        assert!(run.stderr.starts_with("refused: llama.cpp cannot hold `"), "{run:?}");
        assert!(run.stderr.contains(way_out), "{run:?}");
    }
}

#[test]
fn plans_for_other_engines_and_files_are_no_plans_for_it() {
    let bench = Bench::new();
    for (question, words) in [
        ("mixtral-8x7b --quant q4_k_m --gpu 40GiB", ["by its rules", "--runtime llama.cpp"]),
        (
            "mixtral-8x7b --quant nf4 --gpu 40GiB --runtime llama.cpp",
            ["GGUF files", "--quant q4_k_m"],
        ),
    ] {
        assert_eq!(bench.line(&format!("solve {question} -o p.yaml")).code, 0);
        bench.line("export p.yaml --to llama.cpp").refuses(&words);
    }
}

#[test]
fn names_of_devices_are_checked_before_they_are_written() {
    let bench = Bench::new();
    let question = "llama-3.2-1b --quant q8_0 --gpu 4GiB --gpu 4GiB --cpu 8GiB --runtime llama.cpp";
    assert_eq!(bench.line(&format!("solve {question} -o p.yaml")).code, 0);
    for (option, value, word) in [
        ("--rpc", "gpu0=a;rm -rf:1", "a server"),
        ("--rpc", "gpu0=host", "a server"),
        ("--rpc", "gpu9=host:1", "gpu9"),
        ("--device-name", "gpu0=CUDA0,CUDA1", "a name"),
        ("--device-name", "gpu0=$(id)", "a name"),
        ("--device-name", "gpu0=CUDA1", "one device of that name"),
    ] {
        bench.run(&["export", "p.yaml", "--to", "llama.cpp", option, value]).refuses(&[word]);
        bench.run(&["export", "p.yaml", "--to", "csv", option, value]).refuses(&["--to llama.cpp"]);
    }
}

/// Command lines of others: what they mean is said, or why they are not followed.
#[test]
fn foreign_flags_are_named_where_they_are_not_followed() {
    let bench = Bench::new();
    let question = "--model mixtral-8x7b --quant q4_k_m --runtime llama.cpp --granularity fused-matrix --gpu 24GiB --gpu 24GiB --cpu 64GiB";
    for (flags, words) in [
        (
            "-ngl 33 -ts 1,1 -ot 'ffn_.*_exps=CUDA7' -c 4096",
            vec!["CUDA7", "a buffer type of this question"],
        ),
        ("-ngl 33 -ot 'blk\\.(?!1)=CPU' -c 4096", vec!["a negative lookahead"]),
        ("-ngl 33 -ot '(a)\\1=CPU' -c 4096", vec!["a backreference"]),
        ("-ngl 33 -sm row", vec!["-sm row", "split over devices"]),
        ("-ngl 33 -sm tensor", vec!["-sm tensor"]),
        ("-ngl 33 -c 8192", vec!["8192", "--context 8192"]),
        ("-ngl 33 -ctk q8_0", vec!["q8_0", "--kv-type"]),
        ("-ngl 33 -np 4", vec!["--batch 4"]),
        ("-ngl 33 -fa off", vec!["flash_attention"]),
        ("-ngl 33 -ub 1024", vec!["micro_batch_tokens: 1024"]),
        ("-c 4096", vec!["llama.cpp chooses itself"]),
        ("-ngl 33 --gpu-layer 3", vec!["--gpu-layer", "did you mean"]),
        ("-ngl 33 -ot 'blk.3.attn_q=CPU'", vec!["layers.3.attention", "where its cache is"]),
        ("-ngl 33 -ot token_embd=CUDA0", vec!["token_embd.weight", "on the host"]),
        ("-ngl 33 -dev CUDA0 -ot exps=CUDA1", vec!["CUDA1", "-dev"]),
        ("-ngl 33 -dev CUDA9", vec!["CUDA9"]),
        ("--rpc a:1,b:1,c:1 -ngl 33", vec!["--rpc"]),
        ("-m $MODEL -ngl 33", vec!["which a shell acts upon"]),
        ("-ngl 33 -ot \"a", vec!["closing"]),
    ] {
        bench.write("flags.txt", flags);
        let mut args = vec!["check", "--from", "llama.cpp", "flags.txt"];
        args.extend(question.split_whitespace());
        bench.run(&args).refuses(&words);
    }
}
