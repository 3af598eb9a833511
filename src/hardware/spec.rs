//! A device or a link in a word, as on the command line: `24GiB`, `rtx-4090`, `rtx-4090=22GiB`, `pcie-4-x16`.

use super::{Device, DeviceKind, Hardware, HardwareCatalogue, Link, Network, Speed};
use crate::error::Error;
use crate::units::{parse_bandwidth, parse_bytes, parse_time};

/// A device without a name of its own: how much of it may be used, and how fast it is if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Usable bytes.
    pub capacity_bytes: u64,
    /// What its model's data sheet promises.
    pub speed: Option<Speed>,
}

impl Spec {
    /// A device of this size, of which nothing else is known.
    pub fn of_size(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, speed: None }
    }

    /// Reads `SIZE`, a `NAME` of the catalogue, or `NAME=SIZE`.
    ///
    /// ```
    /// use apportion::hardware::{DeviceKind, Spec};
    /// let read = |text| Spec::parse(text, DeviceKind::Gpu);
    /// assert_eq!(read("16GiB").unwrap(), Spec::of_size(16 << 30));
    /// assert_eq!(read("rtx-4090").unwrap().capacity_bytes, 24 << 30);
    /// assert_eq!(read("rtx-4090=22GiB").unwrap().capacity_bytes, 22 << 30);
    /// assert!(read("ddr5-5600-dual=64GiB").is_err());
    /// ```
    ///
    /// # Errors
    /// Anything else: unknown names (with the nearest), names of another kind of device, and names of what is
    /// sold in many sizes without a size.
    pub fn parse(text: &str, kind: DeviceKind) -> Result<Self, Error> {
        match text.split_once('=') {
            Some((name, size)) => Self::of(name, Some(size), kind),
            None if text.trim().starts_with(|c: char| c.is_alphabetic()) => {
                Self::of(text, None, kind)
            }
            None => parse_bytes(text).map(Self::of_size),
        }
    }

    /// A model of the catalogue, at the size that is stated or else its own.
    pub(crate) fn of(name: &str, size: Option<&str>, kind: DeviceKind) -> Result<Self, Error> {
        let name = name.trim();
        let model = HardwareCatalogue::embedded().device(name).map_err(|error| {
            error.expected("a size such as `16GiB`, or a name of the catalogue")
        })?;
        let refuse = || Error::new("use the device").object(&model.name);
        if model.kind != kind {
            return Err(refuse()
                .expected(format!("a {}", kind.name()))
                .found(format!("a {}", model.kind.name()))
                .hint(format!("give it with `--{}`", model.kind.name())));
        }
        let stated = size.map(parse_bytes).transpose()?;
        let capacity_bytes = stated.or(model.memory_bytes).ok_or_else(|| {
            refuse()
                .expected("a size, as it is sold in many")
                .found("none")
                .hint(format!("say how much may be used: `{}=64GiB`", model.name))
        })?;
        Ok(Self { capacity_bytes, speed: Some(model.speed.clone()) })
    }
}

impl Link {
    /// Reads a `NAME` of the catalogue, or `LATENCY,BANDWIDTH`.
    ///
    /// ```
    /// use apportion::hardware::Link;
    /// assert_eq!(Link::parse("5us,31.5GB/s").unwrap(), Link::parse("pcie-4-x16").unwrap());
    /// assert!(Link::parse("25GB/s").is_err());
    /// ```
    ///
    /// # Errors
    /// Anything else, with the nearest name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        const EXPECTED: &str =
            "a name such as `pcie-4-x16`, or latency and bandwidth as `5us,25GB/s`";
        let Some((latency, bandwidth)) = text.split_once(',') else {
            let known = HardwareCatalogue::embedded().link(text.trim());
            return Ok(known.map_err(|error| error.expected(EXPECTED))?.link);
        };
        let link = Self {
            latency_ps: parse_time(latency)?,
            bytes_per_second: parse_bandwidth(bandwidth)?,
        };
        link.check()?;
        Ok(link)
    }
}

impl Hardware {
    /// Devices `gpu0`, `gpu1`, ... and `cpu` as described; `reserve` is kept free on every GPU.
    ///
    /// # Errors
    /// As [`Hardware::new`].
    pub fn from_specs(gpus: &[Spec], cpu: Option<Spec>, reserve: u64) -> Result<Self, Error> {
        let mut network = Network::default();
        let mut device = |id: String, kind, spec: &Spec, reserve_bytes| {
            network.speeds.extend(spec.speed.clone().map(|speed| (id.clone(), speed)));
            Device { id, kind, capacity_bytes: spec.capacity_bytes, reserve_bytes }
        };
        let mut devices = Vec::new();
        for (index, spec) in gpus.iter().enumerate() {
            devices.push(device(format!("gpu{index}"), DeviceKind::Gpu, spec, reserve));
        }
        devices.extend(cpu.map(|spec| device("cpu".to_owned(), DeviceKind::Cpu, &spec, 0)));
        Self::new(devices)?.with_network(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_bring_speeds_and_sizes_do_not() {
        let read = |text| Spec::parse(text, DeviceKind::Gpu).unwrap();
        let cpu = Spec::parse("ddr5-5600-dual=64GiB", DeviceKind::Cpu).unwrap();
        let machine =
            Hardware::from_specs(&[read("RTX-3060"), read(" 8GiB")], Some(cpu), 7).unwrap();
        let rates: Vec<_> = machine.network.speeds.values().map(|s| s.bytes_per_second).collect();
        assert_eq!(rates, [89_600_000_000, 360_000_000_000]);
        assert!(machine.speed(1).is_err() && machine.link(0, 1).is_err());
        let linked = machine.with_default_link(Link::parse("nvlink-4").unwrap()).unwrap();
        assert_eq!(linked.link(0, 2).unwrap().bytes_per_second, 450_000_000_000);
    }

    #[test]
    fn other_devices_are_like_those_there_are() {
        let text = "version: 1\nnodes:\n  - {id: n, link: pcie-4-x16, devices: [{id: a, model: l4}, \
                    {id: b, model: t4}]}\nlinks: [{between: [a, b], kind: nvlink-4}]";
        let machine = Hardware::from_yaml(text, "x").unwrap();
        let mut devices = machine.devices.clone();
        devices.push(Device { id: "c".to_owned(), ..devices[0].clone() });
        let more = machine.with_devices(devices, "a").unwrap();
        assert_eq!(more.speed(2).unwrap(), machine.speed(0).unwrap());
        assert_eq!(more.link(1, 2).unwrap(), machine.link(0, 1).unwrap());
        assert_eq!(more.link(0, 2).unwrap(), Link::parse("pcie-4-x16").unwrap());
        let less = more.with_devices(vec![more.devices[1].clone()], "a").unwrap();
        assert_eq!((less.network.speeds.len(), less.network.links.len()), (1, 0));
        assert_eq!(machine.with_devices(machine.devices.clone(), "a").unwrap(), machine);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "=", "16", "rtx-4090=", "=16GiB", "rtx-4090=16", "big", "m2-ultra", "16GiB=l4"]
        {
            let read = Spec::parse(text, DeviceKind::Gpu);
            // A bare number is bytes.
            assert_eq!(read.is_ok(), ["16", "rtx-4090=16"].contains(&text), "{text}");
        }
        assert!(Spec::parse("ddr5-5600-dual", DeviceKind::Cpu).is_err());
        assert!(Spec::parse("l4=1GiB", DeviceKind::Cpu).is_err());
        for text in
            ["", ",", "5us", "5us,", ",5GB/s", "5us,0GB/s", "-5us,1GB/s", "5us,1B/s", "a,b,c"]
        {
            assert!(Link::parse(text).is_err(), "{text}");
        }
        let hint = Spec::parse("rtx4090", DeviceKind::Gpu).unwrap_err();
        assert!(hint.hint_text().unwrap().contains("`rtx-4090`"));
    }
}
