//! Ways out in words: what to type, what it means, and what was tried in vain.

use super::plural;
use crate::error::printable;
use crate::hardware::{Device, DeviceKind, Hardware};
use crate::problem::Problem;
use crate::remedy::{CONTEXT_STEP_TOKENS, Cost, NotEnough, Offer, Remedy};
use crate::scenario::Scenario;
use crate::units::{exact_size, format_bytes, size_at_least};

/// More devices than this make a line of options nobody reads.
const OPTIONS_DEVICES_MAX: usize = 8;

/// What the remedy changes, in words, and what that costs.
pub fn meaning(problem: &Problem, offer: &Offer) -> String {
    let change = change(problem, &offer.remedy);
    match &offer.remedy {
        Remedy::AddBytes { .. } => change,
        _ => format!("{change}: {}", cost(&offer.cost)),
    }
}

fn change(problem: &Problem, remedy: &Remedy) -> String {
    let device = |index: usize| printable(&problem.devices[index].id);
    match remedy {
        Remedy::ReleaseDefaultPins => "without the default pins".to_owned(),
        Remedy::ReleaseRule { rule } => {
            format!("without `{}`", printable(&problem.rules[*rule].text))
        }
        Remedy::Headroom { percent: 0 } => "without any headroom".to_owned(),
        Remedy::Headroom { .. } => "the most headroom that fits".to_owned(),
        Remedy::DevicesMax { .. } => "the fewest devices that fit".to_owned(),
        Remedy::Context { .. } => {
            format!("the longest context that fits, in steps of {CONTEXT_STEP_TOKENS}")
        }
        Remedy::Batch { .. } => "the largest batch that fits".to_owned(),
        Remedy::Quantization { .. } => {
            "the heaviest quantization of this runtime that fits".to_owned()
        }
        Remedy::AddBytes { device: index, bytes } => {
            format!("{} more on {}", format_bytes(*bytes), device(*index))
        }
        Remedy::AddBytesEach { bytes } => format!("{} more on every GPU", format_bytes(*bytes)),
        Remedy::AddDevice { like } => format!("one more GPU like {}", device(*like)),
    }
}

fn cost(cost: &Cost) -> String {
    match cost {
        Cost::Nothing => "nobody asked for them".to_owned(),
        Cost::Rule { components } => format!("{} bound no more", plural(*components, "component")),
        Cost::Headroom { percent } | Cost::Service { percent } => format!("{percent} % less"),
        Cost::Devices { more } => format!("{more} more"),
        Cost::Weights { bytes } => format!("{} of weights less", format_bytes(*bytes)),
        Cost::Memory { bytes } => format!("{} in all", format_bytes(*bytes)),
        Cost::Device { bytes } => format_bytes(*bytes),
    }
}

/// The options that state the remedy on the command line; `None` when none do, as for a rule to leave
/// out or a machine that only a file describes.
pub fn options(scenario: &Scenario, remedy: &Remedy) -> Option<String> {
    let devices = &scenario.hardware.devices;
    let enlarged = |gets: &dyn Fn(usize, &Device) -> u64| {
        let sizes = devices.iter().enumerate().map(|(index, device)| match gets(index, device) {
            0 => exact_size(device.capacity_bytes),
            bytes => size_at_least(device.capacity_bytes.saturating_add(bytes)),
        });
        machine(&scenario.hardware, &sizes.collect::<Vec<_>>())
    };
    match remedy {
        Remedy::ReleaseDefaultPins => Some("--free-default-pins".to_owned()),
        Remedy::ReleaseRule { .. } => None,
        Remedy::Headroom { percent } => {
            let headrooms = scenario.limits.headrooms.iter();
            let typed = headrooms.map(|h| format!("--headroom {}", h.scaled(*percent)));
            Some(typed.collect::<Vec<_>>().join(" "))
        }
        Remedy::DevicesMax { devices } => Some(format!("--max-devices {devices}")),
        Remedy::Context { tokens } => Some(format!("--context {tokens}")),
        Remedy::Batch { sequences } => Some(format!("--batch {sequences}")),
        Remedy::Quantization { scheme } => Some(format!("--quant {scheme}")),
        Remedy::AddBytes { device, bytes } => {
            enlarged(&|index, _| if index == *device { *bytes } else { 0 })
        }
        Remedy::AddBytesEach { bytes } => {
            enlarged(&|_, device| if device.kind == DeviceKind::Gpu { *bytes } else { 0 })
        }
        Remedy::AddDevice { like } => {
            // After the other GPUs: the first of them is special.
            let size = exact_size(devices.get(*like)?.capacity_bytes);
            let options = enlarged(&|_, _| 0)?;
            let (gpus, cpu) = options.split_once(" --cpu").unwrap_or((&options, ""));
            let cpu = if cpu.is_empty() { String::new() } else { format!(" --cpu{cpu}") };
            Some(format!("{gpus} --gpu {size}{cpu}"))
        }
    }
}

/// `--gpu` and `--cpu` for devices named as those options name them; of more than sizes only who described
/// the machine knows how.
fn machine(hardware: &Hardware, sizes: &[String]) -> Option<String> {
    let devices = &hardware.devices;
    let named = |(index, device): (usize, &Device)| match device.kind {
        DeviceKind::Gpu => device.id == format!("gpu{index}"),
        DeviceKind::Cpu => device.id == "cpu",
    };
    let typed = devices.len() <= OPTIONS_DEVICES_MAX
        && devices.iter().enumerate().all(named)
        && hardware.network.is_empty();
    let options = devices.iter().zip(sizes).map(|(d, size)| format!("--{} {size}", d.kind.name()));
    typed.then(|| options.collect::<Vec<_>>().join(" "))
}

/// A kind of change that is not enough, in words.
pub fn in_vain(scenario: &Scenario, problem: &Problem, not_enough: &NotEnough) -> String {
    let device = |index: usize| printable(&problem.devices[index].id);
    match not_enough {
        NotEnough::DefaultPins => "releasing the default pins is not enough".to_owned(),
        NotEnough::Rule { rule } => {
            format!("releasing `{}` is not enough", printable(&problem.rules[*rule].text))
        }
        NotEnough::Headroom => "giving up the headroom is not enough".to_owned(),
        NotEnough::DevicesMax => "more devices of those there are are not enough".to_owned(),
        NotEnough::Context { tokens: Some(tokens) } => {
            format!("no shorter context fits (tried down to {tokens} tokens)")
        }
        NotEnough::Context { tokens: None } => {
            format!("no shorter context was tried: {} tokens are few", scenario.load.context)
        }
        NotEnough::Batch => "no smaller batch fits (tried down to 1)".to_owned(),
        NotEnough::Quantization { tried } if tried.is_empty() => {
            format!("no quantization of this runtime is lighter than {}", scenario.scheme.name())
        }
        NotEnough::Quantization { tried } => {
            format!("no lighter quantization of this runtime fits (tried {})", tried.join(", "))
        }
        NotEnough::Bytes { device: index } => {
            format!("no amount of memory on {} alone is enough", device(*index))
        }
        NotEnough::BytesEach => "no amount of memory on the GPUs is enough".to_owned(),
        NotEnough::Device { like } => {
            format!("one more GPU like {} is not enough", device(*like))
        }
    }
}

/// The name of the kind in JSON.
pub fn kind(remedy: &Remedy) -> &'static str {
    match remedy {
        Remedy::ReleaseDefaultPins => "release_default_pins",
        Remedy::ReleaseRule { .. } => "release_rule",
        Remedy::Headroom { .. } => "headroom",
        Remedy::DevicesMax { .. } => "devices_max",
        Remedy::Context { .. } => "context",
        Remedy::Batch { .. } => "batch",
        Remedy::Quantization { .. } => "quantization",
        Remedy::AddBytes { .. } => "add_bytes",
        Remedy::AddBytesEach { .. } => "add_bytes_each",
        Remedy::AddDevice { .. } => "add_device",
    }
}

/// As [`kind`], of what was tried in vain.
pub fn kind_in_vain(not_enough: &NotEnough) -> &'static str {
    match not_enough {
        NotEnough::DefaultPins => "release_default_pins",
        NotEnough::Rule { .. } => "release_rule",
        NotEnough::Headroom => "headroom",
        NotEnough::DevicesMax => "devices_max",
        NotEnough::Context { .. } => "context",
        NotEnough::Batch => "batch",
        NotEnough::Quantization { .. } => "quantization",
        NotEnough::Bytes { .. } => "add_bytes",
        NotEnough::BytesEach => "add_bytes_each",
        NotEnough::Device { .. } => "add_device",
    }
}
