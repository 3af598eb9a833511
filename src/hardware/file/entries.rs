//! The keys of a hardware file, as they are written.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::hardware::DeviceKind;
use crate::units::parse_bytes;
use crate::yaml::StrictMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a hardware file")]
pub(super) struct FileEntry {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) nodes: Vec<NodeEntry>,
    #[serde(default)]
    pub(super) devices: Vec<DeviceEntry>,
    #[serde(default)]
    pub(super) links: Vec<LinkEntry>,
    pub(super) default_link: Option<LinkValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a node")]
pub(super) struct NodeEntry {
    pub(super) id: String,
    #[serde(default)]
    pub(super) devices: Vec<DeviceEntry>,
    pub(super) link: Option<LinkValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a device")]
pub(super) struct DeviceEntry {
    pub(super) id: String,
    /// Of a device that is listed outside of its node.
    pub(super) node: Option<String>,
    pub(super) kind: Option<KindEntry>,
    pub(super) model: Option<String>,
    pub(super) memory: Option<Size>,
    pub(super) reserve: Option<Size>,
    pub(super) bandwidth: Option<Bandwidth>,
    pub(super) compute: Option<String>,
}

/// What a device is called in files; to the planner there are two kinds.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::hardware) enum KindEntry {
    Cuda,
    Metal,
    Gpu,
    Cpu,
}

impl From<KindEntry> for DeviceKind {
    fn from(entry: KindEntry) -> Self {
        match entry {
            KindEntry::Cuda | KindEntry::Metal | KindEntry::Gpu => Self::Gpu,
            KindEntry::Cpu => Self::Cpu,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a link")]
pub(super) struct LinkEntry {
    pub(super) between: [String; 2],
    pub(super) kind: Option<String>,
    pub(super) latency: Option<String>,
    pub(super) bandwidth: Option<String>,
}

/// A link without ends: the name of a kind, or figures.
#[derive(Default)]
pub(super) struct LinkValue {
    pub(super) kind: Option<String>,
    pub(super) latency: Option<String>,
    pub(super) bandwidth: Option<String>,
}

/// One rate, or rates by type of the weights.
pub(super) enum Bandwidth {
    One(String),
    ByType(StrictMap<String>),
}

/// A size in bytes, or with a unit.
pub(super) struct Size(pub(super) u64);

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

impl<'de> Deserialize<'de> for Bandwidth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BandwidthVisitor;
        impl<'de> Visitor<'de> for BandwidthVisitor {
            type Value = Bandwidth;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a bandwidth such as `1TB/s`, or `{default: 1TB/s, q4_k: 800GB/s}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bandwidth, E> {
                Ok(Bandwidth::One(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Bandwidth, A::Error> {
                StrictMap::deserialize(MapAccessDeserializer::new(map)).map(Bandwidth::ByType)
            }
        }
        deserializer.deserialize_any(BandwidthVisitor)
    }
}

impl<'de> Deserialize<'de> for LinkValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "the keys of a link")]
        struct Keys {
            kind: Option<String>,
            latency: Option<String>,
            bandwidth: Option<String>,
        }
        struct LinkVisitor;
        impl<'de> Visitor<'de> for LinkVisitor {
            type Value = LinkValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a link such as `pcie-4-x16`, or `latency` and `bandwidth`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<LinkValue, E> {
                Ok(LinkValue { kind: Some(name.to_owned()), ..LinkValue::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LinkValue, A::Error> {
                let keys = Keys::deserialize(MapAccessDeserializer::new(map))?;
                let Keys { kind, latency, bandwidth } = keys;
                Ok(LinkValue { kind, latency, bandwidth })
            }
        }
        deserializer.deserialize_any(LinkVisitor)
    }
}
