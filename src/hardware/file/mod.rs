//! `hardware.yaml`: the machine as a file.

mod devices;
mod entries;
mod links;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use entries::{DeviceEntry, FileEntry};

use super::{Device, Hardware, Network, Speed, check_id};
use crate::error::Error;
use crate::yaml;

pub(super) use entries::KindEntry;

impl Hardware {
    /// Reads the text of a hardware file; `source` names it in messages.
    ///
    /// ```
    /// use apportion::hardware::Hardware;
    /// let text = "
    /// version: 1
    /// nodes:
    ///   - id: box
    ///     link: pcie-4-x16
    ///     devices:
    ///       - { id: gpu0, model: rtx-4090, reserve: 512MiB }
    ///       - { id: cpu, kind: cpu, memory: 64GiB, bandwidth: 80GB/s }
    /// ";
    /// let hardware = Hardware::from_yaml(text, "hardware.yaml").unwrap();
    /// assert_eq!(hardware.devices[0].reserve_bytes, 512 << 20);
    /// assert_eq!(hardware.speed(1).unwrap().bytes_per_second, 80_000_000_000);
    /// assert_eq!(hardware.link(0, 1).unwrap().latency_ps, 5_000_000);
    /// ```
    ///
    /// # Errors
    /// What is no such file, with the place in it: unknown keys and names, sizes and rates that cannot be, a
    /// link to what is not there, to itself or given twice, and machines that [`Hardware::new`] refuses.
    pub fn from_yaml(text: &str, source: &str) -> Result<Self, Error> {
        let file: FileEntry = yaml::from_str(text, "read the hardware file", source)?;
        if file.version != 1 {
            return Err(refuse(source)
                .place("version")
                .expected("1")
                .found(file.version.to_string()));
        }
        let names = check_names(&file, source)?;
        let links = links::read(&file, &names, source)?;
        let mut devices = Vec::new();
        let mut network = Network {
            links: links.between,
            node_links: links.within,
            default_link: links.default,
            ..Network::default()
        };
        for (node, entry) in with_nodes(file, source)? {
            let (device, speed) = devices::to_device(entry, source)?;
            note(&mut network, &device, node, speed);
            devices.push(device);
        }
        let place = |error: Error| error.place(format!("`{source}`"));
        Self::new(devices).and_then(|machine| machine.with_network(network)).map_err(place)
    }
}

fn note(network: &mut Network, device: &Device, node: Option<String>, speed: Option<Speed>) {
    let id = || device.id.clone();
    network.nodes.extend(node.map(|node| (id(), node)));
    network.speeds.extend(speed.map(|speed| (id(), speed)));
}

fn refuse(source: &str) -> Error {
    Error::new("read the hardware file").object(source)
}

/// Links name nodes and devices alike, so all of them share one space of names.
fn check_names(file: &FileEntry, source: &str) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    let nodes = file.nodes.iter().map(|node| &node.id);
    let inside = file.nodes.iter().flat_map(|node| &node.devices);
    let devices = inside.chain(&file.devices).map(|device| &device.id);
    for id in nodes.chain(devices) {
        check_id(id).map_err(|e| e.place(format!("`{source}`")))?;
        if !names.insert(id.clone()) {
            return Err(refuse(source)
                .place(format!("id `{id}`"))
                .expected("a name of its own for each node and device")
                .found("it twice"));
        }
    }
    Ok(names)
}

/// Every device with the node it is in, in the order of the file: those of nodes first.
fn with_nodes(file: FileEntry, source: &str) -> Result<Vec<(Option<String>, DeviceEntry)>, Error> {
    let mut inhabited: BTreeMap<String, bool> = BTreeMap::new();
    let mut all = Vec::new();
    for node in file.nodes {
        inhabited.insert(node.id.clone(), !node.devices.is_empty());
        for device in node.devices {
            if device.node.is_some() {
                return Err(refuse(source)
                    .place(format!("device `{}`", device.id))
                    .expected("`node` only of devices outside of nodes")
                    .found(format!("it within node `{}`", node.id)));
            }
            all.push((Some(node.id.clone()), device));
        }
    }
    for device in file.devices {
        if let Some(node) = &device.node {
            let Some(inhabited) = inhabited.get_mut(node) else {
                return Err(refuse(source)
                    .place(format!("device `{}`", device.id))
                    .expected("a node of this file")
                    .found(format!("`{node}`")));
            };
            *inhabited = true;
        }
        all.push((device.node.clone(), device));
    }
    match inhabited.into_iter().find(|(_, inhabited)| !inhabited) {
        // A file without any device is told so below.
        Some((node, _)) if !all.is_empty() => Err(refuse(source)
            .place(format!("node `{node}`"))
            .expected("devices in it")
            .found("none")),
        _ => Ok(all),
    }
}
