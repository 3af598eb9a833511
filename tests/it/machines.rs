//! Machines by name and from files, from the command line to placement files.

use apportion::hardware::{DeviceKind, Hardware, Link, Spec};
use apportion::scenario::Scenario;

use super::binary::Bench;
use super::scenarios::scenario;

const SOLVE: &str = "solve mixtral-8x7b --quant nf4-dq";

#[test]
fn a_hardware_file_stands_for_sizes() {
    let bench = Bench::new();
    let file = |more: &str| {
        format!(
            "version: 1\nnodes:\n  - id: box\n    devices:\n\
             \x20     - {{id: gpu0, kind: cuda, memory: 15.60GiB}}\n\
             \x20     - {{id: gpu1, kind: cuda, memory: 15.60GiB{more}}}\n"
        )
    };
    bench.write("box.yaml", file(""));
    let run = bench.line(&format!("{SOLVE} --hardware box.yaml -o a.yaml"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert_eq!(bench.line(&format!("{SOLVE} --gpu 15.60GiB --gpu 15.60GiB -o b.yaml")).code, 0);
    assert_eq!(bench.read("a.yaml"), bench.read("b.yaml"), "nothing is known but sizes");
    bench.write("box.yaml", file(", bandwidth: 1TB/s"));
    let run = bench.line(&format!("{SOLVE} --hardware box.yaml -o c.yaml"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let written = bench.read("c.yaml");
    let more = "    node: box\n    bandwidth_bytes_per_second: 1000000000000\n";
    assert!(written.contains(more), "{written}");
    let without = written.replace("    bandwidth_bytes_per_second: 1000000000000\n", "");
    assert_eq!(without.replace("    node: box\n", ""), bench.read("a.yaml"), "and the same answer");
    assert_eq!(bench.line("check c.yaml").code, 0);
}

#[test]
fn names_of_devices_mix_with_sizes() {
    let bench = Bench::new();
    let named = "--gpu rtx-4090 --gpu RTX-3060=11GiB --gpu 8GiB --cpu ddr5-5600-dual=64GiB";
    let solve = "solve mixtral-8x7b --quant q4_k_m --objective peak_utilization,traffic";
    let run = bench.line(&format!("{solve} {named} --link pcie-4-x16 -o named.yaml"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let sizes = "--gpu 24GiB --gpu 11GiB --gpu 8GiB --cpu 64GiB";
    assert_eq!(bench.line(&format!("{solve} {sizes} -o sizes.yaml")).code, 0);
    let written = bench.read("named.yaml");
    let known = ["bandwidth_bytes_per_second: ", "flops: ", "latency_ps: ", "  bytes_per_second: "];
    let is_known = |line: &&str| known.iter().any(|key| line.trim_start().starts_with(key.trim()));
    let is_section = |line: &&str| ["links:", "  default:"].contains(line);
    let lines = written.lines().filter(|line| !is_known(line) && !is_section(line));
    assert_eq!(lines.collect::<Vec<_>>(), bench.read("sizes.yaml").lines().collect::<Vec<_>>());
    for line in [
        "    bandwidth_bytes_per_second: 1008000000000\n    flops: 165200000000000",
        "    bandwidth_bytes_per_second: 360000000000",
        "    bandwidth_bytes_per_second: 89600000000\nlinks:\n  default:\n    latency_ps: 5000000\n",
        "    bytes_per_second: 31500000000\n",
    ] {
        assert!(written.contains(line), "{line}: {written}");
    }
    assert_eq!(bench.line("check named.yaml").code, 0);
}

#[test]
fn what_is_known_of_speeds_decides_which_times_a_problem_has() {
    let times = |hardware: Hardware| {
        let asked = Scenario { hardware, ..scenario("mixtral-8x7b", 2, false) };
        let problem = asked.problem().unwrap();
        [problem.decode.is_some(), problem.prefill.is_some()]
    };
    let gpu = Spec::parse("rtx-4090", DeviceKind::Gpu).unwrap();
    let host = Spec::parse("ddr5-5600-dual=64GiB", DeviceKind::Cpu).unwrap();
    let two = Hardware::from_specs(&[gpu.clone(), gpu.clone()], None, 0).unwrap();
    assert_eq!(times(two.clone()), [false, false], "no link");
    let link = Link::parse("pcie-4-x16").unwrap();
    assert_eq!(times(two.with_default_link(link).unwrap()), [true, true]);
    let spilling = Hardware::from_specs(&[gpu.clone(), gpu.clone()], Some(host), 0).unwrap();
    let spilling = spilling.with_default_link(link).unwrap();
    assert_eq!(times(spilling), [true, false], "what a host computes is not known");
    let half = Hardware::from_specs(&[gpu, Spec::of_size(24 << 30)], None, 0).unwrap();
    assert_eq!(times(half.with_default_link(link).unwrap()), [false, false]);
}
