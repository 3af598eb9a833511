//! The devices of a hardware file: what is stated, and what a model's name stands for.

use std::collections::BTreeMap;

use super::entries::{Bandwidth, DeviceEntry};
use super::refuse;
use crate::error::Error;
use crate::hardware::catalogue::{HardwareCatalogue, KnownDevice};
use crate::hardware::{Device, DeviceKind, Speed};
use crate::units::{parse_bandwidth, parse_compute};

/// A device of the file, and what it does in a second as far as the file says.
pub(super) fn to_device(
    entry: DeviceEntry,
    source: &str,
) -> Result<(Device, Option<Speed>), Error> {
    let at = format!("device `{}`", entry.id);
    let place = |error: Error| error.place(format!("{at} of `{source}`"));
    let model = entry.model.as_deref().map(|name| HardwareCatalogue::embedded().device(name));
    let model = model.transpose().map_err(place)?;
    let kind = kind(&entry, model).map_err(|error| error.object(source).place(&at))?;
    let size = entry.memory.as_ref().map(|size| size.0);
    let Some(capacity_bytes) = size.or(model.and_then(|model| model.memory_bytes)) else {
        let found = match model {
            Some(model) => format!("`{}`, which is sold in many sizes", model.name),
            None => "neither".to_owned(),
        };
        return Err(refuse(source)
            .place(at)
            .expected("`memory`, or a `model` of known memory")
            .found(found)
            .hint("say how much may be used, e.g. `memory: 64GiB`"));
    };
    let speed = speed(&entry, model, source, &at)?;
    if let Some(speed) = &speed {
        speed.check().map_err(place)?;
    }
    let reserve_bytes = entry.reserve.map_or(0, |size| size.0);
    Ok((Device { id: entry.id, kind, capacity_bytes, reserve_bytes }, speed))
}

fn kind(entry: &DeviceEntry, model: Option<&KnownDevice>) -> Result<DeviceKind, Error> {
    let refuse = || Error::new("read the hardware file");
    match (entry.kind.map(DeviceKind::from), model) {
        (Some(stated), Some(model)) if stated != model.kind => Err(refuse()
            .expected(format!("a model of kind `{}`", stated.name()))
            .found(format!("`{}`, a {}", model.name, model.kind.name()))),
        (Some(stated), _) => Ok(stated),
        (None, Some(model)) => Ok(model.kind),
        (None, None) => Err(refuse()
            .expected("`kind` (cuda, metal, gpu or cpu), or a `model`")
            .found("neither")),
    }
}

/// What is stated, else what the model's data sheet says.
fn speed(
    entry: &DeviceEntry,
    model: Option<&KnownDevice>,
    source: &str,
    at: &str,
) -> Result<Option<Speed>, Error> {
    let place = |error: Error| error.place(format!("{at} of `{source}`"));
    let known = model.map(|model| &model.speed);
    let mut by_type = BTreeMap::new();
    let default = match &entry.bandwidth {
        Some(Bandwidth::One(text)) => Some(parse_bandwidth(text).map_err(place)?),
        Some(Bandwidth::ByType(rates)) => {
            for (name, text) in rates.iter().filter(|(name, _)| *name != "default") {
                by_type.insert(name.clone(), parse_bandwidth(text).map_err(place)?);
            }
            let stated = rates.get("default").map(|text| parse_bandwidth(text));
            let default = stated.transpose().map_err(place)?;
            let Some(default) = default.or(known.map(|speed| speed.bytes_per_second)) else {
                return Err(refuse(source)
                    .place(at)
                    .expected("`default` among the bandwidths by type")
                    .found("none")
                    .hint(
                        "it is that of every other type, e.g. `{default: 1TB/s, q4_k: 800GB/s}`",
                    ));
            };
            Some(default)
        }
        None => known.map(|speed| speed.bytes_per_second),
    };
    let stated = entry.compute.as_deref().map(parse_compute).transpose().map_err(place)?;
    let flops = stated.or(known.and_then(|speed| speed.flops));
    match (default, flops) {
        (Some(bytes_per_second), flops) => Ok(Some(Speed { bytes_per_second, by_type, flops })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(refuse(source)
            .place(at)
            .expected("`bandwidth` beside `compute`")
            .found("none")
            .hint("most of what a device does is reading, e.g. `bandwidth: 1TB/s`")),
    }
}
