//! Speeds and links in a placement file: written where something is known of them, read as hostile.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::emit::{Emitter, text};
use super::read::OPERATION;
use crate::error::Error;
use crate::hardware::{Device, DeviceKind, Hardware, Link, Network, Speed};
use crate::yaml::StrictMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a device")]
pub(super) struct DeviceEntry {
    id: String,
    kind: KindEntry,
    capacity_bytes: u64,
    reserve_bytes: u64,
    node: Option<String>,
    bandwidth_bytes_per_second: Option<u64>,
    #[serde(default)]
    bandwidth_by_type: StrictMap<u64>,
    flops: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindEntry {
    Gpu,
    Cpu,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of links")]
pub(super) struct LinksEntry {
    #[serde(default)]
    between: Vec<BetweenEntry>,
    #[serde(default)]
    within: Vec<WithinEntry>,
    default: Option<LinkEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a link between two ends")]
struct BetweenEntry {
    ends: [String; 2],
    latency_ps: u64,
    bytes_per_second: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a link within a node")]
struct WithinEntry {
    node: String,
    latency_ps: u64,
    bytes_per_second: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a link")]
struct LinkEntry {
    latency_ps: u64,
    bytes_per_second: u64,
}

/// The machine of the file.
pub(super) fn read(devices: &[DeviceEntry], links: Option<LinksEntry>) -> Result<Hardware, Error> {
    let mut network = Network::default();
    for entry in devices {
        let speed = speed(entry)?;
        network.speeds.extend(speed.map(|speed| (entry.id.clone(), speed)));
        network.nodes.extend(entry.node.iter().map(|node| (entry.id.clone(), node.clone())));
    }
    let links = links.unwrap_or_default();
    for BetweenEntry { ends: [a, b], latency_ps, bytes_per_second } in links.between {
        let place = format!("the link between `{a}` and `{b}`");
        add(&mut network.links, (a, b), Link { latency_ps, bytes_per_second }, &place)?;
    }
    for WithinEntry { node, latency_ps, bytes_per_second } in links.within {
        let place = format!("the link within `{node}`");
        add(&mut network.node_links, node, Link { latency_ps, bytes_per_second }, &place)?;
    }
    network.default_link = links
        .default
        .map(|LinkEntry { latency_ps, bytes_per_second }| Link { latency_ps, bytes_per_second });
    Hardware::new(devices.iter().map(to_device).collect())?.with_network(network)
}

fn add<K: Ord>(
    links: &mut BTreeMap<K, Link>,
    key: K,
    link: Link,
    place: &str,
) -> Result<(), Error> {
    match links.insert(key, link) {
        None => Ok(()),
        Some(_) => {
            Err(Error::new(OPERATION).place(place).expected("each link once").found("it twice"))
        }
    }
}

fn speed(entry: &DeviceEntry) -> Result<Option<Speed>, Error> {
    let DeviceEntry { bandwidth_bytes_per_second, bandwidth_by_type, flops, .. } = entry;
    match bandwidth_bytes_per_second {
        Some(bytes_per_second) => Ok(Some(Speed {
            bytes_per_second: *bytes_per_second,
            by_type: bandwidth_by_type.0.clone(),
            flops: *flops,
        })),
        None if bandwidth_by_type.is_empty() && flops.is_none() => Ok(None),
        None => Err(Error::new(OPERATION)
            .place(format!("device `{}`", entry.id))
            .expected("`bandwidth_bytes_per_second` beside its other speeds")
            .found("none")),
    }
}

fn to_device(entry: &DeviceEntry) -> Device {
    Device {
        id: entry.id.clone(),
        kind: match entry.kind {
            KindEntry::Gpu => DeviceKind::Gpu,
            KindEntry::Cpu => DeviceKind::Cpu,
        },
        capacity_bytes: entry.capacity_bytes,
        reserve_bytes: entry.reserve_bytes,
    }
}

/// The machine; a network of which nothing is known leaves no trace, as before there were any. Several nodes are
/// known something: what is exported for one machine depends on them.
pub(super) fn write(out: &mut Emitter, hardware: &Hardware) {
    let network = &hardware.network;
    let nodes: BTreeSet<&String> = network.nodes.values().collect();
    let known = !network.is_empty() || nodes.len() > 1;
    out.list("hardware", &hardware.devices, |out, device| {
        out.entry("id", text(&device.id));
        out.entry("kind", device.kind.name());
        out.entry("capacity_bytes", device.capacity_bytes);
        out.entry("reserve_bytes", device.reserve_bytes);
        if let Some(node) = network.nodes.get(&device.id).filter(|_| known) {
            out.entry("node", text(node));
        }
        if let Some(speed) = network.speeds.get(&device.id) {
            write_speed(out, speed);
        }
    });
    let Network { links, node_links, default_link, .. } = &**network;
    if links.is_empty() && node_links.is_empty() && default_link.is_none() {
        return;
    }
    out.section("links", |out| {
        let links: Vec<_> = links.iter().collect();
        if !links.is_empty() {
            out.list("between", &links, |out, ((a, b), link)| {
                out.entry("ends", format!("[{}, {}]", text(a), text(b)));
                write_link(out, link);
            });
        }
        let node_links: Vec<_> = node_links.iter().collect();
        if !node_links.is_empty() {
            out.list("within", &node_links, |out, (node, link)| {
                out.entry("node", text(node));
                write_link(out, link);
            });
        }
        if let Some(link) = default_link {
            out.section("default", |out| write_link(out, link));
        }
    });
}

fn write_speed(out: &mut Emitter, speed: &Speed) {
    out.entry("bandwidth_bytes_per_second", speed.bytes_per_second);
    if !speed.by_type.is_empty() {
        out.section("bandwidth_by_type", |out| {
            for (name, rate) in &speed.by_type {
                out.entry(&text(name), rate);
            }
        });
    }
    if let Some(flops) = speed.flops {
        out.entry("flops", flops);
    }
}

fn write_link(out: &mut Emitter, link: &Link) {
    out.entry("latency_ps", link.latency_ps);
    out.entry("bytes_per_second", link.bytes_per_second);
}
