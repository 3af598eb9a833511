//! accelerate's `device_map`: JSON from module paths to devices, in the names of transformers 4 or 5.
//!
//! What [`crate::export`] says of the format holds here too. A path owns every tensor at or below it, `""` all of
//! them. Of two paths, one within the other, on different devices the longer owns what both name in accelerate's
//! hooks, but the last listed in transformers' loader: such a map is refused. Paths that own no tensor are
//! surplus, which accelerate warns of and ignores; so does this.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Homes, Import, Importer, Question};
use crate::error::{Error, printable};
use crate::model::{ComponentId, Layout, Tensor};
use crate::nearest::nearest;
use crate::yaml::StrictMap;

pub(super) struct Accelerate;

/// Longer paths are refused: there is no module of such a name, and what they are compared with is long enough.
const KEY_BYTES_MAX: usize = 1024;
/// How many names a message lists.
const LISTED_MAX: usize = 3;

impl Importer for Accelerate {
    fn name(&self) -> &'static str {
        "accelerate"
    }

    fn about(&self) -> &'static str {
        "a device_map as JSON, in the module names of transformers 4 or 5"
    }

    fn read(&self, text: &str, question: &Question<'_>) -> Result<Import, Error> {
        let entries: StrictMap<Value> = serde_json::from_str(text).map_err(|error| {
            refuse()
                .place(format!("line {}", error.line()))
                .expected("a JSON object from module paths to devices")
                .found(error.to_string())
        })?;
        let mut devices = BTreeMap::new();
        for (path, value) in &entries.0 {
            if path.len() > KEY_BYTES_MAX {
                let start: String = path.chars().take(32).collect();
                return Err(refuse()
                    .place(format!("`{}...`", printable(&start)))
                    .expected(format!("module paths of at most {KEY_BYTES_MAX} bytes"))
                    .found(format!("{}", path.len())));
            }
            devices.insert(path.as_str(), device(path, value, question)?);
        }
        contained(&devices)?;
        let (tensors, surplus) = tensors(question, &devices)?;
        let mut homes = Homes::default();
        let missing = assign(&tensors, &devices, &mut homes)?;
        let modules = || modules(&tensors);
        if !missing.is_empty() {
            return Err(missed(&missing, &surplus, &modules()));
        }
        homes.notes.extend(odd(&surplus, &modules()));
        homes.placement(question.problem)
    }
}

fn refuse() -> Error {
    Error::new("read the device_map")
}

/// The device index of a value.
fn device(path: &str, value: &Value, question: &Question<'_>) -> Result<usize, Error> {
    let refuse = || refuse().place(format!("`{path}`"));
    let problem = question.problem;
    // Rust reads `+1` too, which is no device.
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| text.parse::<usize>().ok().filter(|_| digits(text));
    let ordinal = match value {
        Value::Number(number) => number.as_u64().and_then(|n| usize::try_from(n).ok()),
        Value::String(text) => match text.as_str() {
            "cpu" => {
                return problem.cpus().next().ok_or_else(|| {
                    refuse()
                        .expected("a device of this machine")
                        .found("\"cpu\"")
                        .hint("--cpu SIZE says how much of host memory may be used")
                });
            }
            "disk" => {
                return Err(refuse()
                    .expected("a GPU or \"cpu\"")
                    .found("\"disk\": what is there is read again for every token, and is no plan")
                    .hint("put it on \"cpu\", with a --cpu that holds it"));
            }
            text => {
                let ordinal = text.strip_prefix("cuda:").or_else(|| text.strip_prefix("xpu:"));
                if text == "cuda" { Some(0) } else { number(ordinal.unwrap_or(text)) }
            }
        },
        _ => None,
    };
    ordinal.and_then(|ordinal| problem.gpus().nth(ordinal)).ok_or_else(|| {
        let gpus = problem.gpus().count();
        let most = gpus.saturating_sub(1);
        refuse()
            .expected(format!("a GPU of this machine (0 to {most}) or \"cpu\""))
            .found(value.to_string())
            .hint(format!("the question has {gpus} GPUs; --gpu SIZE adds one"))
    })
}

/// Refuses paths within each other on different devices.
fn contained(devices: &BTreeMap<&str, usize>) -> Result<(), Error> {
    for (path, device) in devices {
        let outer = prefixes(path).skip(1).find_map(|outer| devices.get_key_value(outer));
        if let Some((outer, _)) = outer.filter(|(_, other)| *other != device) {
            return Err(refuse()
                .place(format!("`{path}`"))
                .expected("no path within another that is on another device")
                .found(format!("`{outer}` above it"))
                .hint("accelerate and transformers differ in which of them counts"));
        }
    }
    Ok(())
}

/// The path itself and everything above it, longest first, `""` last.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), above)
}

fn above<'a>(path: &&'a str) -> Option<&'a str> {
    (!path.is_empty()).then(|| path.rsplit_once('.').map_or("", |(above, _)| above))
}

/// Tensors in the layout that fewer paths are surplus to, and those paths.
fn tensors<'a>(
    question: &Question<'_>,
    devices: &BTreeMap<&'a str, usize>,
) -> Result<(Vec<Tensor>, Vec<&'a str>), Error> {
    let model = &question.scenario.model;
    let published = model.layout(Layout::Published)?;
    let surplus_to = |tensors: &[Tensor]| -> Vec<&'a str> {
        let mut unused = devices.clone();
        for tensor in tensors {
            for prefix in prefixes(&tensor.name) {
                unused.remove(prefix);
            }
        }
        unused.into_keys().collect()
    };
    let surplus = surplus_to(&published);
    if surplus.is_empty() {
        return Ok((published.to_vec(), surplus));
    }
    // A model of no known family has one layout.
    if let Ok(fused) = model.layout(Layout::Transformers5) {
        let fewer = surplus_to(&fused);
        if fewer.len() < surplus.len() {
            return Ok((fused.to_vec(), fewer));
        }
    }
    Ok((published.to_vec(), surplus))
}

/// Gives every component the device of its tensors, and lists the tensors that have none.
fn assign<'a>(
    tensors: &'a [Tensor],
    devices: &BTreeMap<&str, usize>,
    homes: &mut Homes,
) -> Result<Vec<&'a str>, Error> {
    let mut missing = Vec::new();
    let mut first: BTreeMap<ComponentId, &str> = BTreeMap::new();
    for tensor in tensors {
        let owner = prefixes(&tensor.name).find_map(|prefix| devices.get(prefix).copied());
        let Some(device) = owner else {
            missing.push(tensor.name.as_str());
            continue;
        };
        let id = tensor.component;
        let home = *homes.of.entry(id).or_insert(device);
        let with = *first.entry(id).or_insert(tensor.name.as_str());
        if home != device {
            return Err(refuse()
                .place(format!("`{}`", tensor.name))
                .expected(format!("all of `{id}` on one device"))
                .found(format!("`{with}` on another"))
                .hint("parts of a component are not planned apart"));
        }
    }
    missing.dedup();
    Ok(missing)
}

/// Every module of the model, once.
fn modules(tensors: &[Tensor]) -> Vec<&str> {
    let mut modules: Vec<&str> = tensors
        .iter()
        .flat_map(|tensor| prefixes(&tensor.name))
        .filter(|p| !p.is_empty())
        .collect();
    modules.sort_unstable();
    modules.dedup();
    modules
}

fn missed(missing: &[&str], surplus: &[&str], modules: &[&str]) -> Error {
    let listed: Vec<String> =
        missing.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    let more = match missing.len() {
        count if count > LISTED_MAX => format!(" and {} more", count - LISTED_MAX),
        _ => String::new(),
    };
    let error = refuse()
        .expected("a device for every tensor")
        .found(format!("none for {}{more}", listed.join(", ")));
    match surplus.iter().take(LISTED_MAX).find_map(|path| Some((path, meant(path, modules)?))) {
        Some((path, meant)) => {
            error.hint(format!("`{}` names nothing; did you mean `{meant}`?", printable(path)))
        }
        None => {
            error.hint("module paths are those of transformers 4 or 5, such as `model.layers.0`")
        }
    }
}

fn meant<'a>(path: &str, modules: &[&'a str]) -> Option<&'a str> {
    // Paths of layers are alike in all but their number, which is no misspelling.
    nearest(path, modules.iter().copied()).first().copied()
}

/// Surplus paths, but for modules that hold nothing or a head that is the embedding.
fn odd(surplus: &[&str], modules: &[&str]) -> Vec<String> {
    let holds_nothing = |path: &str| {
        let last = path.rsplit('.').next().unwrap_or("");
        path == "lm_head" || last.starts_with("rotary_emb") || last == "act_fn"
    };
    let odd: Vec<&&str> = surplus.iter().filter(|path| !holds_nothing(path)).collect();
    let note = |path: &&&str| {
        let meant = meant(path, modules);
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        format!("`{}` names no module that holds weights{meant}", printable(path))
    };
    let mut notes: Vec<String> = odd.iter().take(LISTED_MAX).map(note).collect();
    if odd.len() > LISTED_MAX {
        notes.push(format!("{} more paths name none either", odd.len() - LISTED_MAX));
    }
    notes
}
