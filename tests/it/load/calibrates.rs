//! `calibrate` as a user runs it: what it writes is a machine that `solve` plans for.

use apportion::hardware::Hardware;

use super::super::binary::Bench;

/// Two devices in CPU memory with a thread each, and no more time than it takes.
const LINE: &str = "calibrate --gpu 300MiB --gpu 256MiB --device gpu0=cpu --device gpu1=cpu --threads 1 \
                    --types q4_k --seconds 0";

#[test]
fn a_calibrated_machine_can_be_planned_for() {
    let bench = Bench::new();
    let run = bench.line(&format!("{LINE} -o box.yaml"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    for words in ["gpu0 (cpu)", "read q4_k", "compute", "gpu0 - gpu1", "latency", "bandwidth"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    let solved = bench.line(
        "solve mixtral-8x7b --quant q4_k_m --objective decode_latency --hardware box.yaml --json",
    );
    // 28 GB do not fit; that it is said shows that the file was read.
    assert_eq!(solved.code, 1, "{solved:?}");
}

#[test]
fn figures_and_file_can_be_one_object() {
    let bench = Bench::new();
    let run = bench.line(&format!("{LINE} --json"));
    assert_eq!(run.code, 0, "{run:?}");
    let value = run.json();
    let text = value["hardware"].as_str().unwrap();
    let hardware = Hardware::from_yaml(text, "hardware").unwrap();
    let sizes: Vec<u64> = hardware.devices.iter().map(|device| device.capacity_bytes).collect();
    assert_eq!(sizes, [300 << 20, 256 << 20]);
    for (index, device) in value["devices"].as_array().unwrap().iter().enumerate() {
        let measured = device["bytes_per_second"]["q4_k"]["median"].as_u64().unwrap();
        let stated = hardware.speed(index).unwrap();
        assert_eq!(stated.bytes_per_second, stated.reading("q4_k"));
        // Three digits of it.
        assert!(stated.bytes_per_second.abs_diff(measured) <= measured / 100);
        assert!(stated.flops.is_some());
    }
    assert!(hardware.link(0, 1).is_ok());
    assert!(bench.files().is_empty(), "nothing was written");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let bench = Bench::new();
    for (more, words) in [
        ("--types iq4_nl", &["measure the type `iq4_nl`", "q4_k"][..]),
        ("--types q4_k,q4_k", &["it twice"]),
        ("--types=", &["measure the type"]),
        ("--link 5us,1GB/s", &["links to be measured"]),
        ("--device gpu7=cpu", &["gpu7"]),
        ("--threads 0", &["start threads"]),
        ("-o none/box.yaml", &["none/box.yaml", "a folder around it that exists"]),
        ("--seconds x", &["expected a whole number"]),
    ] {
        let line = "calibrate --gpu 300MiB --device gpu0=cpu";
        bench.line(&format!("{line} {more}")).refuses(words);
    }
    bench.line("calibrate --gpu 100MiB --device gpu0=cpu").refuses(&["matrices to measure with"]);
    bench.line("calibrate").refuses(&["at least one GPU"]);
    assert!(bench.files().is_empty(), "nothing was written");
}
