//! `hardware.yaml`: the machine as a file.
//!
//! The format describes more than bytes (links, bandwidth, compute), so that one file serves every
//! objective. What no objective reads yet is checked for form all the same and named in
//! [`HardwareFile::notices`]: nothing in the file is ignored silently.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::{Device, DeviceKind, Hardware, check_id};
use crate::error::Error;
use crate::units::{parse_bytes, parse_decimal};
use crate::yaml;

/// What a hardware file says.
#[derive(Clone, Debug)]
pub struct HardwareFile {
    /// The devices.
    pub hardware: Hardware,
    /// What the file says that nothing uses yet, as sentences for stderr.
    pub notices: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a hardware file")]
struct FileEntry {
    version: u64,
    nodes: Vec<NodeEntry>,
    #[serde(default)]
    links: Vec<LinkEntry>,
    default_link: Option<LinkSpeed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a node")]
struct NodeEntry {
    id: String,
    devices: Vec<DeviceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a device")]
struct DeviceEntry {
    id: String,
    kind: KindEntry,
    memory: Size,
    reserve: Option<Size>,
    bandwidth: Option<String>,
    compute: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindEntry {
    Cuda,
    Metal,
    Gpu,
    Cpu,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a link")]
struct LinkEntry {
    between: [String; 2],
    latency: Option<String>,
    bandwidth: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a link")]
struct LinkSpeed {
    latency: Option<String>,
    bandwidth: Option<String>,
}

/// A size in bytes, or with a unit.
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `16GiB`")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                self.visit_str(&bytes.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                parse_bytes(text).map(Size).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl Hardware {
    /// Reads the text of a hardware file; `source` names it in messages.
    ///
    /// ```
    /// use apportion::hardware::Hardware;
    /// let text = "
    /// version: 1
    /// nodes:
    ///   - id: box
    ///     devices:
    ///       - { id: gpu0, kind: cuda, memory: 16GiB, reserve: 512MiB }
    ///       - { id: cpu, kind: cpu, memory: 64GiB }
    /// ";
    /// let file = Hardware::from_yaml(text, "hardware.yaml").unwrap();
    /// assert_eq!(file.hardware.devices[0].reserve_bytes, 512 << 20);
    /// assert!(file.notices.is_empty());
    /// ```
    pub fn from_yaml(text: &str, source: &str) -> Result<HardwareFile, Error> {
        let file: FileEntry = yaml::from_str(text, "read the hardware file", source)?;
        if file.version != 1 {
            return Err(refuse(source)
                .place("version")
                .expected("1")
                .found(file.version.to_string()));
        }
        let names = check_names(&file, source)?;
        check_links(&file, &names, source)?;
        let notices = unused_notices(&file, source);
        let devices = file
            .nodes
            .into_iter()
            .flat_map(|node| node.devices)
            .map(|entry| to_device(entry, source))
            .collect::<Result<_, _>>()?;
        let hardware = Hardware::new(devices).map_err(|e| e.place(source))?;
        Ok(HardwareFile { hardware, notices })
    }
}

fn refuse(source: &str) -> Error {
    Error::new("read the hardware file").object(source)
}

/// Links name nodes and devices alike, so all of them share one space of names.
fn check_names(file: &FileEntry, source: &str) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    let nodes = file.nodes.iter().map(|node| &node.id);
    let devices = file.nodes.iter().flat_map(|node| &node.devices).map(|device| &device.id);
    for id in nodes.chain(devices) {
        check_id(id).map_err(|e| e.place(source))?;
        if !names.insert(id.clone()) {
            return Err(refuse(source)
                .place(format!("id `{id}`"))
                .expected("a name of its own for each node and device")
                .found("it twice"));
        }
    }
    Ok(names)
}

fn check_links(file: &FileEntry, names: &BTreeSet<String>, source: &str) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for link in &file.links {
        let [a, b] = &link.between;
        let place = format!("the link between `{a}` and `{b}`");
        if let Some(unknown) = [a, b].into_iter().find(|name| !names.contains(*name)) {
            return Err(refuse(source)
                .place(place)
                .expected("ids of nodes or devices of this file")
                .found(format!("`{unknown}`")));
        }
        if a == b {
            return Err(refuse(source).place(place).expected("two different ends"));
        }
        if !seen.insert((a.min(b), a.max(b))) {
            return Err(refuse(source).place(place).expected("each link once").found("it twice"));
        }
        check_speed(link.latency.as_deref(), link.bandwidth.as_deref(), &place, source)?;
    }
    let default = file.default_link.as_ref();
    let latency = default.and_then(|link| link.latency.as_deref());
    let bandwidth = default.and_then(|link| link.bandwidth.as_deref());
    check_speed(latency, bandwidth, "default_link", source)
}

fn check_speed(
    latency: Option<&str>,
    bandwidth: Option<&str>,
    place: &str,
    source: &str,
) -> Result<(), Error> {
    const DURATIONS: [&str; 4] = ["ns", "us", "ms", "s"];
    if let Some(text) = latency {
        check_quantity(text, &DURATIONS, "a latency such as `5us`", place, source)?;
    }
    if let Some(text) = bandwidth {
        check_bandwidth(text, place, source)?;
    }
    Ok(())
}

fn check_bandwidth(text: &str, place: &str, source: &str) -> Result<(), Error> {
    let size = text.strip_suffix("/s").and_then(|size| parse_bytes(size).ok());
    if size.is_none_or(|bytes| bytes == 0) {
        return Err(refuse(source)
            .place(place)
            .expected("a bandwidth such as `32GB/s`")
            .found(format!("`{text}`")));
    }
    Ok(())
}

fn check_quantity(
    text: &str,
    units: &[&str],
    expected: &str,
    place: &str,
    source: &str,
) -> Result<(), Error> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    if parse_decimal(number).is_none() || !units.contains(&unit.trim()) {
        return Err(refuse(source).place(place).expected(expected).found(format!("`{text}`")));
    }
    Ok(())
}

fn to_device(entry: DeviceEntry, source: &str) -> Result<Device, Error> {
    const COMPUTE: [&str; 3] = ["GFLOPS", "TFLOPS", "PFLOPS"];
    let place = format!("device `{}`", entry.id);
    if let Some(text) = &entry.bandwidth {
        check_bandwidth(text, &place, source)?;
    }
    if let Some(text) = &entry.compute {
        check_quantity(text, &COMPUTE, "compute such as `312TFLOPS`", &place, source)?;
    }
    Ok(Device {
        id: entry.id,
        kind: match entry.kind {
            KindEntry::Cuda | KindEntry::Metal | KindEntry::Gpu => DeviceKind::Gpu,
            KindEntry::Cpu => DeviceKind::Cpu,
        },
        capacity_bytes: entry.memory.0,
        reserve_bytes: entry.reserve.map_or(0, |size| size.0),
    })
}

fn unused_notices(file: &FileEntry, source: &str) -> Vec<String> {
    let devices = || file.nodes.iter().flat_map(|node| &node.devices);
    let unused = [
        ("bandwidth of devices", devices().any(|device| device.bandwidth.is_some())),
        ("compute of devices", devices().any(|device| device.compute.is_some())),
        ("links", !file.links.is_empty() || file.default_link.is_some()),
    ];
    unused
        .into_iter()
        .filter(|&(_, present)| present)
        .map(|(what, _)| {
            format!("`{source}`: no objective uses {what} yet; the plan goes by bytes")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(devices: &str, rest: &str) -> Result<HardwareFile, Error> {
        let text = format!("version: 1\nnodes:\n  - id: a\n    devices: [{devices}]\n{rest}");
        Hardware::from_yaml(&text, "hw.yaml")
    }

    #[test]
    fn gpus_come_first_and_unused_facts_are_named() {
        let devices = "{id: host, kind: cpu, memory: 64GiB}, \
                       {id: big, kind: metal, memory: 1024, bandwidth: 1.5TB/s}";
        let read =
            file(devices, "links: [{between: [big, host], latency: 5us, bandwidth: 32GB/s}]")
                .unwrap();
        let ids: Vec<_> = read.hardware.devices.iter().map(|d| d.id.as_str()).collect();
        assert_eq!(ids, ["big", "host"]);
        assert_eq!(read.notices.len(), 2);
    }

    #[test]
    fn the_documented_example_is_read() {
        let page = include_str!("mod.rs");
        let example = page.split("```yaml\n").nth(1).unwrap().split("//! ```").next().unwrap();
        let text = example.lines().map(|line| line[4..].to_owned() + "\n").collect::<Vec<_>>();
        let read = Hardware::from_yaml(&text.concat(), "example").unwrap();
        assert_eq!(read.hardware.devices.len(), 2);
        assert_eq!(read.notices.len(), 3);
    }

    #[test]
    fn malformed_files_are_refused() {
        let gpu = "{id: g, kind: cuda, memory: 1GiB}";
        for (devices, rest) in [
            ("", ""),
            ("{id: g, kind: tpu, memory: 1GiB}", ""),
            ("{id: G, kind: cuda, memory: 1GiB}", ""),
            ("{id: g, kind: cuda, memory: -1}", ""),
            ("{id: g, kind: cuda, memory: 1GiB, colour: red}", ""),
            ("{id: g, kind: cuda, memory: 1GiB, memory: 2GiB}", ""),
            ("{id: g, kind: cuda, memory: 1GiB, bandwidth: fast}", ""),
            ("{id: g, kind: cuda, memory: 1GiB, compute: 3}", ""),
            (&format!("{gpu}, {gpu}"), ""),
            (gpu, "links: [{between: [g, x]}]"),
            (gpu, "links: [{between: [g, a], latency: soon}]"),
            (gpu, "links: [{between: [g, a]}, {between: [a, g]}]"),
            (gpu, "more: 1"),
        ] {
            assert!(file(devices, rest).is_err(), "{devices} {rest}");
        }
        assert!(Hardware::from_yaml("version: 2\nnodes: []", "x").is_err());
    }
}
