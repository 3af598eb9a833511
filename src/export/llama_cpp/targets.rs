//! What llama.cpp calls the planned devices: names for `-dev`, buffer types for `-ot`, servers for `--rpc`.
//!
//! A device of the machine where llama.cpp runs is called by its backend and its number there (`CUDA0`), and so
//! is its buffer type. A device behind an RPC server is called `RPC<n>`, counted over all servers in the order of
//! `--rpc`; its buffer type is `RPC<i>[host:port]`, counted on that server. The host is `CPU`, always.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::hardware::{DeviceKind, Hardware};

/// What `llama_max_devices` answers; `-ts` takes fewer.
const DEVICES_MAX: usize = 15;

/// Where llama.cpp keeps a planned device's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the memory of the host where llama.cpp runs.
    Host,
    /// On the device with this index in the hardware.
    Device(usize),
}

/// A name that a planned device has in llama.cpp, or the server that it is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The planned device.
    pub device: String,
    /// Its name, or `host:port`.
    pub is: String,
}

impl Assignment {
    /// Reads `DEVICE=NAME`, as in `gpu0=Vulkan0`.
    ///
    /// # Errors
    /// Anything else, and names that cannot stand in `-dev` and `-ot`.
    ///
    /// ```
    /// use apportion::export::llama_cpp::Assignment;
    /// assert_eq!(Assignment::name("gpu0=Vulkan0").unwrap().is, "Vulkan0");
    /// assert!(Assignment::name("gpu0=CUDA0,CPU").is_err());
    /// ```
    pub fn name(text: &str) -> Result<Self, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-:".contains(c);
        // `none` ends a list of devices, and `RPC<n>` is what only a server's device is called, by --rpc.
        let served = |name: &str| {
            let number = name.strip_prefix("RPC");
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let taken = |name: &str| name == "CPU" || name == "none" || served(name);
        let valid = |name: &str| name.len() <= 64 && name.chars().all(plain) && !taken(name);
        Self::read(
            text,
            "--device-name",
            "a name as `llama-cli --list-devices` prints it, as in `gpu0=CUDA0`",
            valid,
        )
    }

    /// Reads `DEVICE=HOST:PORT`, as in `gpu0=192.168.0.2:50052`.
    ///
    /// # Errors
    /// Anything else, and hosts that are no name and no IPv4 address: llama.cpp takes what is before the first
    /// colon for the host.
    ///
    /// ```
    /// use apportion::export::llama_cpp::Assignment;
    /// assert_eq!(Assignment::server("gpu1=node-b:50052").unwrap().is, "node-b:50052");
    /// assert!(Assignment::server("gpu1=node-b").is_err());
    /// ```
    pub fn server(text: &str) -> Result<Self, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let host = |host: &str| !host.is_empty() && host.len() <= 255 && host.chars().all(plain);
        let port = |port: &str| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0)
        };
        let valid = |is: &str| is.split_once(':').is_some_and(|(h, p)| host(h) && port(p));
        Self::read(text, "--rpc", "a server, as in `gpu0=192.168.0.2:50052`", valid)
    }

    fn read(
        text: &str,
        option: &str,
        expected: &str,
        valid: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let parts = text.split_once('=').map(|(device, is)| (device.trim(), is.trim()));
        match parts.filter(|(device, is)| !device.is_empty() && !is.is_empty() && valid(is)) {
            Some((device, is)) => Ok(Self { device: device.to_owned(), is: is.to_owned() }),
            None => Err(Error::new(format!("read {option}"))
                .object(text)
                .expected(format!("a device of the placement and {expected}"))),
        }
    }
}

/// Which planned device is what to llama.cpp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Names of devices of the machine where llama.cpp runs; without one GPUs are `CUDA0`, `CUDA1`, ...
    pub names: Vec<Assignment>,
    /// Servers of devices elsewhere, and in which order of devices on each server.
    pub servers: Vec<Assignment>,
}

/// A device as llama.cpp knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// For `-dev`.
    pub(crate) name: String,
    /// For `-ot`.
    pub(crate) buffer: String,
}

/// All devices as llama.cpp knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Targets {
    /// Per planned device; `None` for the host.
    pub(crate) devices: Vec<Option<Target>>,
    /// For `--rpc`, in order.
    pub(crate) servers: Vec<String>,
}

impl Targets {
    /// Of this machine under this naming.
    ///
    /// # Errors
    /// Names of devices that are not there, one twice, two devices of one name, devices on several nodes
    /// without servers, and several hosts.
    pub(crate) fn of(hardware: &Hardware, naming: &Naming) -> Result<Self, Error> {
        let served = assigned(hardware, &naming.servers, "--rpc")?;
        let named = assigned(hardware, &naming.names, "--device-name")?;
        if let Some(both) = (0..served.len()).find(|&d| served[d].is_some() && named[d].is_some()) {
            return Err(refuse()
                .object(&hardware.devices[both].id)
                .expected("either --rpc or --device-name")
                .found("both")
                .hint("devices behind a server are called RPC0, RPC1, ... in the order of --rpc"));
        }
        one_node(hardware, &served)?;
        let mut servers: Vec<String> = Vec::new();
        for endpoint in served.iter().flatten() {
            if !servers.contains(endpoint) {
                servers.push(endpoint.clone());
            }
        }
        let behind = |server: &String| {
            (0..served.len()).filter(|&d| served[d].as_ref() == Some(server)).collect::<Vec<_>>()
        };
        let mut devices: Vec<Option<Target>> = vec![None; served.len()];
        let mut counted = 0;
        for server in &servers {
            for (on_server, device) in behind(server).into_iter().enumerate() {
                let buffer = format!("RPC{on_server}[{server}]");
                devices[device] = Some(Target { name: format!("RPC{counted}"), buffer });
                counted += 1;
            }
        }
        let local = (0..devices.len()).filter(|&d| hardware.devices[d].kind == DeviceKind::Gpu);
        let local = local.filter(|&d| served[d].is_none()).collect::<Vec<_>>();
        for (number, device) in local.into_iter().enumerate() {
            let name = named[device].clone().unwrap_or_else(|| format!("CUDA{number}"));
            devices[device] = Some(Target { buffer: name.clone(), name });
        }
        let targets = Self { devices, servers };
        targets.check(hardware, &named)?;
        Ok(targets)
    }

    fn check(&self, hardware: &Hardware, named: &[Option<String>]) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for target in self.devices.iter().flatten() {
            if !seen.insert(&target.name) {
                return Err(refuse()
                    .object(&target.name)
                    .expected("one device of that name")
                    .found("two"));
            }
        }
        let hosts: Vec<usize> = (0..named.len()).filter(|&d| self.devices[d].is_none()).collect();
        if let Some(&host) = hosts.iter().find(|&&d| named[d].is_some()) {
            return Err(refuse()
                .object(&hardware.devices[host].id)
                .expected("no name for host memory")
                .found("--device-name")
                .hint("llama.cpp calls it CPU; one behind a server is named with --rpc"));
        }
        match hosts.as_slice() {
            [] | [_] => Ok(()),
            [_, second, ..] => Err(refuse()
                .object(&hardware.devices[*second].id)
                .expected("the host where llama.cpp runs, and servers for all others")
                .found("a second host without one")
                .hint(format!("add `--rpc {}=HOST:PORT`", hardware.devices[*second].id))),
        }
    }

    /// Where llama.cpp keeps what is planned for the device.
    pub(crate) fn place(&self, device: usize) -> Place {
        let is_device = self.devices.get(device).is_some_and(Option::is_some);
        if is_device { Place::Device(device) } else { Place::Host }
    }

    /// The buffer type of a place.
    pub(crate) fn buffer(&self, place: Place) -> &str {
        match place {
            Place::Host => "CPU",
            Place::Device(device) => {
                self.devices.get(device).and_then(Option::as_ref).map_or("CPU", |t| &t.buffer)
            }
        }
    }

    /// The names of these devices for `-dev`.
    ///
    /// # Errors
    /// More than llama.cpp takes.
    pub(crate) fn names(&self, devices: &[usize]) -> Result<Vec<&str>, Error> {
        if devices.len() > DEVICES_MAX {
            return Err(refuse()
                .expected(format!("at most {DEVICES_MAX} devices that hold anything"))
                .found(devices.len().to_string())
                .hint(format!("solve again with `--max-devices {DEVICES_MAX}`")));
        }
        let name = |&device: &usize| self.devices.get(device)?.as_ref().map(|t| t.name.as_str());
        Ok(devices.iter().filter_map(name).collect())
    }
}

fn refuse() -> Error {
    Error::new("name the devices for llama.cpp")
}

/// What each device of the machine is assigned.
fn assigned(
    hardware: &Hardware,
    assignments: &[Assignment],
    option: &str,
) -> Result<Vec<Option<String>>, Error> {
    let mut found: Vec<Option<String>> = vec![None; hardware.devices.len()];
    for Assignment { device, is } in assignments {
        let refuse = || refuse().object(format!("{option} {device}={is}"));
        let index = hardware.index_of(device).ok_or_else(|| {
            let names: Vec<String> =
                hardware.devices.iter().map(|d| format!("`{}`", d.id)).collect();
            refuse()
                .expected("a device of the placement")
                .found(format!("`{device}`"))
                .hint(format!("the devices are {}", names.join(", ")))
        })?;
        if found[index].replace(is.clone()).is_some() {
            return Err(refuse().expected("each device once").found("it twice"));
        }
    }
    Ok(found)
}

/// llama.cpp runs on one node: GPUs of others are behind servers.
fn one_node(hardware: &Hardware, served: &[Option<String>]) -> Result<(), Error> {
    let nodes = &hardware.network.nodes;
    let node = |device: usize| nodes.get(&hardware.devices[device].id);
    let local: Vec<usize> = (0..served.len()).filter(|&d| served[d].is_none()).collect();
    let first = local.iter().find_map(|&d| node(d));
    match local.iter().find(|&&d| node(d).is_some() && node(d) != first) {
        None => Ok(()),
        Some(&device) => {
            let id = &hardware.devices[device].id;
            Err(refuse()
                .object(id)
                .expected("all devices without a server on one node")
                .found(format!("nodes `{}` and `{}`", first.map_or("", |n| n), node(device).map_or("", |n| n)))
                .hint(format!(
                    "llama.cpp runs on one node; name the servers of the others, as in `--rpc {id}=HOST:PORT`"
                )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(gpus: usize) -> Hardware {
        Hardware::from_sizes(&vec![1 << 30; gpus], Some(1 << 30), 0).unwrap()
    }

    fn naming(names: &[&str], servers: &[&str]) -> Naming {
        Naming {
            names: names.iter().map(|text| Assignment::name(text).unwrap()).collect(),
            servers: servers.iter().map(|text| Assignment::server(text).unwrap()).collect(),
        }
    }

    fn names(targets: &Targets) -> Vec<(&str, &str)> {
        targets
            .devices
            .iter()
            .map(|t| t.as_ref().map_or(("", "CPU"), |t| (t.name.as_str(), t.buffer.as_str())))
            .collect()
    }

    #[test]
    fn servers_count_over_all_and_each_for_itself() {
        let given = naming(&["gpu3=Vulkan0"], &["gpu2=b:2", "gpu0=a:1", "gpu1=b:2"]);
        let targets = Targets::of(&machine(4), &given).unwrap();
        let expected = [
            ("RPC0", "RPC0[a:1]"),
            ("RPC1", "RPC0[b:2]"),
            ("RPC2", "RPC1[b:2]"),
            ("Vulkan0", "Vulkan0"),
            ("", "CPU"),
        ];
        assert_eq!(names(&targets), expected);
        assert_eq!(targets.servers, ["a:1", "b:2"]);
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let error = |names: &[&str], servers: &[&str]| {
            Targets::of(&machine(2), &naming(names, servers)).unwrap_err().to_string()
        };
        assert!(error(&["gpu0=CUDA1"], &[]).contains("`CUDA1`: expected one device of that name"));
        assert!(error(&["gpu7=CUDA1"], &[]).contains("expected a device of the placement"));
        assert!(error(&["gpu0=CUDA0", "gpu0=CUDA1"], &[]).contains("it twice"));
        assert!(error(&["gpu0=CUDA0"], &["gpu0=a:1"]).contains("found both"));
        assert!(error(&["cpu=CUDA7"], &[]).contains("no name for host memory"));
        for text in [
            "gpu0",
            "gpu0=",
            "=a:1",
            "gpu0=a",
            "gpu0=a:0",
            "gpu0=a:70000",
            "gpu0=[::1]:5",
            "gpu0=a b:1",
            "gpu0=a,b:1",
        ] {
            assert!(Assignment::server(text).is_err(), "{text}");
        }
        for text in [
            "gpu0",
            "gpu0=",
            "gpu0=a,b",
            "gpu0=a=b",
            "gpu0=a b",
            "gpu0=CPU",
            "gpu0=a'b",
            "gpu0=none",
            "gpu0=RPC0",
        ] {
            assert!(Assignment::name(text).is_err(), "{text}");
        }
    }
}
