//! Flags of llama.cpp: one line that a shell reads, and beside it the same words as a JSON array.
//!
//! Read in llama.cpp of late 2026 (src/llama-model.cpp, `load_tensors`; src/llama-model-loader.cpp,
//! `create_tensor`; common/arg.cpp):
//!
//! - Files hold a layer's experts as one tensor for each matrix, so a matrix is the finest unit.
//! - `-ngl` and `-ts` give every device of `-dev` one run of layers, in that order, and leave the first layers to
//!   the host; the cache of a layer goes with it. See `split.rs`.
//! - `-ot PATTERN=BUFFER` moves tensors by name; the first pattern that matches counts, and these match exactly the
//!   tensors of components that are away from their layer, so their order does not matter.
//! - The token embedding stays on the host, and a tied head is a copy of it where the output is.
//! - `--rpc` must come before names of devices behind servers. `--fit off` keeps llama.cpp from choosing again,
//!   `--no-repack` keeps host memory as large as it was planned, `--no-op-offload` keeps what is on the host from
//!   being copied to a device that has no room planned for it.

mod patterns;
mod refusals;
mod split;
pub(crate) mod targets;

use std::collections::{BTreeMap, BTreeSet};

use super::{Beside, Export, Exporter, Options, Plan, Refusal, Stop, quote};
use crate::checkpoint;
use crate::error::Error;
use crate::memory::KvType;
use crate::model::ComponentId;
use crate::problem::Problem;
use crate::quant::Storage;
use crate::runtime::{Rules, Sequences};
use crate::scenario::{Granularity, Scenario};
use split::Split;
use targets::Targets;

pub use targets::{Assignment, Naming, Place};

/// What `llama_max_tensor_buft_overrides` answers.
const OVERRIDES_MAX: usize = 4096;

pub(super) struct LlamaCpp;

impl Exporter for LlamaCpp {
    fn name(&self) -> &'static str {
        "llama.cpp"
    }

    fn about(&self) -> &'static str {
        "flags: -ngl, -ts, -ot, --rpc, cache and batch as solved"
    }

    fn options(&self) -> &'static [&'static str] {
        &["rpc", "device-name"]
    }

    fn unit(&self, _: &Options) -> Result<Option<Granularity>, Error> {
        Ok(Some(Granularity::FusedMatrix))
    }

    fn check(&self, plan: &Plan<'_>) -> Result<(), Error> {
        check_kind(plan.scenario, "write flags of llama.cpp")
    }

    fn fixed(
        &self,
        plan: &Plan<'_>,
        options: &Options,
        id: ComponentId,
    ) -> Option<(usize, &'static str)> {
        if id != ComponentId::Embedding {
            return None;
        }
        let targets = targets(plan.scenario, options).ok()?;
        let mut devices = 0..plan.problem.devices.len();
        let host = devices.find(|&device| targets.place(device) == Place::Host)?;
        Some((host, "where token ids are looked up"))
    }

    fn write(&self, plan: &Plan<'_>, options: &Options) -> Result<Export, Stop> {
        let scenario = plan.scenario;
        let targets = targets(scenario, options)?;
        let storage = scenario.demand()?.storage;
        let split = split(plan, &targets)?;
        let mut words = Vec::new();
        if let Some(refusal) = tied_elsewhere(plan, &targets, &split, &storage) {
            return Err(refusal.into());
        }
        let moved = overrides(plan, &targets, &split, &storage)?;
        place(&mut words, plan, &targets, &split, &moved)?;
        use_words(&mut words, scenario);
        let line: Option<Vec<String>> = words.iter().map(|word| quote::shell(word)).collect();
        let line = line.ok_or_else(|| {
            Error::new("write the flags").found("a tensor whose name has control characters")
        })?;
        let mut export = Export::of(line.join(" ") + "\n");
        export.notes = notes(scenario, &moved);
        let text = serde_json::Value::from(words);
        export.beside.push(Beside { suffix: "argv.json", text: format!("{text:#}\n") });
        Ok(export)
    }
}

/// What the devices are called, as options say it.
pub(crate) fn naming(options: &Options) -> Result<Naming, Error> {
    let read = |name, read: fn(&str) -> Result<Assignment, Error>| {
        options.all(name).iter().map(|text| read(text)).collect::<Result<Vec<_>, _>>()
    };
    Ok(Naming {
        names: read("device-name", Assignment::name)?,
        servers: read("rpc", Assignment::server)?,
    })
}

fn targets(scenario: &Scenario, options: &Options) -> Result<Targets, Error> {
    Targets::of(&scenario.hardware, &naming(options)?)
}

/// Bytes planned by the rules of another engine, or for other files, say nothing of llama.cpp.
pub(crate) fn check_kind(scenario: &Scenario, operation: &str) -> Result<(), Error> {
    let refuse = || Error::new(operation);
    let found = scenario.model.found.as_ref().map(|found| found.format);
    let stored = scenario.scheme.is_stored() && found == Some(checkpoint::Format::Gguf);
    if scenario.scheme.kind() != "GGUF" && !stored {
        return Err(refuse()
            .expected("a quantization of GGUF files")
            .found(format!("`{}`", scenario.scheme.name()))
            .hint("--quant q4_k_m, gguf-f16 or another that `apportion models --quants` lists as GGUF"));
    }
    if !scenario.load.runtime.rules().embedding_on_host {
        return Err(refuse()
            .expected("memory planned by its rules")
            .found(format!("those of `{}`", scenario.load.runtime.name()))
            .hint("--runtime llama.cpp"));
    }
    Ok(())
}

fn split(plan: &Plan<'_>, targets: &Targets) -> Result<Split, Stop> {
    let layers = plan.scenario.model.geometry.layers;
    let home = |id| plan.home(id).map(|device| targets.place(device));
    let homes: Vec<Place> = (0..layers).filter_map(|l| home(ComponentId::Attention(l))).collect();
    let further = plan.scenario.model.gguf_counts.layers.saturating_sub(layers);
    Ok(Split::of(&homes, further, home(ComponentId::OutputHead))
        .map_err(|broken| refusals::broken(plan, targets, &broken))?)
}

/// A tied head has the name of the embedding, so no pattern moves it alone.
fn tied_elsewhere(
    plan: &Plan<'_>,
    targets: &Targets,
    split: &Split,
    storage: &Storage,
) -> Option<Refusal> {
    let head = ComponentId::OutputHead;
    let device = plan.home(head)?;
    let own = storage.tensors.iter().any(|tensor| tensor.component == head);
    if own || targets.place(device) == split.output {
        return None;
    }
    let mut devices = 0..plan.problem.devices.len();
    let last = devices.find(|&device| targets.place(device) == split.output)?;
    let reason = format!(
        "there a tied head is a copy of the embedding that goes with the last layer, to {}",
        plan.device(last).id
    );
    let pin = format!("{head}={}", plan.device(last).id);
    Some(Refusal::new(plan, head, reason, ["--pin", &pin]))
}

/// One `-ot`: its pattern, where it sends what it matches, and whether that is part of layers.
struct Override {
    pattern: String,
    place: Place,
    of_layers: bool,
}

/// Patterns for every component that is not where its layer, or the output, is.
fn overrides(
    plan: &Plan<'_>,
    targets: &Targets,
    split: &Split,
    storage: &Storage,
) -> Result<Vec<Override>, Error> {
    let mut names: BTreeMap<ComponentId, BTreeSet<&str>> = BTreeMap::new();
    for tensor in storage.tensors.iter() {
        names.entry(tensor.component).or_default().insert(&tensor.name);
    }
    let mut layers: BTreeMap<(Place, BTreeSet<&str>), BTreeSet<u32>> = BTreeMap::new();
    let mut whole: BTreeMap<Place, BTreeSet<&str>> = BTreeMap::new();
    for (id, device) in plan.homes() {
        let place = targets.place(device);
        let expected = match id.layer() {
            Some(layer) => home_of_layer(plan.problem, plan, targets, layer),
            None => split.output,
        };
        if id == ComponentId::Embedding || place == expected {
            continue;
        }
        for name in names.get(&id).into_iter().flatten() {
            check_name(name)?;
        }
        let before = id.layer().map(|layer| format!("blk.{layer}."));
        let short =
            |name: &&'_ str| before.as_ref().and_then(|b| name.strip_prefix(b.as_str())).is_some();
        let names = names.get(&id).into_iter().flatten().copied();
        let (short, long): (BTreeSet<&str>, BTreeSet<&str>) = names.partition(short);
        let start = before.as_ref().map_or(0, String::len);
        let short: BTreeSet<&str> = short.into_iter().map(|name| &name[start..]).collect();
        if let Some(layer) = id.layer().filter(|_| !short.is_empty()) {
            layers.entry((place, short)).or_default().insert(layer);
        }
        if !long.is_empty() {
            whole.entry(place).or_default().extend(long);
        }
    }
    let mut found = of_layers(&joined(layers));
    let of_whole = |(place, names): (Place, BTreeSet<&str>)| Override {
        pattern: patterns::of_whole(&names),
        place,
        of_layers: false,
    };
    found.extend(whole.into_iter().map(of_whole));
    if found.len() > OVERRIDES_MAX {
        return Err(Error::new("write flags of llama.cpp")
            .expected(format!("at most {OVERRIDES_MAX} patterns"))
            .found(found.len().to_string()));
    }
    Ok(found)
}

type ByNames<'a> = BTreeMap<(Place, BTreeSet<&'a str>), BTreeSet<u32>>;

/// Matrices that go together from the same layers share a pattern.
fn joined(one_by_one: ByNames<'_>) -> ByNames<'_> {
    let mut of_layer: BTreeMap<(Place, u32), BTreeSet<&str>> = BTreeMap::new();
    for ((place, names), layers) in one_by_one {
        for layer in layers {
            of_layer.entry((place, layer)).or_default().extend(&names);
        }
    }
    let mut joined: ByNames<'_> = BTreeMap::new();
    for ((place, layer), names) in of_layer {
        joined.entry((place, names)).or_default().insert(layer);
    }
    joined
}

fn of_layers(by_names: &ByNames<'_>) -> Vec<Override> {
    let one = |((place, names), layers): (&(Place, BTreeSet<&str>), &BTreeSet<u32>)| Override {
        pattern: patterns::of_layers(layers, names),
        place: *place,
        of_layers: true,
    };
    let mut found: Vec<(u32, Override)> = by_names
        .iter()
        .map(|both| (both.1.first().copied().unwrap_or_default(), one(both)))
        .collect();
    found.sort_by(|(a, one), (b, other)| (a, &one.pattern).cmp(&(b, &other.pattern)));
    found.into_iter().map(|(_, one)| one).collect()
}

fn home_of_layer(problem: &Problem, plan: &Plan<'_>, targets: &Targets, layer: u32) -> Place {
    let attention = problem.index_of(ComponentId::Attention(layer));
    attention.map_or(Place::Host, |index| targets.place(plan.placement.device_of[index]))
}

/// A comma ends a pattern and the first `=` begins the buffer, whatever surrounds them.
fn check_name(name: &str) -> Result<(), Error> {
    let bad = name.chars().find(|&c| c == ',' || c == '=' || c.is_control() || !c.is_ascii());
    match bad {
        None => Ok(()),
        Some(c) => Err(Error::new("write a pattern for the tensor")
            .object(name)
            .expected("a name without commas, `=` and characters beyond ASCII, as -ot reads it")
            .found(format!("`{}`", c.escape_default()))),
    }
}

/// Servers, devices, layers, tensors.
fn place(
    words: &mut Vec<String>,
    plan: &Plan<'_>,
    targets: &Targets,
    split: &Split,
    moved: &[Override],
) -> Result<(), Error> {
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if !targets.servers.is_empty() {
        option("--rpc", targets.servers.join(","));
    }
    let mut order: Vec<usize> = split.runs.iter().map(|&(device, _)| device).collect();
    for (device, used) in plan.measured.devices.iter().enumerate() {
        let holds = used.used_bytes > 0 && targets.place(device) != Place::Host;
        if holds && !order.contains(&device) {
            order.push(device);
        }
    }
    let names = targets.names(&order)?;
    option("-dev", if names.is_empty() { "none".to_owned() } else { names.join(",") });
    option("-ngl", split.gpu_layers.to_string());
    if split.runs.len() > 1 || order.len() > split.runs.len() && !split.runs.is_empty() {
        let length = |device: &usize| split.runs.iter().find(|run| run.0 == *device);
        let lengths = order.iter().map(|device| length(device).map_or(0, |run| run.1).to_string());
        option("-ts", lengths.collect::<Vec<_>>().join(","));
    }
    for one in moved {
        option("-ot", format!("{}={}", one.pattern, targets.buffer(one.place)));
    }
    Ok(())
}

/// Cache, batch, and what keeps llama.cpp from other choices.
fn use_words(words: &mut Vec<String>, scenario: &Scenario) {
    const BATCH: u64 = 2048;
    let load = &scenario.load;
    let rules: &Rules = load.runtime.rules();
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    let tokens = load.context.saturating_mul(load.batch);
    option("-c", &tokens.to_string());
    option("-np", &load.batch.to_string());
    option("-ctk", load.kv_type.name());
    option("-ctv", load.kv_type.name());
    option("-fa", if rules.flash_attention { "on" } else { "off" });
    option("-b", &rules.micro_batch_tokens.max(BATCH).to_string());
    option("-ub", &rules.micro_batch_tokens.to_string());
    option("--fit", "off");
    if load.batch > 1 {
        let unified = rules.kv_sequences == Sequences::Together;
        words.push(if unified { "-kvu" } else { "-no-kvu" }.to_owned());
    }
    words.extend(["--no-repack", "--no-op-offload"].map(str::to_owned));
}

fn notes(scenario: &Scenario, moved: &[Override]) -> Vec<String> {
    let mut notes = Vec::new();
    if moved.iter().any(|one| one.of_layers && one.place == Place::Host) {
        notes.push(
            "what is on the host is computed there: --no-op-offload, because no device has room planned \
             for copies of it; without that flag prompts are read faster and devices hold the largest \
             matrix of it on top"
                .to_owned(),
        );
    }
    if !scenario.load.runtime.rules().flash_attention && scenario.load.kv_type != KvType::F16 {
        notes.push(
            "llama.cpp refuses a quantized cache of values without flash attention".to_owned(),
        );
    }
    notes
}
