//! What `load` prints: planned against measured, device by device and component by component.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Align, Table, decimals, per_second};
use crate::error::printable;
use crate::units::{format_bytes, grouped};

/// A model that was loaded.
#[derive(Clone, Debug)]
pub struct Loading {
    /// In the placement's order.
    pub devices: Vec<LoadedDevice>,
    /// How long it took.
    pub elapsed: Duration,
}

/// One device and what is on it.
#[derive(Clone, Debug)]
pub struct LoadedDevice {
    /// Its name in the placement.
    pub id: String,
    /// What it really is, such as `cpu` or `cuda:0`.
    pub backing: String,
    /// What it may hold.
    pub budget_bytes: u64,
    /// All weights.
    pub weights: Planned,
    /// All keys and values.
    pub kv_cache: Planned,
    /// What the placement counts for loading, and the most that was there at once.
    pub staging: Planned,
    /// What is kept a second time in another order, at most.
    pub second_copy_bytes: u64,
    /// What the driver of a GPU says was free before and after, and what there is, in bytes.
    pub driver: Option<DriverBytes>,
    /// The weights by component, in canonical order.
    pub components: Vec<(String, Planned)>,
}

/// A GPU's memory as its driver counts it, everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverBytes {
    /// Free before the first weight.
    pub free_before_bytes: u64,
    /// Free when the model was ready.
    pub free_after_bytes: u64,
    /// All there is.
    pub total_bytes: u64,
}

/// Bytes as planned and as found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// By the placement.
    pub planned_bytes: u64,
    /// In memory.
    pub measured_bytes: u64,
}

impl Planned {
    fn agrees(self) -> bool {
        self.planned_bytes == self.measured_bytes
    }
}

impl LoadedDevice {
    /// Whether what stays there is what was planned, to the byte; staging is over by then.
    fn agrees(&self) -> bool {
        let components = self.components.iter().all(|(_, bytes)| bytes.agrees());
        components && self.weights.agrees() && self.kv_cache.agrees()
    }
}

impl Loading {
    /// Whether what stays on every device is what was planned, to the byte.
    pub fn agrees(&self) -> bool {
        self.devices.iter().all(LoadedDevice::agrees)
    }

    /// Weights on all devices.
    fn weights_bytes(&self) -> u64 {
        let bytes = self.devices.iter().map(|device| device.weights.measured_bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

/// A line per device, then the components that are not as planned.
pub fn loading(loading: &Loading) -> String {
    let mut text = format!(
        "loaded {} in {:.2} s{}\n\n",
        format_bytes(loading.weights_bytes()),
        loading.elapsed.as_secs_f64(),
        rate(loading).map_or_else(String::new, |rate| format!(", {}/s", format_bytes(rate)))
    );
    text.push_str(&devices(loading));
    text.push('\n');
    if loading.agrees() {
        text.push_str("every component takes the bytes that were planned\n");
    } else {
        text.push_str("not as planned:\n");
        text.push_str(&differences(loading));
    }
    text
}

fn devices(loading: &Loading) -> String {
    let mut table = Table::new(&[
        ("device", Align::Left),
        ("is", Align::Left),
        ("budget", Align::Right),
        ("weights", Align::Right),
        ("planned", Align::Right),
        ("KV cache", Align::Right),
        ("staged", Align::Right),
    ]);
    for device in &loading.devices {
        table.row([
            printable(&device.id),
            device.backing.clone(),
            format_bytes(device.budget_bytes),
            format_bytes(device.weights.measured_bytes),
            format_bytes(device.weights.planned_bytes),
            format_bytes(device.kv_cache.measured_bytes),
            format_bytes(device.staging.measured_bytes),
        ]);
    }
    let copies = loading.devices.iter().filter(|device| device.second_copy_bytes > 0);
    let lines = copies.map(|device| {
        let (id, bytes) = (printable(&device.id), format_bytes(device.second_copy_bytes));
        format!("{id} keeps up to {bytes} more, reordered, which is not planned\n")
    });
    let drivers = loading.devices.iter().filter_map(driver);
    table.render() + &lines.chain(drivers).collect::<String>()
}

/// What its driver says of a GPU.
fn driver(device: &LoadedDevice) -> Option<String> {
    let DriverBytes { free_before_bytes, free_after_bytes, total_bytes } = device.driver?;
    let taken = free_before_bytes.saturating_sub(free_after_bytes);
    let (id, backing) = (printable(&device.id), &device.backing);
    let [before, after, total, taken] =
        [free_before_bytes, free_after_bytes, total_bytes, taken].map(format_bytes);
    Some(format!(
        "{id}: the driver of {backing} has {after} free of {total}, {before} before: {taken} less\n"
    ))
}

/// What is not as planned, in bytes: a few of them would vanish in rounding.
fn differences(loading: &Loading) -> String {
    let mut table = Table::new(&[
        ("device", Align::Left),
        ("", Align::Left),
        ("planned", Align::Right),
        ("measured", Align::Right),
    ]);
    for device in &loading.devices {
        let whole = [("weights", device.weights), ("KV cache", device.kv_cache)];
        let whole = whole.map(|(name, bytes)| (name.to_owned(), bytes));
        let all = whole.iter().chain(&device.components);
        for (name, bytes) in all.filter(|(_, bytes)| !bytes.agrees()) {
            table.row([
                printable(&device.id),
                name.clone(),
                grouped(bytes.planned_bytes),
                grouped(bytes.measured_bytes),
            ]);
        }
    }
    table.render()
}

fn rate(loading: &Loading) -> Option<u64> {
    per_second(loading.weights_bytes(), loading.elapsed).map(|rate| rate.floor_of(1))
}

/// The same for programs.
pub fn loading_json(loading: &Loading) -> Value {
    let component = |(name, bytes): &(String, Planned)| {
        json!({
            "name": name,
            "planned_bytes": bytes.planned_bytes,
            "measured_bytes": bytes.measured_bytes,
        })
    };
    let device = |device: &LoadedDevice| {
        json!({
            "id": device.id,
            "backing": device.backing,
            "budget_bytes": device.budget_bytes,
            "planned_weights_bytes": device.weights.planned_bytes,
            "measured_weights_bytes": device.weights.measured_bytes,
            "planned_kv_cache_bytes": device.kv_cache.planned_bytes,
            "measured_kv_cache_bytes": device.kv_cache.measured_bytes,
            "planned_staging_bytes": device.staging.planned_bytes,
            "peak_staging_bytes": device.staging.measured_bytes,
            "second_copy_bytes": device.second_copy_bytes,
            "driver": device.driver.map(|driver| json!({
                "free_before_bytes": driver.free_before_bytes,
                "free_after_bytes": driver.free_after_bytes,
                "total_bytes": driver.total_bytes,
            })),
            "components": device.components.iter().map(component).collect::<Vec<_>>(),
        })
    };
    json!({
        "devices": loading.devices.iter().map(device).collect::<Vec<_>>(),
        "seconds": decimals(&format!("{:.3}", loading.elapsed.as_secs_f64())),
        "bytes_per_second": rate(loading),
        "agrees": loading.agrees(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_devices() -> Loading {
        let bytes = |planned_bytes, measured_bytes| Planned { planned_bytes, measured_bytes };
        let device = |id: &str, backing: &str| LoadedDevice {
            id: id.to_owned(),
            backing: backing.to_owned(),
            budget_bytes: 8 << 30,
            weights: bytes(3 << 30, 3 << 30),
            kv_cache: bytes(1 << 20, 1 << 20),
            staging: bytes(112 << 20, 64 << 20),
            second_copy_bytes: 0,
            driver: None,
            components: vec![("embedding".to_owned(), bytes(3 << 30, 3 << 30))],
        };
        let devices = vec![device("gpu0", "cuda:0"), device("gpu1", "cpu")];
        Loading { devices, elapsed: Duration::from_millis(1500) }
    }

    #[test]
    fn what_is_as_planned_is_said_in_a_line() {
        let loaded = two_devices();
        assert_eq!(
            loading(&loaded),
            "loaded 6.00 GiB in 1.50 s, 4.00 GiB/s\n\n\
             device  is        budget   weights   planned  KV cache     staged\n\
             gpu0    cuda:0  8.00 GiB  3.00 GiB  3.00 GiB  1.00 MiB  64.00 MiB\n\
             gpu1    cpu     8.00 GiB  3.00 GiB  3.00 GiB  1.00 MiB  64.00 MiB\n\n\
             every component takes the bytes that were planned\n"
        );
        let json = loading_json(&loaded);
        assert_eq!(
            (&json["agrees"], &json["bytes_per_second"]),
            (&json!(true), &json!(4_u64 << 30))
        );
        assert_eq!(json["seconds"], json!(1.5));
        assert_eq!(json["devices"][1]["peak_staging_bytes"], json!(64 << 20));
    }

    #[test]
    fn one_byte_is_a_difference() {
        let mut loaded = two_devices();
        loaded.devices[1].components[0].1.measured_bytes += 1;
        assert!(!loaded.agrees());
        let text = loading(&loaded);
        assert!(text.ends_with(
            "not as planned:\n\
             device                   planned       measured\n\
             gpu1    embedding  3,221,225,472  3,221,225,473\n"
        ));
        loaded = two_devices();
        loaded.devices[0].kv_cache.measured_bytes -= 1;
        assert_eq!(loading_json(&loaded)["agrees"], json!(false));
        loaded = two_devices();
        loaded.devices[0].second_copy_bytes = 1 << 30;
        assert!(loading(&loaded).contains("gpu0 keeps up to 1.00 GiB more"));
        loaded.devices[0].driver = Some(DriverBytes {
            free_before_bytes: 15 << 30,
            free_after_bytes: 11 << 30,
            total_bytes: 16 << 30,
        });
        let said = "gpu0: the driver of cuda:0 has 11.00 GiB free of 16.00 GiB, 15.00 GiB before: 4.00 GiB less\n";
        assert!(loading(&loaded).contains(said));
    }
}
