//! Writes a machine as a hardware file.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::hardware::{Device, Hardware, Link, Speed};
use crate::units::{exact_bandwidth, exact_compute, exact_size, exact_time};

impl Hardware {
    /// The machine as a hardware file, which [`Hardware::from_yaml`] reads back as the same value.
    ///
    /// Devices are listed on their own with the node each is in, so that their order stays.
    ///
    /// ```
    /// use apportion::hardware::Hardware;
    /// let hardware = Hardware::from_sizes(&[16 << 30], Some(64 << 30), 0).unwrap();
    /// assert_eq!(Hardware::from_yaml(&hardware.to_yaml(), "hardware.yaml").unwrap(), hardware);
    /// ```
    pub fn to_yaml(&self) -> String {
        let mut text = String::from("version: 1\n");
        let network = &self.network;
        let nodes: BTreeSet<&String> = network.nodes.values().collect();
        section(&mut text, "nodes", nodes.into_iter(), |id| {
            let link = network.node_links.get(id).map(|link| format!(", link: {}", figures(*link)));
            format!("{{id: {}{}}}", quoted(id), link.unwrap_or_default())
        });
        section(&mut text, "devices", self.devices.iter(), |device| self.device_text(device));
        section(&mut text, "links", network.links.iter(), |((a, b), link)| {
            let figures = figures(*link);
            format!("{{between: [{}, {}], {}", quoted(a), quoted(b), &figures[1..])
        });
        if let Some(link) = network.default_link {
            push(&mut text, &format!("default_link: {}", figures(link)));
        }
        text
    }

    fn device_text(&self, device: &Device) -> String {
        let Device { id, kind, capacity_bytes, reserve_bytes } = device;
        let mut keys = vec![
            format!("id: {}", quoted(id)),
            format!("kind: {}", kind.name()),
            format!("memory: {}", exact_size(*capacity_bytes)),
        ];
        if *reserve_bytes > 0 {
            keys.push(format!("reserve: {}", exact_size(*reserve_bytes)));
        }
        if let Some(node) = self.network.nodes.get(id) {
            keys.push(format!("node: {}", quoted(node)));
        }
        if let Some(speed) = self.network.speeds.get(id) {
            keys.push(format!("bandwidth: {}", bandwidth(speed)));
            keys.extend(speed.flops.map(|flops| format!("compute: {}", exact_compute(flops))));
        }
        format!("{{{}}}", keys.join(", "))
    }
}

fn section<T>(
    text: &mut String,
    key: &str,
    items: impl ExactSizeIterator<Item = T>,
    line: impl Fn(T) -> String,
) {
    if items.len() == 0 {
        return;
    }
    push(text, &format!("{key}:"));
    items.for_each(|item| push(text, &format!("  - {}", line(item))));
}

fn push(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// Ids are plain characters, but `true` and `1e3` are plain too.
fn quoted(id: &str) -> String {
    format!("\"{id}\"")
}

fn figures(link: Link) -> String {
    let Link { latency_ps, bytes_per_second } = link;
    let (latency, bandwidth) = (exact_time(latency_ps), exact_bandwidth(bytes_per_second));
    format!("{{latency: {latency}, bandwidth: {bandwidth}}}")
}

fn bandwidth(speed: &Speed) -> String {
    let default = exact_bandwidth(speed.bytes_per_second);
    if speed.by_type.is_empty() {
        return default;
    }
    let rate =
        |(name, &rate): (&String, &u64)| format!(", {}: {}", quoted(name), exact_bandwidth(rate));
    format!("{{default: {default}{}}}", speed.by_type.iter().map(rate).collect::<String>())
}
