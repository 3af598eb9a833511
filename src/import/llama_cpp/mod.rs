//! A command line of llama.cpp: which of the planned components its flags put where.
//!
//! Words are split as a POSIX shell does, without anything that only a shell knows. Flags that place something are
//! followed exactly (see `assign.rs`), flags that change what there is to place are refused, and the rest is listed
//! as read over. What the flags say of context, sequences and cache must be what the question asks, because it is
//! the question that is priced.
//!
//! Without `--rpc` and `--device-name` of our own the devices are those of the question in its order: first those
//! behind servers, as llama.cpp orders them, then `CUDA0`, `CUDA1` or whatever their backend is called.
//!
//! A component is where most of its bytes are. Patterns as people write them catch small tensors too (a router, a
//! norm); up to one hundredth of a component may be elsewhere, with a note. An attention is where its cache is.

mod asked;
mod assign;
mod flags;
mod known;
mod patterns;
mod words;

use std::collections::BTreeMap;

use regex::bytes::Regex;

use super::{Homes, Import, Importer, Question};
use crate::error::{Error, printable};
use crate::export::llama_cpp::targets::{Target, Targets};
use crate::export::llama_cpp::{Assignment, Place, check_kind, naming};
use crate::hardware::DeviceKind;
use crate::model::{ComponentId, TensorRole};
use crate::units::format_bytes;
use assign::Layers;
use flags::Line;

const OPERATION: &str = "read the flags of llama.cpp";
/// Of a component, one part in so many may be elsewhere.
const STRAY_PARTS: u64 = 100;

pub(super) struct LlamaCpp;

impl Importer for LlamaCpp {
    fn name(&self) -> &'static str {
        "llama.cpp"
    }

    fn about(&self) -> &'static str {
        "a command line, with or without the program's name"
    }

    fn options(&self) -> &'static [&'static str] {
        &["rpc", "device-name"]
    }

    fn read(&self, text: &str, question: &Question<'_>) -> Result<Import, Error> {
        check_kind(question.scenario, OPERATION)?;
        let line = flags::read(&words::split(text)?)?;
        asked::check(&line, question)?;
        let targets = targets(&line, question)?;
        let layers = layers(&line, &targets, question)?;
        let overrides = overrides(&line, &targets, &layers)?;
        let mut homes = Homes { of: BTreeMap::new(), notes: asked::notes(&line) };
        assign(question, &layers.places(), &overrides, &mut homes)?;
        let gpu = |&device: &usize| question.problem.devices[device].kind == DeviceKind::Gpu;
        let on_host =
            |(id, device): (&ComponentId, &usize)| *id != ComponentId::Embedding && !gpu(device);
        if !layers.devices.is_empty() && homes.of.iter().any(on_host) {
            homes.notes.extend(asked::offloads(&line));
        }
        homes.placement(question.problem)
    }
}

fn refuse() -> Error {
    Error::new(OPERATION)
}

/// The devices of the question as this line names them.
fn targets(line: &Line, question: &Question<'_>) -> Result<Targets, Error> {
    let hardware = &question.scenario.hardware;
    let mut naming = naming(question.options)?;
    if naming.servers.is_empty() {
        let gpus = hardware.devices.iter().filter(|device| device.kind == DeviceKind::Gpu);
        let assigned = gpus.zip(&line.servers);
        let server = |(device, server): (&crate::hardware::Device, &String)| {
            Assignment::server(&format!("{}={server}", device.id))
        };
        naming.servers = assigned.map(server).collect::<Result<_, _>>()?;
    }
    let targets = Targets::of(hardware, &naming)?;
    if targets.servers != line.servers {
        return Err(refuse()
            .place("--rpc")
            .expected(format!("the servers of this question, in this order: {}", listed(&targets.servers)))
            .found(listed(&line.servers))
            .hint("--rpc DEVICE=HOST:PORT says which device is behind which server, --gpu SIZE adds one"));
    }
    Ok(targets)
}

fn listed<S: AsRef<str>>(names: &[S]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The device of the question with that name; local GPUs also by the name of another backend.
fn named(targets: &Targets, name: &str, of: fn(&Target) -> &str) -> Option<usize> {
    let is = |wanted: &str| {
        let found = |target: &Option<Target>| target.as_ref().is_some_and(|t| of(t) == wanted);
        targets.devices.iter().position(found)
    };
    let backend = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &name[backend.len()..];
    let known = ["CUDA", "ROCm", "Vulkan", "SYCL", "MUSA", "CANN", "MTL", "Metal", "OpenCL", "HIP"];
    is(name).or_else(|| known.contains(&backend).then(|| is(&format!("CUDA{number}"))).flatten())
}

fn layers(line: &Line, targets: &Targets, question: &Question<'_>) -> Result<Layers, Error> {
    let names = || targets.devices.iter().flatten().map(|t| t.name.as_str()).collect::<Vec<_>>();
    let mut devices = if let Some(asked) = &line.devices {
        let one = |name: &String| {
            named(targets, name, |target| &target.name).ok_or_else(|| {
                refuse()
                    .place("-dev")
                    .expected(format!("devices of this question: {}", listed(&names())))
                    .found(format!("`{}`", printable(name)))
            })
        };
        asked.iter().map(one).collect::<Result<Vec<_>, _>>()?
    } else {
        in_order(targets)
    };
    if let Some(only) = line.only {
        let only = usize::try_from(only).ok().and_then(|only| devices.get(only).copied());
        devices = vec![only.ok_or_else(|| refuse().place("-mg").expected("one of the devices"))?];
    }
    let hardware = &question.scenario.hardware.devices;
    let free = |&device: &usize| hardware[device].capacity_bytes;
    Ok(Layers {
        count: question.scenario.model.gguf_counts.layers,
        on_gpus: line.gpu_layers,
        shares: line.tensor_split.clone(),
        free_bytes: devices.iter().map(free).collect(),
        devices,
    })
}

/// Without `-dev`: those behind servers come first, in the order of their numbers.
fn in_order(targets: &Targets) -> Vec<usize> {
    let mut all: Vec<usize> = (0..targets.devices.len()).collect();
    all.retain(|&device| targets.place(device) != Place::Host);
    let behind = |device: &usize| {
        let target = targets.devices[*device].as_ref();
        let number = target.and_then(|t| t.name.strip_prefix("RPC")?.parse().ok());
        (number.is_none(), number.unwrap_or(0_usize), *device)
    };
    all.sort_by_key(behind);
    all
}

/// Patterns with the places of their buffers.
fn overrides(
    line: &Line,
    targets: &Targets,
    layers: &Layers,
) -> Result<Vec<(Regex, Place)>, Error> {
    let buffers = || {
        let of = targets.devices.iter().flatten().map(|target| target.buffer.as_str());
        of.chain(["CPU"]).collect::<Vec<_>>()
    };
    let place = |buffer: &str| {
        if buffer == "CPU" {
            return Ok(Place::Host);
        }
        let device = named(targets, buffer, |target| &target.buffer).ok_or_else(|| {
            refuse()
                .place("-ot")
                .expected(format!("a buffer type of this question: {}", listed(&buffers())))
                .found(format!("`{}`", printable(buffer)))
        })?;
        if layers.devices.contains(&device) {
            return Ok(Place::Device(device));
        }
        Err(refuse()
            .place("-ot")
            .expected("a buffer of one of the devices of -dev")
            .found(format!("`{}`", printable(buffer)))
            .hint("llama.cpp stops at tensors whose device it does not use"))
    };
    patterns::check_all(line.overrides.iter().map(|(pattern, _)| pattern.as_str()))?;
    let one =
        |(pattern, buffer): &(String, String)| Ok((patterns::compile(pattern)?, place(buffer)?));
    line.overrides.iter().map(one).collect()
}

/// Bytes of a component by place, and a tensor of it there.
type Held<'a> = BTreeMap<Place, (u64, &'a str)>;

fn assign(
    question: &Question<'_>,
    places: &[Place],
    overrides: &[(Regex, Place)],
    homes: &mut Homes,
) -> Result<(), Error> {
    let at = |layer: u32| usize::try_from(layer).ok().and_then(|layer| places.get(layer)).copied();
    let output = places.last().copied().unwrap_or(Place::Host);
    let layers = question.scenario.model.geometry.layers;
    let storage = question.scenario.demand()?.storage;
    let mut held: BTreeMap<ComponentId, Held<'_>> = BTreeMap::new();
    for (tensor, stored) in storage.tensors.iter().zip(&storage.stored) {
        // One copy of these is on every device that has layers.
        if tensor.role == TensorRole::RopeFrequencies {
            continue;
        }
        let belongs = match tensor.component {
            ComponentId::Embedding => Place::Host,
            id => id.layer().map_or(Some(output), at).unwrap_or(output),
        };
        let place = assign::tensor(&tensor.name, belongs, overrides);
        let of_component = held.entry(tensor.component).or_default();
        let (bytes, _) = of_component.entry(place).or_insert((0, &tensor.name));
        *bytes = bytes.saturating_add(stored.bytes);
    }
    if let Some((place, name)) = held.get(&ComponentId::Embedding).and_then(elsewhere) {
        return Err(refuse()
            .place(format!("-ot, `{name}`"))
            .expected("the token embedding on the host, where it is planned")
            .found(format!("a pattern that moves it to {}", device_name(question, place))));
    }
    for layer in 0..layers {
        let place = at(layer).unwrap_or(output);
        home(question, homes, ComponentId::Attention(layer), place)?;
    }
    let mut strays = Strays::default();
    for (&id, of_component) in &held {
        let place = match id {
            ComponentId::Attention(layer) => at(layer).unwrap_or(output),
            _ => most(of_component),
        };
        strays.add(question, id, place, of_component)?;
        if question.problem.index_of(id).is_some() {
            home(question, homes, id, place)?;
        }
    }
    // A tied head is a copy of the embedding, where the output is.
    if question.problem.index_of(ComponentId::OutputHead).is_some()
        && !held.contains_key(&ComponentId::OutputHead)
    {
        home(question, homes, ComponentId::OutputHead, output)?;
    }
    homes.notes.extend(strays.note());
    Ok(())
}

fn elsewhere<'a>(held: &Held<'a>) -> Option<(Place, &'a str)> {
    held.iter().find(|(place, _)| **place != Place::Host).map(|(&place, &(_, name))| (place, name))
}

fn most(held: &Held<'_>) -> Place {
    held.iter().max_by_key(|(_, (bytes, _))| *bytes).map_or(Place::Host, |(&place, _)| place)
}

fn device_name(question: &Question<'_>, place: Place) -> String {
    match place {
        Place::Host => "the host".to_owned(),
        Place::Device(device) => {
            let device = question.scenario.hardware.devices.get(device);
            device.map_or_else(String::new, |device| device.id.clone())
        }
    }
}

fn home(
    question: &Question<'_>,
    homes: &mut Homes,
    id: ComponentId,
    place: Place,
) -> Result<(), Error> {
    let device = match place {
        Place::Device(device) => device,
        Place::Host => question.problem.cpus().next().ok_or_else(|| {
            refuse()
                .place(format!("`{id}`"))
                .expected("a device of this machine")
                .found("the host, of which nothing may be used")
                .hint("--cpu SIZE says how much of host memory may be used")
        })?,
    };
    homes.of.insert(id, device);
    Ok(())
}

/// Tensors that are not where their component is counted.
#[derive(Default)]
struct Strays {
    first: Option<String>,
    count: usize,
    bytes: u64,
}

impl Strays {
    fn add(
        &mut self,
        question: &Question<'_>,
        id: ComponentId,
        place: Place,
        held: &Held<'_>,
    ) -> Result<(), Error> {
        // A router is planned with its attention, and is small beside it.
        let all: u64 = held.values().map(|(bytes, _)| bytes).sum();
        for (&other, &(bytes, name)) in held.iter().filter(|(other, _)| **other != place) {
            if bytes > all / STRAY_PARTS {
                let expected = match id {
                    ComponentId::Attention(_) => "attention where its cache is",
                    _ => "all of it on one device",
                };
                let hint = match id {
                    ComponentId::Expert(..) => {
                        "matrices of experts can be apart: --granularity fused-matrix"
                    }
                    ComponentId::Attention(_) => "a cache goes with its layer, by -ngl and -ts",
                    _ => "no granularity here divides it",
                };
                return Err(refuse()
                    .place(format!("-ot, `{id}`"))
                    .expected(format!("{expected}, {}", device_name(question, place)))
                    .found(format!("`{}` on {}", printable(name), device_name(question, other)))
                    .hint(hint));
            }
            self.first.get_or_insert_with(|| {
                format!("`{}` is on {}", printable(name), device_name(question, other))
            });
            self.count += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        Ok(())
    }

    fn note(self) -> Option<String> {
        let Self { first, count, bytes } = self;
        let more = if count > 1 {
            format!(" ({} more such components)", count - 1)
        } else {
            String::new()
        };
        first.map(|first| {
            format!(
                "{first}{more}: small parts are counted with the rest of their components, {} in all",
                format_bytes(bytes)
            )
        })
    }
}
