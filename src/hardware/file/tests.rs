//! Hardware files: what is read, what is refused, and what is written reads back.

use crate::error::Error;
use crate::hardware::{Device, DeviceKind, Hardware, Link, Network, Speed};

fn file(devices: &str, rest: &str) -> Result<Hardware, Error> {
    let text = format!("version: 1\nnodes:\n  - id: a\n    devices: [{devices}]\n{rest}");
    Hardware::from_yaml(&text, "hw.yaml")
}

const GB: u64 = 1_000_000_000;

#[test]
fn gpus_come_first_and_speeds_and_links_are_kept() {
    let devices = "{id: host, kind: cpu, memory: 64GiB}, \
                   {id: big, kind: metal, memory: 1024, bandwidth: {default: 1.5TB/s, q4_k: 900GB/s}, \
                   compute: 20TFLOPS}";
    let links = "links: [{between: [host, big], latency: 5us, bandwidth: 32GB/s}]";
    let read = file(devices, links).unwrap();
    let ids: Vec<_> = read.devices.iter().map(|d| d.id.as_str()).collect();
    assert_eq!(ids, ["big", "host"]);
    let speed = read.speed(0).unwrap();
    assert_eq!((speed.reading("q4_k"), speed.reading("f16")), (900 * GB, 1500 * GB));
    assert_eq!(speed.flops, Some(20_000 * GB));
    assert!(read.speed(1).unwrap_err().hint_text().unwrap().contains("ddr5"));
    let link = Link { latency_ps: 5_000_000, bytes_per_second: 32 * GB };
    assert_eq!([read.link(0, 1).unwrap(), read.link(1, 0).unwrap()], [link, link]);
}

#[test]
fn names_stand_for_figures_and_what_is_stated_goes_before() {
    let devices = "{id: x, model: rtx-4090}, {id: y, kind: cuda, model: RTX-4090, memory: 22GiB, \
                   bandwidth: {q4_k: 700GB/s}}, {id: z, model: m2-ultra, memory: 140GiB, compute: 27TFLOPS}, \
                   {id: c, model: ddr5-5600-dual, memory: 64GiB}";
    let rest = "links: [{between: [x, y], kind: nvlink-4}, {between: [x, z], kind: pcie-4-x16, latency: 9us}]\n\
                default_link: pcie-3-x16\n";
    let read = file(devices, rest).unwrap();
    let sizes: Vec<u64> = read.devices.iter().map(|d| d.capacity_bytes >> 30).collect();
    assert_eq!(sizes, [24, 22, 140, 64]);
    let rates = [0, 1, 2, 3].map(|d| read.speed(d).unwrap().reading("q4_k") / 100_000_000);
    assert_eq!(rates, [10_080, 7_000, 8_000, 896]);
    let flops = [0, 1, 2, 3].map(|d| read.speed(d).unwrap().flops.map(|flops| flops / 100 / GB));
    assert_eq!(flops, [Some(1652), Some(1652), Some(270), None]);
    let links = [(0, 1), (0, 2), (1, 2)].map(|(a, b)| read.link(a, b).unwrap());
    assert_eq!(links.map(|link| link.latency_ps / 1_000_000), [2, 9, 5]);
    assert_eq!(links.map(|link| link.bytes_per_second / 10_000_000), [45_000, 3_150, 1_575]);
}

#[test]
fn eight_nodes_of_eight_devices() {
    let node = |node: usize| {
        let device = |d: usize| format!("{{id: n{node}g{d}, model: h100-sxm}}");
        let devices: Vec<String> = (0..8).map(device).collect();
        format!("  - {{id: n{node}, link: nvlink-4, devices: [{}]}}\n", devices.join(", "))
    };
    let nodes: String = (0..8).map(node).collect();
    let links = "links: [{between: [n0, n1], latency: 3us, bandwidth: 100GB/s}, \
                 {between: [n0g0, n7], latency: 4us, bandwidth: 10GB/s}]\ndefault_link: infiniband-ndr\n";
    let text = format!("version: 1\nnodes:\n{nodes}{links}");
    let read = Hardware::from_yaml(&text, "cluster.yaml").unwrap();
    assert_eq!(read.devices.len(), 64);
    let rate = |a, b| read.link(a, b).unwrap().bytes_per_second / GB;
    for a in 0..64 {
        for b in (0..64).filter(|&b| b != a) {
            let (near, far) = (a.min(b), a.max(b));
            let expected = match (near / 8, far / 8) {
                (n, m) if n == m => 450,
                (0, 1) => 100,
                (0, 7) if near == 0 => 10,
                _ => 50,
            };
            assert_eq!(rate(a, b), expected, "{a} {b}");
        }
    }
    assert_eq!(Hardware::from_yaml(&read.to_yaml(), "again").unwrap(), read);
}

#[test]
fn the_documented_example_is_read() {
    let page = include_str!("../mod.rs");
    let example = page.split("```yaml\n").nth(1).unwrap().split("//! ```").next().unwrap();
    let text = example.lines().map(|line| line[4..].to_owned() + "\n").collect::<Vec<_>>();
    let read = Hardware::from_yaml(&text.concat(), "example").unwrap();
    assert_eq!(read.devices.len(), 4);
    let mut pairs = (0..4).flat_map(|a| (0..a).map(move |b| (a, b)));
    assert!(pairs.all(|(a, b)| read.link(a, b).is_ok()));
    assert!((0..4).all(|device| read.speed(device).is_ok()));
}

#[test]
fn malformed_files_are_refused() {
    let gpu = "{id: g, kind: cuda, memory: 1GiB}";
    let with = |key: &str| format!("{{id: g, kind: cuda, memory: 1GiB, {key}}}");
    let link = |ends: &str, rest: &str| format!("links: [{{between: [{ends}]{rest}}}]");
    let ok = ", latency: 1us, bandwidth: 1GB/s";
    for (devices, rest, word) in [
        (String::new(), String::new(), "GPU"),
        ("{id: g, kind: tpu, memory: 1GiB}".into(), String::new(), "tpu"),
        ("{id: G, kind: cuda, memory: 1GiB}".into(), String::new(), "characters"),
        ("{id: g, kind: cuda, memory: -1}".into(), String::new(), "memory"),
        ("{id: g, memory: 1GiB}".into(), String::new(), "`kind`"),
        ("{id: g, kind: cuda}".into(), String::new(), "`memory`"),
        ("{id: g, model: m2-ultra}".into(), String::new(), "many sizes"),
        ("{id: g, kind: cpu, model: rtx-4090}".into(), String::new(), "kind `cpu`"),
        (with("model: rtx-4900"), String::new(), "rtx-4900"),
        (with("colour: red"), String::new(), "colour"),
        (with("memory: 2GiB"), String::new(), "twice"),
        (with("node: a"), String::new(), "outside of nodes"),
        (with("bandwidth: fast"), String::new(), "fast"),
        (with("bandwidth: 0GB/s"), String::new(), "above zero"),
        (with("bandwidth: -1GB/s"), String::new(), "above zero"),
        (with("bandwidth: 1B/s"), String::new(), "1KB/s to 1000TB/s"),
        (with("bandwidth: 1001TB/s"), String::new(), "1KB/s to 1000TB/s"),
        (with("bandwidth: {q4_k: 1GB/s}"), String::new(), "`default`"),
        (with("bandwidth: {default: 1GB/s, q4k: 1GB/s}"), String::new(), "q4k"),
        (with("bandwidth: [1GB/s]"), String::new(), "bandwidth"),
        (with("compute: 3"), String::new(), "`3`"),
        (with("compute: 3TFLOPS"), String::new(), "`bandwidth` beside"),
        (with("bandwidth: 1GB/s, compute: 2000PFLOPS"), String::new(), "1000PFLOPS"),
        (format!("{gpu}, {gpu}"), String::new(), "twice"),
        (gpu.into(), link("g, x", ok), "`x`"),
        (gpu.into(), link("g, g", ok), "two different ends"),
        (gpu.into(), link("g, a", ", latency: soon, bandwidth: 1GB/s"), "soon"),
        (gpu.into(), link("g, a", ", latency: -1us, bandwidth: 1GB/s"), "-1us"),
        (gpu.into(), link("g, a", ", latency: 1us, bandwidth: 0B/s"), "0B/s"),
        (gpu.into(), link("g, a", ", latency: 1us, bandwidth: 9999TB/s"), "1000TB/s"),
        (gpu.into(), link("g, a", ", latency: 1us"), "no `bandwidth`"),
        (gpu.into(), link("g, a", ", bandwidth: 1GB/s"), "no `latency`"),
        (gpu.into(), link("g, a", ", kind: pcie-4"), "pcie-4"),
        (gpu.into(), link("g, a", ", colour: red"), "colour"),
        (gpu.into(), format!("links: [{{between: [g, a]{ok}}}, {{between: [a, g]{ok}}}]"), "twice"),
        (gpu.into(), "default_link: pcie-9".into(), "pcie-9"),
        (gpu.into(), "default_link: {latency: 1us}".into(), "no `bandwidth`"),
        (gpu.into(), "default_link: {colour: red}".into(), "colour"),
        (gpu.into(), "devices: [{id: h, kind: gpu, memory: 1GiB, node: b}]".into(), "`b`"),
        (gpu.into(), "more: 1".into(), "more"),
    ] {
        let error = file(&devices, &rest).expect_err(&format!("{devices} {rest}")).to_string();
        assert!(error.contains(word) && error.contains("hw.yaml"), "{devices} {rest}: {error}");
    }
    let empty = "version: 1\nnodes: [{id: a}]\ndevices: [{id: g, kind: gpu, memory: 1GiB}]";
    assert!(Hardware::from_yaml(empty, "x").unwrap_err().to_string().contains("devices in it"));
    assert!(Hardware::from_yaml("version: 2\nnodes: []", "x").is_err());
}

#[test]
fn names_that_are_not_known_are_answered_with_the_nearest() {
    let hint = |devices: &str, rest: &str| {
        file(devices, rest).unwrap_err().hint_text().unwrap_or_default().to_owned()
    };
    assert!(hint("{id: g, model: rtx4090}", "").contains("`rtx-4090`"));
    let by_type = "{id: g, kind: gpu, memory: 1GiB, bandwidth: {default: 1GB/s, q4_km: 1GB/s}}";
    assert!(hint(by_type, "").contains("`q4_k`"));
    assert!(
        hint("{id: g, kind: gpu, memory: 1GiB}", "default_link: nvlink4").contains("`nvlink-4`")
    );
    let twice = "links: [{between: [g, a], kind: pcie-4-x16}, {between: [a, g], kind: pcie-3-x16}]";
    assert!(hint("{id: g, kind: gpu, memory: 1GiB}", twice).contains("the same both ways"));
}

/// A small deterministic generator (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    /// Any number of digits, round or not.
    fn rate(&mut self) -> u64 {
        let power = u32::try_from(self.below(12)).unwrap();
        let round = 10_u64.pow(u32::try_from(self.below(u64::from(power) + 1)).unwrap());
        1000 + self.below(10_u64.pow(power) * 100) / round * round
    }

    fn link(&mut self) -> Link {
        Link { latency_ps: self.rate() * self.below(2), bytes_per_second: self.rate() }
    }

    fn machine(&mut self) -> Hardware {
        // Names that YAML would take for something else are as good as any.
        const NAMES: [&str; 8] = ["true", "1e3", "null", "-", "gpu0", "0x1f", ".inf", "on"];
        let count = 1 + usize::try_from(self.below(8)).unwrap();
        let device = |(index, &id): (usize, &&str)| Device {
            id: id.to_owned(),
            kind: if index == 0 || self.below(3) > 0 { DeviceKind::Gpu } else { DeviceKind::Cpu },
            capacity_bytes: self.rate(),
            reserve_bytes: self.rate() * self.below(2),
        };
        let devices: Vec<Device> = NAMES[..count].iter().enumerate().map(device).collect();
        let mut network = Network::default();
        for Device { id, .. } in &devices {
            let speed = self.maybe(|random| Speed {
                bytes_per_second: random.rate(),
                by_type: random.maybe(|r| ("q4_k".to_owned(), r.rate())).into_iter().collect(),
                flops: random.maybe(|r| (1_000_000 * r.rate()).min(1_000_000_000_000_000_000)),
            });
            network.speeds.extend(speed.map(|speed| (id.clone(), speed)));
            let node = self.maybe(|random| ["n", "~"][usize::try_from(random.below(2)).unwrap()]);
            let node = node.map(|node| node.replace('~', "yes"));
            network.nodes.extend(node.map(|node| (id.clone(), node)));
        }
        let nodes = network.nodes.values().cloned();
        let mut ends: Vec<String> = nodes.chain(devices.iter().map(|d| d.id.clone())).collect();
        ends.sort();
        ends.dedup();
        for (index, b) in ends.iter().enumerate() {
            for a in &ends[..index] {
                let link = self.maybe(Self::link);
                network.links.extend(link.map(|link| ((a.clone(), b.clone()), link)));
            }
        }
        for node in network.nodes.values() {
            let link = self.maybe(Self::link);
            network.node_links.extend(link.map(|link| (node.clone(), link)));
        }
        network.default_link = self.maybe(Self::link);
        Hardware::new(devices).unwrap().with_network(network).unwrap()
    }
}

#[test]
fn what_is_written_reads_back_as_itself() {
    let mut random = Random(1);
    for _ in 0..2000 {
        let machine = random.machine();
        let text = machine.to_yaml();
        let read = Hardware::from_yaml(&text, "hw.yaml");
        assert_eq!(read.map_err(|e| format!("{e}\n{text}")).unwrap(), machine, "{text}");
    }
}

/// What a stray byte leaves readable is a machine that reads back as itself.
#[test]
fn no_stray_byte_makes_it_panic_or_lie() {
    let text = "version: 1\nnodes:\n  - {id: n, link: nvlink-4, devices: [{id: a, model: l4, reserve: 1MiB}]}\n\
                devices:\n  - {id: b, kind: cpu, memory: 8GiB, node: n, bandwidth: {default: 1GB/s, q4_k: 2GB/s}}\n\
                links: [{between: [a, b], latency: 1.5us, bandwidth: 8GB/s}]\ndefault_link: pcie-4-x8\n";
    let mut accepted = 0;
    for at in 0..text.len() {
        for byte in b"0-{:,. ~\n" {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = *byte;
            let edited = String::from_utf8(bytes).unwrap();
            if let Ok(machine) = Hardware::from_yaml(&edited, "hw.yaml") {
                accepted += 1;
                assert_eq!(Hardware::from_yaml(&machine.to_yaml(), "again").unwrap(), machine);
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
}
