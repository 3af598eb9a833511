//! The links of a hardware file, and names that stand for them.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::{FileEntry, LinkEntry, LinkValue};
use super::refuse;
use crate::error::Error;
use crate::hardware::Link;
use crate::hardware::catalogue::HardwareCatalogue;
use crate::hardware::network::pair;
use crate::units::{parse_bandwidth, parse_time};

/// What is between the devices and nodes of the file.
#[derive(Default)]
pub(super) struct Links {
    pub(super) between: BTreeMap<(String, String), Link>,
    pub(super) within: BTreeMap<String, Link>,
    pub(super) default: Option<Link>,
}

/// Reads all links; `names` are the ids of devices and nodes.
pub(super) fn read(
    file: &FileEntry,
    names: &BTreeSet<String>,
    source: &str,
) -> Result<Links, Error> {
    let mut links = Links::default();
    for entry in &file.links {
        let [a, b] = &entry.between;
        let place = format!("the link between `{a}` and `{b}`");
        let refuse = || refuse(source).place(&place);
        if let Some(unknown) = [a, b].into_iter().find(|name| !names.contains(*name)) {
            return Err(refuse()
                .expected("ids of nodes or devices of this file")
                .found(format!("`{unknown}`")));
        }
        if a == b {
            return Err(refuse().expected("two different ends").found("the same one twice"));
        }
        let key = pair(a, b);
        if links.between.contains_key(&key) {
            return Err(refuse()
                .expected("each link once")
                .found("it twice")
                .hint("links are the same both ways; give the slower way"));
        }
        links.between.insert(key, link(&stated(entry), source, &place)?);
    }
    for node in &file.nodes {
        if let Some(value) = &node.link {
            let place = format!("the link within node `{}`", node.id);
            links.within.insert(node.id.clone(), link(value, source, &place)?);
        }
    }
    let default = file.default_link.as_ref();
    links.default = default.map(|value| link(value, source, "default_link")).transpose()?;
    Ok(links)
}

fn stated(entry: &LinkEntry) -> LinkValue {
    let LinkEntry { kind, latency, bandwidth, .. } = entry;
    LinkValue { kind: kind.clone(), latency: latency.clone(), bandwidth: bandwidth.clone() }
}

/// What is stated, else what the name stands for.
fn link(value: &LinkValue, source: &str, at: &str) -> Result<Link, Error> {
    let place = |error: Error| error.place(format!("{at} of `{source}`"));
    let known = value.kind.as_deref().map(|name| HardwareCatalogue::embedded().link(name));
    let known = known.transpose().map_err(place)?.map(|known| known.link);
    let latency = value.latency.as_deref().map(parse_time).transpose().map_err(place)?;
    let bandwidth = value.bandwidth.as_deref().map(parse_bandwidth).transpose().map_err(place)?;
    let latency = latency.or(known.map(|link| link.latency_ps));
    let bandwidth = bandwidth.or(known.map(|link| link.bytes_per_second));
    let (Some(latency_ps), Some(bytes_per_second)) = (latency, bandwidth) else {
        let found = if latency.is_none() { "no `latency`" } else { "no `bandwidth`" };
        return Err(refuse(source)
            .place(at)
            .expected("`latency` and `bandwidth`, or the name of a kind of link")
            .found(found)
            .hint("e.g. `{latency: 5us, bandwidth: 25GB/s}`, or `pcie-4-x16`"));
    };
    let link = Link { latency_ps, bytes_per_second };
    link.check().map_err(place)?;
    Ok(link)
}
