//! Devices and links known by name: what their makers state, embedded.
//!
//! The head of `catalogue.yaml` says what the figures are and what they are not: data sheets state the most
//! that hardware can do, and runtimes get less of it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::{DeviceKind, Link, Speed};
use crate::error::Error;
use crate::nearest::did_you_mean;
use crate::units::{parse_bandwidth, parse_bytes, parse_compute, parse_time};
use crate::yaml::{self, StrictMap};

const TEXT: &str = include_str!("catalogue.yaml");
const VERSION: u32 = 1;

/// What is known by name.
#[derive(Clone, Debug)]
pub struct HardwareCatalogue {
    /// GPUs, then host memory, each sorted by name.
    pub devices: Vec<KnownDevice>,
    /// Sorted by name.
    pub links: Vec<KnownLink>,
}

/// A GPU, or a kind of host memory.
#[derive(Clone, Debug)]
pub struct KnownDevice {
    /// What to write for it.
    pub name: String,
    /// Accelerator or host.
    pub kind: DeviceKind,
    /// Bytes on the board; `None` where it is sold in many sizes.
    pub memory_bytes: Option<u64>,
    /// What its data sheet promises.
    pub speed: Speed,
    /// Which data sheet, of which year.
    pub source: String,
}

/// A kind of link.
#[derive(Clone, Debug)]
pub struct KnownLink {
    /// What to write for it.
    pub name: String,
    /// Either way; the latency is a usual one.
    pub link: Link,
    /// Where the bandwidth is stated.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    devices: StrictMap<DeviceEntry>,
    links: StrictMap<LinkEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceEntry {
    kind: super::file::KindEntry,
    memory: Option<String>,
    bandwidth: String,
    compute: Option<String>,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkEntry {
    latency: String,
    bandwidth: String,
    source: String,
}

impl HardwareCatalogue {
    /// The embedded one.
    ///
    /// # Panics
    /// Never in a build whose tests pass: the catalogue is part of the binary and read by a test.
    pub fn embedded() -> &'static Self {
        static CATALOGUE: OnceLock<HardwareCatalogue> = OnceLock::new();
        CATALOGUE.get_or_init(|| {
            parse(TEXT).expect("the embedded catalogue is valid, which a test holds")
        })
    }

    /// The device of that name; case does not matter.
    ///
    /// # Errors
    /// An unknown name, with the nearest as a hint.
    ///
    /// ```
    /// use apportion::hardware::HardwareCatalogue;
    /// let device = HardwareCatalogue::embedded().device("RTX-4090").unwrap();
    /// assert_eq!(device.speed.bytes_per_second, 1_008_000_000_000);
    /// ```
    pub fn device(&self, name: &str) -> Result<&KnownDevice, Error> {
        let found = self.devices.iter().find(|known| known.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            unknown("find the device", name, self.devices.iter().map(|d| d.name.as_str()))
        })
    }

    /// The link of that name; case does not matter.
    ///
    /// # Errors
    /// An unknown name, with the nearest as a hint.
    pub fn link(&self, name: &str) -> Result<&KnownLink, Error> {
        let found = self.links.iter().find(|known| known.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            unknown("find the link", name, self.links.iter().map(|l| l.name.as_str()))
        })
    }
}

fn unknown<'a>(operation: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let error = Error::new(operation)
        .object(name)
        .expected("a name of the hardware catalogue")
        .found("another name");
    let list = "`apportion models --hardware` lists the names";
    error.hint(did_you_mean(name, known).unwrap_or_else(|| list.to_owned()))
}

fn parse(text: &str) -> Result<HardwareCatalogue, Error> {
    const OPERATION: &str = "read the hardware catalogue";
    let file: File = yaml::from_str(text, OPERATION, "catalogue.yaml")?;
    if file.version != VERSION {
        return Err(Error::new(OPERATION)
            .place("version")
            .expected(VERSION.to_string())
            .found(file.version.to_string()));
    }
    let devices = file.devices.0.into_iter().map(device);
    let mut devices = devices.collect::<Result<Vec<KnownDevice>, Error>>()?;
    devices.sort_by_key(|known| known.kind);
    let links = file.links.0.into_iter().map(link).collect::<Result<_, _>>()?;
    Ok(HardwareCatalogue { devices, links })
}

fn device((name, entry): (String, DeviceEntry)) -> Result<KnownDevice, Error> {
    Ok(KnownDevice {
        kind: entry.kind.into(),
        memory_bytes: entry.memory.as_deref().map(parse_bytes).transpose()?,
        speed: Speed {
            bytes_per_second: parse_bandwidth(&entry.bandwidth)?,
            by_type: BTreeMap::new(),
            flops: entry.compute.as_deref().map(parse_compute).transpose()?,
        },
        source: entry.source,
        name,
    })
}

fn link((name, entry): (String, LinkEntry)) -> Result<KnownLink, Error> {
    let link = Link {
        latency_ps: parse_time(&entry.latency)?,
        bytes_per_second: parse_bandwidth(&entry.bandwidth)?,
    };
    Ok(KnownLink { link, source: entry.source, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_plausible_and_sourced() {
        let catalogue = parse(TEXT).unwrap();
        assert!(catalogue.devices.len() > 35 && catalogue.links.len() > 8);
        for known in &catalogue.devices {
            let gpu = known.kind == DeviceKind::Gpu;
            // No name can be taken for a size, and one that is typed needs no quotes.
            assert!(known.name.starts_with(|c: char| c.is_ascii_lowercase()), "{}", known.name);
            super::super::check_id(&known.name).unwrap();
            assert!(!known.source.is_empty(), "{}", known.name);
            let rate = known.speed.bytes_per_second;
            assert!((50_000_000_000..=10_000_000_000_000).contains(&rate), "{}", known.name);
            assert!(known.memory_bytes.is_none_or(|b| (8 << 30..256 << 30).contains(&b)));
            assert!(gpu || known.memory_bytes.is_none());
            // More than ten operations for each byte read and fewer than 1000.
            let intensity = known.speed.flops.map_or(100, |flops| flops / rate);
            assert!((10..1000).contains(&intensity), "{}: {intensity}", known.name);
        }
        for known in &catalogue.links {
            super::super::check_id(&known.name).unwrap();
            assert!(known.link.latency_ps >= 1_000_000 && !known.source.is_empty());
            let rate = known.link.bytes_per_second;
            assert!((1_000_000_000..=1_000_000_000_000).contains(&rate), "{}", known.name);
        }
    }

    /// Standards state lanes and transfers, data sheets both ways together.
    #[test]
    fn figures_follow_from_what_is_published() {
        let catalogue = HardwareCatalogue::embedded();
        let link = |name| catalogue.link(name).unwrap().link.bytes_per_second;
        let pcie =
            |lanes: u64, mega_transfers: u64| lanes * mega_transfers * 1_000_000 * 128 / 130 / 8;
        for (name, exact) in [
            ("pcie-3-x16", pcie(16, 8000)),
            ("pcie-4-x8", pcie(8, 16_000)),
            ("pcie-4-x16", pcie(16, 16_000)),
            ("pcie-5-x16", pcie(16, 32_000)),
        ] {
            assert!(link(name).abs_diff(exact) * 1000 < exact, "{name}: {exact}");
        }
        assert_eq!(
            ["nvlink-3", "nvlink-4", "nvlink-5"].map(|name| link(name) * 2 / 1_000_000_000),
            [600, 900, 1800]
        );
        // SMs, boost clock in MHz, 512 operations a clock; to half a percent.
        for (name, sms, clock) in [
            ("rtx-3060", 28, 1777),
            ("rtx-3070", 46, 1725),
            ("rtx-3080", 68, 1710),
            ("rtx-3090", 82, 1695),
            ("rtx-3090-ti", 84, 1860),
            ("rtx-4060-ti-16gb", 34, 2535),
            ("rtx-4070", 46, 2475),
            ("rtx-4070-ti-super", 66, 2610),
            ("rtx-4080", 76, 2505),
            ("rtx-4090", 128, 2520),
            ("rtx-5070", 48, 2512),
            ("rtx-5070-ti", 70, 2452),
            ("rtx-5080", 84, 2617),
            ("rtx-5090", 170, 2407),
        ] {
            let exact: u64 = sms * clock * 512 * 1_000_000;
            let stated = catalogue.device(name).unwrap().speed.flops.unwrap();
            assert!(stated.abs_diff(exact) * 200 < exact, "{name}: {exact}");
        }
    }

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        let catalogue = HardwareCatalogue::embedded();
        let error = catalogue.device("rtx4090").unwrap_err();
        assert!(error.hint_text().unwrap().contains("`rtx-4090`"), "{error}");
        let error = catalogue.link("pcie-4x16").unwrap_err();
        assert!(error.hint_text().unwrap().contains("`pcie-4-x16`"), "{error}");
        let error = catalogue.device("zzz").unwrap_err();
        assert!(error.hint_text().unwrap().contains("models --hardware"), "{error}");
        assert!(parse("version: 2\ndevices: {}\nlinks: {}").is_err());
    }
}
