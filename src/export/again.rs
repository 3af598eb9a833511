//! The command line that asks the question of a scenario again.

use super::quote;
use crate::hardware::{Device, DeviceKind, Hardware};
use crate::memory::Load;
use crate::problem::Objective;
use crate::scenario::{
    Attention, Constraint, ConstraintKind, Granularity, Scenario, default_objectives,
    default_objectives_replicated, with_spill_first,
};
use crate::units::exact_size;

/// `apportion solve ...` with these further wishes, words that a shell reads as they are. A wish that the scenario
/// has too is left out of the scenario's. What a placement does not record by name stands in capitals: `MODEL`
/// for files with weights of their own, `HARDWARE.yaml`, `ROUTING.json`, `RUNTIME.yaml`, `CURRENT.yaml`.
pub fn command(scenario: &Scenario, wishes: &[String]) -> String {
    let mut words = vec!["apportion".to_owned(), "solve".to_owned()];
    words.extend(model(scenario));
    words.extend(used(scenario));
    words.extend(machine(&scenario.hardware));
    words.extend(rules(scenario, wishes));
    words.extend(limits(scenario));
    words.extend(objectives(scenario));
    let mut words = without(words, wishes);
    words.extend_from_slice(wishes);
    let placeholder = |word: &String| quote::shell(word).unwrap_or_else(|| "NAME".to_owned());
    words.iter().map(placeholder).collect::<Vec<_>>().join(" ")
}

/// Options that are typed once, all with a value: a wish for one stands instead of the scenario's.
const ONCE: [&str; 7] = [
    "--attention",
    "--granularity",
    "--kv-type",
    "--max-devices",
    "--objective",
    "--runtime",
    "--runtime-profile",
];

/// The words without those options that a wish replaces.
fn without(words: Vec<String>, wishes: &[String]) -> Vec<String> {
    let replaced = |word: &String| {
        // A profile is of a runtime.
        let by = if word == "--runtime-profile" { "--runtime" } else { word };
        ONCE.contains(&word.as_str()) && wishes.iter().any(|wish| wish == by)
    };
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if replaced(&word) {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept
}

/// Whether a wished pin puts what a constraint speaks of elsewhere.
fn contradicted(constraint: &Constraint, wishes: &[String]) -> bool {
    let assignment = constraint.assignment();
    let split = |text: &str| text.split_once('=').map(|(p, d)| (p.to_owned(), d.to_owned()));
    let pins = wishes.windows(2).filter(|pair| pair[0] == "--pin");
    pins.filter_map(|pair| split(&pair[1])).any(|(pattern, device)| match constraint.kind {
        ConstraintKind::Pin => split(&assignment).is_some_and(|(p, d)| p == pattern && d != device),
        ConstraintKind::Forbid => assignment == format!("{pattern}={device}"),
    })
}

fn option(name: &str, value: impl Into<String>) -> [String; 2] {
    [name.to_owned(), value.into()]
}

fn model(scenario: &Scenario) -> Vec<String> {
    let Scenario { model, scheme, .. } = scenario;
    if scheme.is_stored() {
        return vec!["MODEL".to_owned()];
    }
    let known = crate::model::Model::from_catalogue(&model.name);
    let same = known.is_ok_and(|known| known.fingerprint == model.fingerprint);
    let mut words = vec![if same { model.name.clone() } else { "MODEL".to_owned() }];
    words.extend(option("--quant", scheme.name()));
    let overrides = scheme.overrides().iter();
    words.extend(overrides.flat_map(|one| option("--quant-override", one.to_string())));
    words
}

fn used(scenario: &Scenario) -> Vec<String> {
    let load = &scenario.load;
    let plain = Load::default();
    let mut words = Vec::new();
    if load.context != plain.context {
        words.extend(option("--context", load.context.to_string()));
    }
    if load.batch != plain.batch {
        words.extend(option("--batch", load.batch.to_string()));
    }
    if load.kv_type != plain.kv_type {
        words.extend(option("--kv-type", load.kv_type.name()));
    }
    // A placement records what came of the default.
    let staging = load.staging.filter(|&staging| staging != scenario.scheme.default_staging());
    words.extend(staging.into_iter().flat_map(|staging| option("--staging", staging.name())));
    if !load.runtime.is_default() {
        words.extend(option("--runtime", load.runtime.name()));
    }
    if !load.runtime.differences().is_empty() {
        words.extend(option("--runtime-profile", "RUNTIME.yaml"));
    }
    words
}

fn machine(hardware: &Hardware) -> Vec<String> {
    let of = |kind| hardware.devices.iter().filter(move |device: &&Device| device.kind == kind);
    let gpus: Vec<u64> = of(DeviceKind::Gpu).map(|device| device.capacity_bytes).collect();
    let cpu = of(DeviceKind::Cpu).map(|device| device.capacity_bytes).next();
    let reserve = of(DeviceKind::Gpu).map(|device| device.reserve_bytes).next().unwrap_or(0);
    // Sizes say everything only of a machine that sizes make.
    let made = Hardware::from_sizes(&gpus, cpu, reserve);
    if made.is_ok_and(|made| made == *hardware) {
        let mut words: Vec<String> =
            gpus.iter().flat_map(|&bytes| option("--gpu", exact_size(bytes))).collect();
        words.extend(cpu.into_iter().flat_map(|bytes| option("--cpu", exact_size(bytes))));
        if reserve > 0 {
            words.extend(option("--reserve", exact_size(reserve)));
        }
        return words;
    }
    option("--hardware", "HARDWARE.yaml").to_vec()
}

fn rules(scenario: &Scenario, wishes: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for constraint in scenario.constraints.iter().filter(|one| !contradicted(one, wishes)) {
        let name = match constraint.kind {
            ConstraintKind::Pin => "--pin",
            ConstraintKind::Forbid => "--forbid",
        };
        words.extend(option(name, constraint.assignment()));
    }
    let asked = wishes.iter().any(|wish| wish == "--free-default-pins");
    if !scenario.default_pins && scenario.limits.attention == Attention::Single && !asked {
        words.push("--free-default-pins".to_owned());
    }
    words
}

fn limits(scenario: &Scenario) -> Vec<String> {
    let limits = &scenario.limits;
    let mut words = Vec::new();
    words.extend(limits.headrooms.iter().flat_map(|h| option("--headroom", h.to_string())));
    words.extend(
        limits.devices_max.into_iter().flat_map(|n| option("--max-devices", n.to_string())),
    );
    let hyphens = |name: &str| name.replace('_', "-");
    words.extend(limits.sends.into_iter().flat_map(|s| option("--sends", hyphens(s.name()))));
    words
        .extend(limits.layer_devices.into_iter().flat_map(|l| option("--layer-devices", l.name())));
    words.extend(limits.routing.iter().flat_map(|_| option("--routing", "ROUTING.json")));
    if limits.routing.len() > 1 {
        words.push("--robust".to_owned());
    }
    if limits.granularity != Granularity::default() {
        words.extend(option("--granularity", hyphens(limits.granularity.name())));
    }
    if limits.attention != Attention::default() {
        words.extend(option("--attention", limits.attention.name()));
        words.extend(limits.affinity.iter().flat_map(|_| option("--routing", "ROUTING.json")));
    }
    words.extend(limits.current.iter().flat_map(|_| option("--migrate-from", "CURRENT.yaml")));
    words
}

fn objectives(scenario: &Scenario) -> Vec<String> {
    let default = match scenario.limits.attention {
        Attention::Single => default_objectives(),
        Attention::Replicated => default_objectives_replicated(scenario.limits.affinity.is_some()),
    };
    let first =
        |objectives: &[Objective]| with_spill_first(objectives, scenario.hardware.has_cpu());
    if first(&default) == first(&scenario.objectives) {
        return Vec::new();
    }
    option("--objective", order(&scenario.objectives)).to_vec()
}

/// Objectives as they are typed, each with its tolerance.
pub(super) fn order(objectives: &[Objective]) -> String {
    let one = |o: &Objective| {
        let [over, under] = [o.tolerance.numerator(), o.tolerance.denominator()];
        format!("{}:{over}/{under}", o.kind.name())
    };
    objectives.iter().map(one).collect::<Vec<_>>().join(",")
}
