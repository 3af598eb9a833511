//! The question of a case: the words of `apportion solve`, read by the readers that the command line has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::error::Error;
use crate::files::{is_missing, read_text};
use crate::hardware::{DeviceKind, Hardware, Link, Spec};
use crate::memory::{KvType, Load, Staging};
use crate::model::{Model, catalogue};
use crate::placement::Record;
use crate::plan::solver::SolverKind;
use crate::plan::{Formulation, Options};
use crate::problem::Objective;
use crate::quant::{Override, Scheme, from_config};
use crate::routing::Statistics;
use crate::runtime::{LayerDevices, NAMES, Profile, SendRule};
use crate::scenario::{
    Attention, Constraint, ConstraintKind, Current, Granularity, Headroom, Limits, Scenario,
    affinity_of, default_objectives_replicated, parse_devices_max, parse_objectives,
};
use crate::sweep::Machine;
use crate::units::parse_bytes;

/// What may be asked, in the order of the documentation.
pub(super) const KEYS: [&str; 30] = [
    "model",
    "quantization",
    "quantization_overrides",
    "context",
    "batch",
    "kv_type",
    "staging",
    "runtime",
    "runtime_profile",
    "machine",
    "gpus",
    "cpu",
    "link",
    "reserve",
    "hardware",
    "pins",
    "forbids",
    "default_pins",
    "headroom",
    "max_devices",
    "sends",
    "routing",
    "layer_devices",
    "granularity",
    "attention",
    "migrate_from",
    "objectives",
    "formulation",
    "solver",
    "node_limit",
];

/// How hard to try, of a question and of a placement alike.
pub(super) const EFFORT: [&str; 3] = ["formulation", "solver", "node_limit"];

/// Ways to say what machine there is; a case that says one drops those of the defaults.
const MACHINES: [&[&str]; 3] = [&["hardware"], &["machine"], &["gpus", "cpu"]];

/// Models that were read, so that cases of one model read it once.
#[derive(Debug, Default)]
pub(super) struct Models(Mutex<BTreeMap<String, Model>>);

impl Models {
    fn get(&self, name: &str, read: impl FnOnce() -> Result<Model, Error>) -> Result<Model, Error> {
        // Whoever panicked while it held the lock left whole entries.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = known().get(name) {
            return Ok(model.clone());
        }
        let model = read()?;
        known().insert(name.to_owned(), model.clone());
        Ok(model)
    }
}

/// The keys of a case with those of the defaults that it does not say itself.
pub(super) fn with_defaults(
    defaults: &Map<String, Value>,
    case: &Map<String, Value>,
) -> Map<String, Value> {
    let says = |keys: &[&str]| keys.iter().any(|key| case.contains_key(*key));
    let way = MACHINES.iter().find(|way| says(way));
    let dropped = |key: &str| {
        way.is_some_and(|way| {
            let other = MACHINES.iter().any(|other| other != way && other.contains(&key));
            other || way == &MACHINES[0] && ["reserve", "link"].contains(&key)
        })
    };
    let mut keys: Map<String, Value> = defaults.clone();
    keys.retain(|key, _| !case.contains_key(key) && !dropped(key));
    keys.extend(case.clone());
    keys
}

/// Reads the scenario; paths are relative to `folder`.
pub(super) fn scenario(
    fields: &Fields<'_>,
    folder: &Path,
    models: &Models,
) -> Result<Scenario, Error> {
    let Some(name) = fields.text("model")? else {
        return Err(fields
            .refuse("model")
            .expected("the name of a model, or the path of a config or checkpoint")
            .found("nothing"));
    };
    let model = models.get(&name, || fields.at("model", model(&name, folder)))?;
    let scheme = scheme(fields, &model)?;
    let limits = limits(fields, folder, &model)?;
    Ok(Scenario {
        objectives: objectives(fields, &limits)?,
        default_pins: limits.attention == Attention::Single
            && fields.flag("default_pins")?.unwrap_or(true),
        limits,
        scheme,
        load: load(fields, folder)?,
        hardware: hardware(fields, folder)?,
        constraints: constraints(fields)?,
        model,
    })
}

/// A catalogue name, else a path.
pub(super) fn model(name: &str, folder: &Path) -> Result<Model, Error> {
    if catalogue().iter().any(|entry| entry.name.eq_ignore_ascii_case(name)) {
        return Model::from_catalogue(name);
    }
    let path = folder.join(name);
    let is_path = name.contains(['/', '\\']) || Path::new(name).extension().is_some();
    if is_missing(&path) && !is_path {
        return Model::from_catalogue(name);
    }
    Model::resolve(&path.display().to_string())
}

const OVERRIDES: &str = "quantization_overrides";
const PROFILE: &str = "runtime_profile";

fn scheme(fields: &Fields<'_>, model: &Model) -> Result<Scheme, Error> {
    const KEY: &str = "quantization";
    let asked = fields.text(KEY)?.map(|name| fields.at(KEY, Scheme::parse(&name))).transpose()?;
    let scheme = match (asked, &model.found) {
        (Some(asked), _) => asked,
        (None, Some(_)) => Scheme::stored(),
        (None, None) => {
            fields.at(KEY, from_config(&model.published_quantization))?.ok_or_else(|| {
                fields
                    .refuse(KEY)
                    .expected("a name")
                    .found("a model whose files do not say how they are quantized")
                    .hint("`apportion models --quants` lists the names")
            })?
        }
    };
    let typed = fields.texts(OVERRIDES)?;
    let typed = typed.iter().map(|text| fields.at(OVERRIDES, Override::parse(text)));
    let mut overrides = scheme.overrides().to_vec();
    overrides.extend(typed.collect::<Result<Vec<_>, _>>()?);
    fields.at(OVERRIDES, scheme.with_overrides(overrides))
}

fn load(fields: &Fields<'_>, folder: &Path) -> Result<Load, Error> {
    let usual = Load::default();
    let kv_type = fields.text("kv_type")?;
    let kv_type = kv_type.map(|name| fields.at("kv_type", KvType::parse(&name))).transpose()?;
    let staging = fields.text("staging")?;
    Ok(Load {
        context: fields.whole("context")?.unwrap_or(usual.context),
        batch: fields.whole("batch")?.unwrap_or(usual.batch),
        kv_type: kv_type.unwrap_or(usual.kv_type),
        staging: staging.map(|name| fields.at("staging", Staging::parse(&name))).transpose()?,
        runtime: runtime(fields, folder)?,
    })
}

fn runtime(fields: &Fields<'_>, folder: &Path) -> Result<Arc<Profile>, Error> {
    let name = fields.text("runtime")?;
    let named = |name: &str| fields.at("runtime", Profile::shared(name));
    let Some(path) = path(fields, PROFILE, folder)? else {
        return named(name.as_deref().unwrap_or(NAMES[0]));
    };
    let text = fields.at(PROFILE, read_text(&path, "read the runtime profile"))?;
    let profile = fields.at(PROFILE, Profile::from_yaml(&text, &path.display().to_string()))?;
    match name {
        Some(name) if named(&name)?.name() != profile.name() => Err(fields
            .refuse(PROFILE)
            .expected(format!("rules of `{name}`, as `runtime` says"))
            .found(format!("rules of `{}`", profile.name()))),
        _ => Ok(Arc::new(profile)),
    }
}

fn path(fields: &Fields<'_>, key: &str, folder: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(fields.text(key)?.map(|name| folder.join(name)))
}

/// The machine in one of the ways there are to say it.
fn hardware(fields: &Fields<'_>, folder: &Path) -> Result<Hardware, Error> {
    let said: Vec<&str> =
        MACHINES.iter().filter_map(|way| way.iter().copied().find(|key| fields.has(key))).collect();
    let key = match said.as_slice() {
        [] => {
            return Err(fields
                .refuse("gpus")
                .expected("`gpus`, `machine` or `hardware`")
                .found("none"));
        }
        [key] => *key,
        [first, second, ..] => {
            return Err(fields
                .refuse(second)
                .expected("one of `gpus` (with `cpu`), `machine` and `hardware`")
                .found(format!("`{first}` too")));
        }
    };
    if key == "hardware" {
        if let Some(other) = ["reserve", "link"].into_iter().find(|key| fields.has(key)) {
            return Err(fields
                .refuse(other)
                .expected("it within the hardware file")
                .found("it beside `hardware`"));
        }
        return described(fields, folder);
    }
    let reserve = fields.text("reserve")?.map(|text| fields.at("reserve", parse_bytes(&text)));
    let reserve = reserve.transpose()?.unwrap_or(0);
    let link = fields.text("link")?.map(|text| fields.at("link", Link::parse(&text)));
    let hardware = match fields.text("machine")? {
        Some(text) => fields.at("machine", Machine::parse(&text, reserve))?.hardware,
        None => specified(fields, reserve)?,
    };
    match link.transpose()? {
        Some(link) => fields.at("link", hardware.with_default_link(link)),
        None => Ok(hardware),
    }
}

fn specified(fields: &Fields<'_>, reserve: u64) -> Result<Hardware, Error> {
    let gpus = fields.texts("gpus")?;
    let gpus = gpus.iter().map(|text| fields.at("gpus", Spec::parse(text, DeviceKind::Gpu)));
    let gpus = gpus.collect::<Result<Vec<_>, _>>()?;
    let cpu = fields.text("cpu")?.map(|text| fields.at("cpu", Spec::parse(&text, DeviceKind::Cpu)));
    fields.at("gpus", Hardware::from_specs(&gpus, cpu.transpose()?, reserve))
}

/// A hardware file, or what would be in one.
fn described(fields: &Fields<'_>, folder: &Path) -> Result<Hardware, Error> {
    const KEY: &str = "hardware";
    // JSON is YAML, so what stands here is read as a file with the same words is.
    if let Some(inline @ Value::Object(_)) = fields.value(KEY) {
        return fields.at(KEY, Hardware::from_yaml(&inline.to_string(), KEY));
    }
    let Some(path) = path(fields, KEY, folder)? else {
        return Err(fields.refuse(KEY).expected("a path, or the keys of a hardware file"));
    };
    let text = fields.at(KEY, read_text(&path, "read the hardware file"))?;
    fields.at(KEY, Hardware::from_yaml(&text, &path.display().to_string()))
}

fn constraints(fields: &Fields<'_>) -> Result<Vec<Constraint>, Error> {
    let mut all = Vec::new();
    for (key, kind) in [("pins", ConstraintKind::Pin), ("forbids", ConstraintKind::Forbid)] {
        for text in fields.texts(key)? {
            all.push(fields.at(key, Constraint::parse(kind, &text))?);
        }
    }
    Ok(all)
}

fn limits(fields: &Fields<'_>, folder: &Path, model: &Model) -> Result<Limits, Error> {
    let headrooms = fields.texts("headroom")?;
    let headrooms = headrooms.iter().map(|text| fields.at("headroom", Headroom::parse(text)));
    let attention = [Attention::Single, Attention::Replicated].map(|word| (word.name(), word));
    let attention = fields.word("attention", &attention)?.unwrap_or_default();
    let routing = fields.texts("routing")?;
    let routing = routing
        .iter()
        .map(|name| fields.at("routing", Statistics::read(&folder.join(name)).map(Arc::new)));
    let routing = routing.collect::<Result<Vec<_>, _>>()?;
    let (affinity, routing) = match attention {
        Attention::Single => (None, routing),
        Attention::Replicated => (fields.at("routing", affinity_of(&routing))?, Vec::new()),
    };
    let sends = [SendRule::PerExpert, SendRule::PerDevice].map(|word| (word.name(), word));
    let turns =
        [LayerDevices::Sequential, LayerDevices::Concurrent].map(|word| (word.name(), word));
    let parts = Granularity::ALL.map(|word| (word.name(), word));
    let most = fields.text("max_devices")?;
    Ok(Limits {
        headrooms: headrooms.collect::<Result<_, _>>()?,
        devices_max: most
            .map(|text| fields.at("max_devices", parse_devices_max(&text)))
            .transpose()?,
        sends: fields.word("sends", &sends)?,
        layer_devices: fields.word("layer_devices", &turns)?,
        granularity: fields.word("granularity", &parts)?.unwrap_or_default(),
        current: path(fields, "migrate_from", folder)?
            .map(|path| fields.at("migrate_from", current(&path, model)))
            .transpose()?,
        moved_bytes_max: None,
        attention,
        affinity,
        routing,
    })
}

/// What is where now, by a placement file of the same model.
fn current(path: &Path, model: &Model) -> Result<Current, Error> {
    let source = path.display().to_string();
    let text = read_text(path, "read the placement")?;
    Record::from_yaml(&text, &source, Some(model))?.current_of(model, &source)
}

fn objectives(fields: &Fields<'_>, limits: &Limits) -> Result<Vec<Objective>, Error> {
    let items = fields.texts("objectives")?;
    if items.is_empty() && limits.attention == Attention::Replicated {
        return Ok(default_objectives_replicated(limits.affinity.is_some()));
    }
    fields.at("objectives", parse_objectives(&items))
}

/// Reads how hard to try. There is no time limit: an answer that depends on a clock is none to hold fixed.
pub(super) fn options(fields: &Fields<'_>) -> Result<Options, Error> {
    let usual = Options::default();
    let formulations = [("counts", Formulation::Counts), ("textbook", Formulation::Textbook)];
    let solver = fields.text("solver")?;
    let solver = solver.map(|name| fields.at("solver", SolverKind::parse(&name))).transpose()?;
    Ok(Options {
        formulation: fields.word("formulation", &formulations)?.unwrap_or_default(),
        solver: solver.unwrap_or_default(),
        node_limit: fields.whole("node_limit")?.unwrap_or(usual.node_limit),
        time_limit: None,
    })
}
