//! How fast devices read and compute, and what is between them.

use std::collections::BTreeMap;

use super::Hardware;
use crate::error::Error;

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
}

/// What is between two devices, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Until the first byte is there.
    pub latency_ps: u64,
    /// From then on.
    pub bytes_per_second: u64,
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

impl Network {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self { nodes: self.nodes.clone(), ..Self::default() }
    }

    fn named(&self, a: &str, b: &str) -> Option<Link> {
        let key = if a <= b { (a, b) } else { (b, a) };
        self.links.get(&(key.0.to_owned(), key.1.to_owned())).copied()
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
}

impl Hardware {
    /// What a device of this machine does in a second.
    ///
    /// # Errors
    /// It is not known.
    pub fn speed(&self, device: usize) -> Result<&Speed, Error> {
        let id = &self.devices[device].id;
        self.network.speeds.get(id).ok_or_else(|| {
            Error::new("price time")
                .object(format!("device `{id}`"))
                .expected("a bandwidth")
                .found("none")
                .hint("give it in --hardware FILE, e.g. `bandwidth: 1TB/s`, or name its model")
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
                .object(format!("devices `{a}` and `{b}`"))
                .expected("a link between them")
                .found("none")
                .hint("give it in --hardware FILE under `links`, or a `default_link`")
        })
    }
}
