//! Hugging Face accelerate and transformers: a `device_map`.
//!
//! Read: accelerate 1.15 (`utils/modeling.py`, `big_modeling.py`, `hooks.py`), transformers 4.57.6 and 5.x. A map
//! is a dictionary from module paths to a GPU's number, `"cpu"` or `"disk"`; the longest path that is a prefix of
//! a tensor's name owns it, and every tensor must have one. Paths never contain each other here, because
//! `dispatch_model` moves everything below a path to its device.
//!
//! Transformers 4 holds each expert as a module of its own in most families (`--layout v4`); transformers 5 holds
//! all experts of a layer in two tensors, and accepts but does not survive a map that takes these apart, so its
//! unit is a layer's experts (`--layout v5`).
//!
//! What is on `"cpu"` is not computed there: accelerate copies it to a GPU for every forward pass. A module's hook
//! brings its inputs to its device and leaves its outputs there unless `io_same_device` is set, as it is on the
//! whole model only; a layer whose parts are on several devices needs it on those that are away from its attention.
//! The Python form sets it.

use super::modules::{Module, modules};
use super::{Beside, Export, Exporter, Options, Plan, Refusal, Stop, engines, machine, quote};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::model::{ComponentId, ComponentKind, Layout, Tensor};
use crate::scenario::Granularity;

pub(super) struct Accelerate;

const LAYOUTS: [&str; 2] = ["v4", "v5"];

/// Whether a family has no rotary embeddings beside its layers: none at all, or in every layer.
fn without_rotary(family: &str, layout: Layout) -> bool {
    family == "jamba" || family == "dbrx" && layout == Layout::Published
}

impl Exporter for Accelerate {
    fn name(&self) -> &'static str {
        "accelerate"
    }

    fn about(&self) -> &'static str {
        "a device_map as JSON, or as Python with --snippet; max_memory beside it"
    }

    fn options(&self) -> &'static [&'static str] {
        &["layout", "snippet"]
    }

    fn unit(&self, options: &Options) -> Result<Option<Granularity>, Error> {
        Ok(Some(match layout(options)? {
            Layout::Transformers5 => Granularity::Experts,
            _ => Granularity::Expert,
        }))
    }

    fn unit_of(&self, plan: &Plan<'_>, options: &Options) -> Result<Option<Granularity>, Error> {
        let tensors = plan.scenario.model.layout(layout(options)?)?;
        let merged = tensors.iter().any(|tensor| {
            tensor.component.kind() == ComponentKind::Expert && tensor.merged.is_some()
        });
        if merged { Ok(Some(Granularity::Experts)) } else { self.unit(options) }
    }

    fn one_machine(&self) -> bool {
        true
    }

    fn runtime(&self) -> Option<&'static str> {
        Some("transformers")
    }

    fn fixed(
        &self,
        plan: &Plan<'_>,
        _: &Options,
        id: ComponentId,
    ) -> Option<(usize, &'static str)> {
        let tied = plan.scenario.model.geometry.tied_head;
        let embedding = plan.home(ComponentId::Embedding)?;
        (tied && id == ComponentId::OutputHead)
            .then_some((embedding, "where the embedding is, whose matrix it is"))
    }

    fn write(&self, plan: &Plan<'_>, options: &Options) -> Result<Export, Stop> {
        let layout = layout(options)?;
        let devices = devices(plan)?;
        if plan.home(ComponentId::Embedding).is_none() {
            return Err(Error::new("write a device_map")
                .object(&plan.scenario.model.name)
                .expected("a device for the embedding")
                .found(format!(
                    "none: {} keeps it in host memory",
                    plan.scenario.load.runtime.name()
                ))
                .hint("solve again with --runtime transformers")
                .into());
        }
        let modules = all(plan, &plan.scenario.model.layout(layout)?, layout);
        let away = away(plan, &modules);
        let map = Map { plan, devices, modules, away };
        let text = if options.is_set("snippet") { map.python(layout) } else { map.json() };
        let beside = Beside { suffix: "max_memory.json", text: map.max_memory() };
        Ok(Export { text, beside: vec![beside], notes: map.notes(options) })
    }
}

fn layout(options: &Options) -> Result<Layout, Error> {
    Ok(match options.choice("layout", &LAYOUTS)? {
        "v5" => Layout::Transformers5,
        _ => Layout::Published,
    })
}

/// What each device is called: the place of a GPU among the GPUs, or `cpu`.
fn devices(plan: &Plan<'_>) -> Result<Vec<Name>, Refusal> {
    let cpus = machine::local(plan, DeviceKind::Cpu);
    let (cpu, other) = (cpus.first().copied(), cpus.get(1).copied());
    let second = plan.homes().find(|&(_, device)| Some(device) == other && other.is_some());
    if let Some((id, _)) = second {
        let reason = "it knows one host memory, and the map has a second one";
        return Err(Refusal::new(plan, id, reason, []));
    }
    let gpus = machine::local(plan, DeviceKind::Gpu);
    let name = |device: usize| match gpus.iter().position(|&gpu| gpu == device) {
        Some(ordinal) => Name::Gpu(ordinal),
        None if cpu == Some(device) => Name::Cpu,
        None => Name::Elsewhere,
    };
    Ok((0..plan.problem.devices.len()).map(name).collect())
}

/// A value of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Gpu(usize),
    Cpu,
    /// On another node, or a host memory that holds nothing.
    Elsewhere,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gpu(ordinal) => write!(f, "{ordinal}"),
            Self::Cpu => f.write_str("\"cpu\""),
            Self::Elsewhere => f.write_str("null"),
        }
    }
}

/// The modules that hold tensors, those that hold none but buffers, and a tied head.
fn all(plan: &Plan<'_>, tensors: &[Tensor], layout: Layout) -> Vec<Module> {
    let mut modules = modules(tensors, |id| plan.home(id));
    let Some(device) = plan.home(ComponentId::Embedding) else { return modules };
    let component = ComponentId::Embedding;
    let family = plan.scenario.model.family.as_str();
    // The decoder's path, unless it is a module of the map itself.
    let decoder = tensors.first().and_then(|tensor| tensor.name.split('.').next()).unwrap_or("");
    let apart = modules.iter().all(|module| module.path != decoder);
    if apart && !without_rotary(family, layout) {
        let local = family == "gemma3_text" && layout == Layout::Published;
        let names = ["rotary_emb"].into_iter().chain(local.then_some("rotary_emb_local"));
        let at = modules.iter().position(|m| m.component.layer().is_some()).unwrap_or(0);
        for name in names {
            let path = format!("{decoder}.{name}");
            modules.insert(at, Module { path, device, component });
        }
    }
    if plan.scenario.model.geometry.tied_head {
        modules.push(Module { path: "lm_head".to_owned(), device, component });
    }
    modules
}

/// Paths of parts of layers that are not where their layer's attention is.
fn away(plan: &Plan<'_>, modules: &[Module]) -> Vec<String> {
    let is_away = |module: &&Module| {
        let layer = module.component.layer();
        let attention = layer.and_then(|layer| plan.home(ComponentId::Attention(layer)));
        attention.is_some_and(|home| home != module.device)
    };
    modules.iter().filter(is_away).map(|module| module.path.clone()).collect()
}

/// All that both forms say.
struct Map<'a> {
    plan: &'a Plan<'a>,
    devices: Vec<Name>,
    modules: Vec<Module>,
    away: Vec<String>,
}

impl Map<'_> {
    /// Names of tensors are those of families or of a checkpoint's headers, so they are quoted as JSON, which is
    /// how Python reads them too as far as they are ASCII.
    fn entries(&self, quoted: impl Fn(&str) -> String) -> Vec<String> {
        let entry = |m: &Module| format!("{}: {}", quoted(&m.path), self.devices[m.device]);
        self.modules.iter().map(entry).collect()
    }

    fn json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let entries = self.entries(quoted);
        format!("{{\n  {}\n}}\n", entries.join(",\n  "))
    }

    /// What the plan may use of each device, in bytes.
    fn limits(&self) -> impl Iterator<Item = (Name, u64)> {
        let devices = self.plan.problem.devices.iter().enumerate();
        let here = devices.filter(|(index, _)| self.devices[*index] != Name::Elsewhere);
        here.map(|(index, device)| {
            let limit = self.plan.problem.limit_bytes(index);
            (self.devices[index], limit.saturating_sub(device.reserve_bytes))
        })
    }

    fn max_memory(&self) -> String {
        let entry = |(name, bytes): (Name, u64)| match name {
            Name::Gpu(ordinal) => format!("\"{ordinal}\": {bytes}"),
            name => format!("{name}: {bytes}"),
        };
        let entries: Vec<String> = self.limits().map(entry).collect();
        format!("{{\n  {}\n}}\n", entries.join(",\n  "))
    }

    fn python(&self, layout: Layout) -> String {
        let version = if layout == Layout::Transformers5 { "5" } else { "4" };
        let gpus = machine::local(self.plan, DeviceKind::Gpu).into_iter().enumerate();
        let gpus: Vec<String> =
            gpus.map(|(n, gpu)| format!("{n} is {}", self.plan.device(gpu).id)).collect();
        let entries = self.entries(quote::python);
        let limits: Vec<String> = self.limits().map(|(n, bytes)| format!("{n}: {bytes}")).collect();
        let mut text = format!(
            "# Module names of transformers {version}. Of the GPUs, {}.\n\
             device_map = {{\n    {},\n}}\nmax_memory = {{{}}}\n",
            gpus.join(", "),
            entries.join(",\n    "),
            limits.join(", "),
        );
        if !self.away.is_empty() {
            let paths: Vec<String> = self.away.iter().map(|path| quote::python(path)).collect();
            text.extend([format!(
                "\n# Away from the attention of their layer: what they give has to go back there.\n\
                 away = [\n    {},\n]\n\n\n{RETURN_OUTPUTS}",
                paths.join(",\n    ")
            )]);
        }
        text
    }

    fn notes(&self, options: &Options) -> Vec<String> {
        let planned = engines::planned_by_another(self.plan, "transformers", "transformers");
        let mut notes: Vec<String> = planned.into_iter().collect();
        notes.extend(engines::of_gguf(
            self.plan,
            "which transformers dequantizes while loading: it holds more than was planned",
        ));
        if !self.away.is_empty() && !options.is_set("snippet") {
            notes.push(format!(
                "{} are away from the attention of their layer; accelerate sends back what they give only \
                 after return_outputs(model) of the --snippet form",
                super::counted(self.away.len(), "module")
            ));
        }
        if self.modules.iter().any(|module| self.devices[module.device] == Name::Cpu) {
            notes.push(
                "accelerate copies what is on \"cpu\" to a GPU for every forward pass and computes there"
                    .to_owned(),
            );
        }
        notes
    }
}

const RETURN_OUTPUTS: &str = "\
def return_outputs(model):
    for path in away:
        hook = model.get_submodule(path)._hf_hook
        for one in getattr(hook, \"hooks\", [hook]):
            one.io_same_device = True
";
