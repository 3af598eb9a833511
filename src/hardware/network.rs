//! How fast devices read and compute, and what is between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Device, Hardware, check_id};
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::quant::type_names;
use crate::units::{exact_bandwidth, exact_compute, exact_time};

/// What a device does in a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Bytes of weights or cache that a device reads while it multiplies one vector with them.
    pub bytes_per_second: u64,
    /// The same for weights of one type, where it differs: `q4_k`, `nf4`, `f16`, ..., as
    /// [`crate::quant::StoredTensor::type_name`] says.
    pub by_type: BTreeMap<String, u64>,
    /// Floating-point operations in products of matrices, two per weight and token.
    pub flops: Option<u64>,
}

impl Speed {
    /// Bytes per second of weights of this type.
    pub fn reading(&self, type_name: &str) -> u64 {
        self.by_type.get(type_name).copied().unwrap_or(self.bytes_per_second)
    }

    /// Whether it can be so: rates within bounds, types that there are.
    pub(super) fn check(&self) -> Result<(), Error> {
        const FLOPS_MIN: u64 = 1_000_000;
        const FLOPS_MAX: u64 = 1_000_000_000_000_000_000;
        check_bandwidth(self.bytes_per_second)?;
        for (name, &rate) in &self.by_type {
            check_type(name)?;
            check_bandwidth(rate).map_err(|error| error.object(name))?;
        }
        match self.flops {
            Some(flops) if !(FLOPS_MIN..=FLOPS_MAX).contains(&flops) => {
                Err(Error::new("use the compute rate")
                    .expected("0.001GFLOPS to 1000PFLOPS")
                    .found(exact_compute(flops)))
            }
            _ => Ok(()),
        }
    }
}

/// What is between two devices, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Until the first byte is there.
    pub latency_ps: u64,
    /// From then on.
    pub bytes_per_second: u64,
}

impl Link {
    /// Whether it can be so.
    pub(super) fn check(self) -> Result<(), Error> {
        const LATENCY_MAX_PS: u64 = 1_000_000_000_000_000;
        if self.latency_ps > LATENCY_MAX_PS {
            return Err(Error::new("use the latency")
                .expected("at most 1000 s")
                .found(exact_time(self.latency_ps)));
        }
        check_bandwidth(self.bytes_per_second)
    }
}

fn check_bandwidth(bytes_per_second: u64) -> Result<(), Error> {
    const MIN: u64 = 1_000;
    const MAX: u64 = 1_000_000_000_000_000;
    if (MIN..=MAX).contains(&bytes_per_second) {
        return Ok(());
    }
    let found = exact_bandwidth(bytes_per_second);
    Err(Error::new("use the bandwidth").expected("1KB/s to 1000TB/s").found(found))
}

fn check_type(name: &str) -> Result<(), Error> {
    let known = type_names();
    if known.contains(&name) {
        return Ok(());
    }
    let list = "`apportion inspect MODEL --quant NAME --tensors` shows the types of tensors";
    Err(Error::new("use the bandwidth by type")
        .object(name)
        .expected("a type of stored tensors, such as `q4_k` or `f16`")
        .found("another name")
        .hint(did_you_mean(name, known).unwrap_or_else(|| list.to_owned())))
}

/// Speeds, nodes and links of a machine; nothing of it need be known to plan by bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// By device.
    pub speeds: BTreeMap<String, Speed>,
    /// The node each device is in.
    pub nodes: BTreeMap<String, String>,
    /// Between two devices, two nodes, or a device and a node; the lesser name first.
    pub links: BTreeMap<(String, String), Link>,
    /// Within a node: between two of its devices that no link names.
    pub node_links: BTreeMap<String, Link>,
    /// Between any other two devices.
    pub default_link: Option<Link>,
}

/// The key of a link in [`Network::links`].
pub(crate) fn pair(a: &str, b: &str) -> (String, String) {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    (a.to_owned(), b.to_owned())
}

impl Network {
    /// Whether nothing is known, but perhaps which device is in which node.
    pub fn is_empty(&self) -> bool {
        *self == Self { nodes: self.nodes.clone(), ..Self::default() }
    }

    fn named(&self, a: &str, b: &str) -> Option<Link> {
        self.links.get(&pair(a, b)).copied()
    }

    /// The link between two devices: the one that names both, else a device and the other's node, else
    /// their nodes, else that of their common node, else the default.
    pub fn link(&self, a: &str, b: &str) -> Option<Link> {
        let node = |device: &str| self.nodes.get(device).map_or("", String::as_str);
        let (node_a, node_b) = (node(a), node(b));
        let within = || self.node_links.get(node_a).filter(|_| node_a == node_b).copied();
        self.named(a, b)
            .or_else(|| self.named(a, node_b))
            .or_else(|| self.named(node_a, b))
            .or_else(|| self.named(node_a, node_b).filter(|_| node_a != node_b))
            .or_else(within)
            .or(self.default_link)
    }

    /// Whether it speaks of these devices alone, and says what can be.
    pub(super) fn check(&self, devices: &[Device]) -> Result<(), Error> {
        let refuse = |name: &str| Error::new("use the network").object(name);
        let devices: BTreeSet<&str> = devices.iter().map(|device| device.id.as_str()).collect();
        let nodes: BTreeSet<&str> = self.nodes.values().map(String::as_str).collect();
        for node in &nodes {
            check_id(node)?;
            if devices.contains(node) {
                return Err(refuse(node).expected("a name of its own for each node and device"));
            }
        }
        if let Some(id) =
            self.speeds.keys().chain(self.nodes.keys()).find(|id| !devices.contains(id.as_str()))
        {
            return Err(refuse(id).expected("a device of this machine"));
        }
        if let Some(id) = self.node_links.keys().find(|id| !nodes.contains(id.as_str())) {
            return Err(refuse(id).expected("a node of this machine"));
        }
        for (id, speed) in &self.speeds {
            speed.check().map_err(|error| error.place(format!("device `{id}`")))?;
        }
        for ((a, b), link) in &self.links {
            let place = |error: Error| error.place(format!("the link between `{a}` and `{b}`"));
            let known = |id: &String| devices.contains(id.as_str()) || nodes.contains(id.as_str());
            if let Some(unknown) = [a, b].into_iter().find(|id| !known(id)) {
                let expected = "a device or node of this machine";
                return Err(place(refuse(unknown).expected(expected)));
            }
            if a >= b {
                return Err(place(refuse(a).expected("two different ends, the lesser name first")));
            }
            link.check().map_err(place)?;
        }
        let inside = self.node_links.iter().map(|(id, link)| (format!("node `{id}`"), *link));
        let default = self.default_link.map(|link| ("the default link".to_owned(), link));
        inside.chain(default).try_for_each(|(at, link)| link.check().map_err(|e| e.place(at)))
    }

    /// Says of a new device what is said of another one.
    fn add_like(&mut self, id: &str, like: &str) {
        if let Some(speed) = self.speeds.get(like).cloned() {
            self.speeds.insert(id.to_owned(), speed);
        }
        if let Some(node) = self.nodes.get(like).cloned() {
            self.nodes.insert(id.to_owned(), node);
        }
        let other_end = |((a, b), link): (&(String, String), &Link)| match (a == like, b == like) {
            (true, _) => Some((pair(id, b), *link)),
            (_, true) => Some((pair(a, id), *link)),
            _ => None,
        };
        let copies: Vec<_> = self.links.iter().filter_map(other_end).collect();
        self.links.extend(copies);
    }

    /// Forgets what is said of devices that are not among these.
    fn keep(&mut self, devices: &[Device]) {
        let kept: BTreeSet<&str> = devices.iter().map(|device| device.id.as_str()).collect();
        self.speeds.retain(|id, _| kept.contains(id.as_str()));
        self.nodes.retain(|id, _| kept.contains(id.as_str()));
        let nodes: BTreeSet<&str> = self.nodes.values().map(String::as_str).collect();
        let known = |id: &String| kept.contains(id.as_str()) || nodes.contains(id.as_str());
        self.links.retain(|(a, b), _| known(a) && known(b));
        self.node_links.retain(|id, _| nodes.contains(id.as_str()));
    }
}

impl Hardware {
    /// The machine with these speeds and links instead of its own.
    ///
    /// # Errors
    /// Names of other devices, rates and latencies beyond what can be (a bandwidth from 1 KB/s to 1000 TB/s, a
    /// latency up to 1000 s), types that no tensor has.
    pub fn with_network(self, network: Network) -> Result<Self, Error> {
        network.check(&self.devices)?;
        Ok(Self { network: Arc::new(network), ..self })
    }

    /// The machine with a link between any two devices that nothing else is said of.
    ///
    /// # Errors
    /// As [`Self::with_network`].
    pub fn with_default_link(self, link: Link) -> Result<Self, Error> {
        let network = Network { default_link: Some(link), ..Network::clone(&self.network) };
        self.with_network(network)
    }

    /// The machine with these devices instead: of those it has, speeds, nodes and links stay; those it has not
    /// are in all of that like the device `like`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_devices(&self, devices: Vec<Device>, like: &str) -> Result<Self, Error> {
        let mut network = Network::clone(&self.network);
        let added = devices.iter().filter(|device| self.index_of(&device.id).is_none());
        added.for_each(|device| network.add_like(&device.id, like));
        network.keep(&devices);
        Self::new(devices)?.with_network(network)
    }

    /// What a device of this machine does in a second.
    ///
    /// # Errors
    /// It is not known.
    pub fn speed(&self, device: usize) -> Result<&Speed, Error> {
        let Device { id, kind, .. } = &self.devices[device];
        self.network.speeds.get(id).ok_or_else(|| {
            let example = match kind {
                super::DeviceKind::Gpu => "`--gpu rtx-4090`",
                super::DeviceKind::Cpu => "`--cpu ddr5-5600-dual=64GiB`",
            };
            Error::new("price time")
                .object(format!("device {id}"))
                .expected("a bandwidth")
                .found("none")
                .hint(format!(
                    "name its model, as in {example} (`apportion models --hardware` lists them), or give \
                     `bandwidth: 1TB/s` in a --hardware file"
                ))
        })
    }

    /// What is between two different devices of this machine.
    ///
    /// # Errors
    /// It is not known.
    pub fn link(&self, a: usize, b: usize) -> Result<Link, Error> {
        let (a, b) = (&self.devices[a].id, &self.devices[b].id);
        self.network.link(a, b).ok_or_else(|| {
            Error::new("price time")
                .object(format!("devices {a} and {b}"))
                .expected("a link between them")
                .found("none")
                .hint(
                    "say what is between devices, as in `--link pcie-4-x16`, or `links` and \
                     `default_link` in a --hardware file",
                )
        })
    }
}
