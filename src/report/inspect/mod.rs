//! What `inspect` prints: a model as a tree of layer kinds, what its bytes are for, its largest items,
//! and the figures that are not weights.

mod anatomy;
mod listing;

use serde_json::{Value, json};

use super::{Align, Table, WIDTH_DEFAULT, decimals, percent, wrap};
use crate::error::{Error, printable};
use crate::memory::{Demand, Load, Term, state_bytes};
use crate::model::{ComponentKind, Model};
use crate::quant::Scheme;
use crate::units::{Ratio, bits_per_weight, format_bytes, grouped};
use anatomy::{
    LayerKind, Part, Share, kinds_of_layers, largest_components, outside_layers, shares,
};
pub use listing::Filter;
use listing::{Listed, largest, listed};

/// How many of the largest tensors and components are shown.
const LARGEST: usize = 5;

/// A model as it is stored and used, and what of it is listed.
#[derive(Clone, Copy, Debug)]
pub struct Inspection<'a> {
    /// The model.
    pub model: &'a Model,
    /// How it is stored.
    pub scheme: &'a Scheme,
    /// How it is used.
    pub load: &'a Load,
    /// What it needs.
    pub demand: &'a Demand,
    /// The components whose tensors are listed.
    pub filter: &'a Filter,
}

impl Inspection<'_> {
    /// Of the tensors that are stored: a runtime's copy of a tied embedding is memory, and no weight more.
    fn bits(&self) -> String {
        bits_per_weight(self.demand.storage.bytes(), self.demand.storage.elements())
    }

    /// KV cache without recurrent state, and the state.
    fn kept(&self) -> Result<(u64, u64), Error> {
        let state = state_bytes(self.model, self.load)?;
        Ok((self.demand.kv_cache_bytes().saturating_sub(state), state))
    }
}

/// The whole as text; the list of tensors is [`tensors`].
///
/// # Errors
/// A load that cannot be sized.
pub fn inspection(inspection: &Inspection<'_>) -> Result<String, Error> {
    let demand = inspection.demand;
    let beside = beside(inspection.load, demand);
    let parts = [
        heading(inspection)?,
        tree(demand),
        purposes(demand),
        largest_items(demand),
        beside + &terms(demand),
    ];
    Ok(parts.join("\n"))
}

fn heading(inspection: &Inspection<'_>) -> Result<String, Error> {
    let Inspection { model, scheme, load, demand, .. } = *inspection;
    let mut table = Vec::new();
    let mut line = |name: &str, bytes: u64, note: &str| {
        table.push(format!("{name:9} {} ({} bytes){note}\n", format_bytes(bytes), grouped(bytes)));
    };
    let used =
        format!(" for context {} x batch {} in {}", load.context, load.batch, load.kv_type.name());
    let (kv_cache, state) = inspection.kept()?;
    line("weights", demand.weights_bytes(), "");
    line("KV cache", kv_cache, &used);
    if state > 0 {
        line("state", state, &format!(" for batch {}", load.batch));
    }
    Ok(format!(
        "{} ({}), {} parameters\n{}, {} bits per weight\n{}",
        printable(&model.name),
        model.family,
        grouped(model.parameters()),
        crate::report::quantization(scheme),
        inspection.bits(),
        table.concat()
    ))
}

/// Embedding, the kinds of layers with their parts, final norm, head.
fn tree(demand: &Demand) -> String {
    let mut table = Table::new(&[
        ("component", Align::Left),
        ("weights", Align::Right),
        ("KV cache", Align::Right),
        ("bits/weight", Align::Right),
    ]);
    let (before, after) = outside_layers(demand);
    let row = |table: &mut Table, name: String, part: &Part| {
        let kept = part.kv_cache_bytes;
        table.row([
            name,
            format_bytes(part.weights_bytes),
            if kept > 0 { format_bytes(kept) } else { "-".to_owned() },
            bits_per_weight(part.weights_bytes, part.elements),
        ]);
    };
    for part in &before {
        row(&mut table, part.kind.name().to_owned(), part);
    }
    for kind in kinds_of_layers(demand) {
        row(&mut table, kind.name(), &kind.whole());
        for part in &kind.parts {
            row(&mut table, format!("  {}", part_name(part)), &part.all());
        }
    }
    for part in &after {
        row(&mut table, part.kind.name().to_owned(), part);
    }
    table.render()
}

/// `attention`, `8 experts x 108.94 MiB`.
fn part_name(part: &Part) -> String {
    let name = part.kind.name();
    match (part.count, part.kind) {
        (1, kind) if kind != ComponentKind::Expert => name.to_owned(),
        (1, _) => format!("1 {name}"),
        (count, _) => format!("{count} {name}s x {}", format_bytes(part.weights_bytes)),
    }
}

fn purposes(demand: &Demand) -> String {
    let mut table = Table::new(&[
        ("purpose", Align::Left),
        ("elements", Align::Right),
        ("weights", Align::Right),
        ("", Align::Right),
        ("bits/weight", Align::Right),
    ]);
    let total = demand.weights_bytes();
    for Share { purpose, elements, weights_bytes } in shares(demand) {
        table.row([
            purpose.name().to_owned(),
            grouped(elements),
            format_bytes(weights_bytes),
            percent(Ratio::new(weights_bytes, total)),
            bits_per_weight(weights_bytes, elements),
        ]);
    }
    table.render()
}

fn largest_items(demand: &Demand) -> String {
    let mut table = Table::new(&[("largest", Align::Left), ("", Align::Left), ("", Align::Right)]);
    for tensor in largest(demand, LARGEST) {
        let name = printable(tensor.name);
        table.row([name, tensor.type_name.to_owned(), format_bytes(tensor.bytes)]);
    }
    for (id, bytes) in largest_components(demand, LARGEST) {
        table.row([id.to_string(), "component".to_owned(), format_bytes(bytes)]);
    }
    table.render()
}

/// What else is in the memory of a device, for a runtime that says so.
fn beside(load: &Load, demand: &Demand) -> String {
    if load.runtime.is_default() {
        return String::new();
    }
    let mut names = demand.per_device.names(2);
    if demand.rounding_bytes() > 0 {
        names.push(format!("rounding {} in all", format_bytes(demand.rounding_bytes())));
    }
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let (runtime, about) = (printable(load.runtime.name()), printable(load.runtime.about()));
    let beside = format!("beside weights, cache and workspace, a GPU among several holds: {names}");
    let lines = [format!("runtime {runtime}: {about}"), beside].map(|t| wrap(&t, WIDTH_DEFAULT));
    lines.concat() + "\n"
}

/// The named terms of the estimate with their sources.
fn terms(demand: &Demand) -> String {
    let line = |term: &Term| {
        wrap(
            &format!("{}: {} = {}", term.name, format_bytes(term.bytes), term.formula),
            WIDTH_DEFAULT,
        )
    };
    let runs = demand.terms.chunk_by(|a, b| a.source == b.source);
    let texts: Vec<String> = runs
        .flat_map(|run| {
            let source = format!("  ({})", printable(&run[0].source));
            run.iter().map(line).chain([wrap(&source, WIDTH_DEFAULT)])
        })
        .collect();
    texts.concat()
}

/// A line per tensor of the components that match; one that experts share stands once, with how many of
/// its parts are meant.
///
/// # Errors
/// A filter that matches nothing.
pub fn tensors(demand: &Demand, filter: &Filter) -> Result<String, Error> {
    let mut table = Table::new(&[
        ("tensor", Align::Left),
        ("shape", Align::Left),
        ("type", Align::Left),
        ("parts", Align::Right),
        ("bytes", Align::Right),
    ]);
    for tensor in listed(demand, filter)? {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        let parts = match (tensor.parts, tensor.of) {
            (_, 1) => String::new(),
            (parts, of) if parts == of => parts.to_string(),
            (parts, of) => format!("{parts} of {of}"),
        };
        table.row([
            printable(tensor.name),
            shape.join(" x "),
            tensor.type_name.to_owned(),
            parts,
            grouped(tensor.bytes),
        ]);
    }
    Ok(table.render())
}

/// `inspect --json`.
///
/// # Errors
/// As [`inspection`] and [`tensors`].
pub fn inspection_json(inspection: &Inspection<'_>) -> Result<Value, Error> {
    let Inspection { model, scheme, demand, filter, .. } = *inspection;
    let (kv_cache, state) = inspection.kept()?;
    let tensors: Vec<Value> = listed(demand, filter)?.iter().map(tensor_json).collect();
    let largest_components: Vec<Value> = largest_components(demand, LARGEST)
        .into_iter()
        .map(|(id, bytes)| json!({ "id": id.to_string(), "weights_bytes": bytes }))
        .collect();
    let overrides: Vec<String> = scheme.overrides().iter().map(ToString::to_string).collect();
    Ok(json!({
        "model": model.name,
        "family": model.family,
        "quantization": scheme.name(),
        "quantization_overrides": overrides,
        "parameters": model.parameters(),
        "elements": demand.storage.elements(),
        "weights_bytes": demand.weights_bytes(),
        "bits_per_weight": decimals(&inspection.bits()),
        "kv_cache_bytes": kv_cache,
        "state_bytes": state,
        "layer_kinds": kinds_of_layers(demand).iter().map(kind_json).collect::<Vec<_>>(),
        "purposes": shares(demand).iter().map(share_json).collect::<Vec<_>>(),
        "largest_tensors": largest(demand, LARGEST).iter().map(tensor_json).collect::<Vec<_>>(),
        "largest_components": largest_components,
        "terms": demand.terms.iter().map(term_json).collect::<Vec<_>>(),
        "components": components_json(demand),
        "tensors": tensors,
    }))
}

fn tensor_json(tensor: &Listed<'_>) -> Value {
    json!({
        "name": tensor.name,
        "shape": tensor.shape,
        "type": tensor.type_name,
        "bytes": tensor.bytes,
        "parts": tensor.parts,
        "parts_of": tensor.of,
    })
}

fn kind_json(kind: &LayerKind) -> Value {
    let parts = kind.parts.iter().map(|part| {
        json!({
            "kind": part.kind.name(),
            "count": part.count,
            "weights_bytes": part.weights_bytes,
            "kv_cache_bytes": part.kv_cache_bytes,
            "bits_per_weight": decimals(&bits_per_weight(part.weights_bytes, part.elements)),
        })
    });
    json!({ "layers": kind.layers, "parts": parts.collect::<Vec<_>>() })
}

fn share_json(share: &Share) -> Value {
    let Share { purpose, elements, weights_bytes } = *share;
    json!({
        "purpose": purpose.name(),
        "elements": elements,
        "weights_bytes": weights_bytes,
        "bits_per_weight": decimals(&bits_per_weight(weights_bytes, elements)),
    })
}

fn term_json(term: &Term) -> Value {
    json!({
        "name": term.name,
        "bytes": term.bytes,
        "formula": term.formula,
        "source": term.source,
    })
}

fn components_json(demand: &Demand) -> Vec<Value> {
    let component = |c: &crate::memory::ComponentDemand| {
        json!({
            "id": c.id.to_string(),
            "kind": c.id.kind().name(),
            "layer": c.id.layer(),
            "expert": c.id.expert(),
            "weights_bytes": c.weights_bytes,
            "kv_cache_bytes": c.kv_cache_bytes,
        })
    };
    demand.components.iter().map(component).collect()
}
