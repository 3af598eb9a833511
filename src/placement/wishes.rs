//! Reads what the answer had to respect: pins, forbidden places and other limits.

use std::sync::Arc;

use serde::Deserialize;

use crate::error::Error;
use crate::hardware::Hardware;
use crate::model::ComponentId;
use crate::problem::Affinity;
use crate::runtime::{LayerDevices, SendRule};
use crate::scenario::{
    Attention, Constraint, ConstraintKind, Current, Granularity, Headroom, Limits,
    parse_devices_max,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of constraints")]
pub(super) struct ConstraintsEntry {
    pub(super) default_pins: bool,
    pins: Vec<String>,
    forbids: Vec<String>,
    #[serde(default)]
    headroom: Vec<String>,
    max_devices: Option<u64>,
    max_moved_bytes: Option<u64>,
    sends: Option<SendsEntry>,
    layer_devices: Option<LayerDevicesEntry>,
    granularity: Option<GranularityEntry>,
    attention: Option<AttentionEntry>,
}

/// Absent where it is not replicated, as before there was a choice.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum AttentionEntry {
    Replicated,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of affinity")]
pub(super) struct AffinityEntry {
    tokens: u64,
    top_k: u64,
    pair_counts: Vec<Vec<Vec<u64>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SendsEntry {
    PerExpert,
    PerDevice,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LayerDevicesEntry {
    Sequential,
    Concurrent,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum GranularityEntry {
    Layer,
    Experts,
    FusedMatrix,
    Expert,
}

/// The devices of a map by name; none where it has a number that no device has.
pub(super) fn named(homes: &[(ComponentId, usize)], hardware: &Hardware) -> Current {
    let device = |device: usize| hardware.devices.get(device).map(|device| device.id.clone());
    let name = |&(id, home): &(ComponentId, usize)| (id, device(home));
    Current { homes: homes.iter().map(name).collect() }
}

/// What there is beside pins; the current placement and routing statistics have sections of their own.
pub(super) fn read_limits(entry: &ConstraintsEntry) -> Result<Limits, Error> {
    let headrooms = entry.headroom.iter().map(|text| Headroom::parse(text));
    Ok(Limits {
        headrooms: headrooms.collect::<Result<_, _>>()?,
        moved_bytes_max: entry.max_moved_bytes,
        devices_max: entry.max_devices.map(|n| parse_devices_max(&n.to_string())).transpose()?,
        sends: entry.sends.as_ref().map(|sends| match sends {
            SendsEntry::PerExpert => SendRule::PerExpert,
            SendsEntry::PerDevice => SendRule::PerDevice,
        }),
        layer_devices: entry.layer_devices.as_ref().map(|devices| match devices {
            LayerDevicesEntry::Sequential => LayerDevices::Sequential,
            LayerDevicesEntry::Concurrent => LayerDevices::Concurrent,
        }),
        granularity: match entry.granularity {
            Some(GranularityEntry::Layer) => Granularity::Layer,
            Some(GranularityEntry::Experts) => Granularity::Experts,
            Some(GranularityEntry::FusedMatrix) => Granularity::FusedMatrix,
            Some(GranularityEntry::Expert) | None => Granularity::Expert,
        },
        attention: match entry.attention {
            Some(AttentionEntry::Replicated) => Attention::Replicated,
            None => Attention::Single,
        },
        ..Limits::default()
    })
}

/// The pair counts; whether they are of the model is for the problem to say.
pub(super) fn read_affinity(entry: &AffinityEntry) -> Arc<Affinity> {
    let AffinityEntry { tokens, top_k, pair_counts } = entry;
    Arc::new(Affinity { tokens: *tokens, top_k: *top_k, pair_counts: pair_counts.clone() })
}

/// Pins, then forbidden places.
pub(super) fn read_constraints(entry: &ConstraintsEntry) -> Result<Vec<Constraint>, Error> {
    let pins = entry.pins.iter().map(|text| Constraint::parse(ConstraintKind::Pin, text));
    let forbids = entry.forbids.iter().map(|text| Constraint::parse(ConstraintKind::Forbid, text));
    pins.chain(forbids).collect()
}
