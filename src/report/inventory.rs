//! What `inspect` prints: components and tensors with their bytes.

use super::{Align, Table, WIDTH_DEFAULT, wrap};
use crate::error::printable;
use crate::memory::{Demand, Load, Term};
use crate::model::{ComponentKind, Model};
use crate::quant::Scheme;
use crate::units::{format_bytes, grouped};

/// The totals, the components by kind, and what a device needs beside them.
pub fn inventory(model: &Model, scheme: &Scheme, load: &Load, demand: &Demand) -> String {
    let (weights, kv_cache) = (demand.weights_bytes(), demand.kv_cache_bytes());
    let name = format!("{} ({})", printable(&model.name), model.family);
    let size = format!("{} parameters, {}", grouped(model.parameters()), scheme.name());
    let used =
        format!("context {} x batch {} in {}", load.context, load.batch, load.kv_type.name());
    [
        format!("{name}, {size}\n"),
        format!("weights   {} ({} bytes)\n", format_bytes(weights), grouped(weights)),
        format!(
            "KV cache  {} ({} bytes) for {used}\n\n",
            format_bytes(kv_cache),
            grouped(kv_cache)
        ),
        components(demand),
        "\n".to_owned(),
        beside(load, demand),
        terms(demand),
    ]
    .concat()
}

/// A line per group of like components: equal kind and bytes, in whatever layers.
pub fn components(demand: &Demand) -> String {
    let mut table = Table::new(&[
        ("components", Align::Left),
        ("count", Align::Right),
        ("weights", Align::Right),
        ("KV cache", Align::Right),
        ("total", Align::Right),
    ]);
    for group in groups(demand) {
        let count = group.count;
        let (weights, kv_cache) = (group.weights_bytes, group.kv_cache_bytes);
        let each = weights.saturating_add(kv_cache);
        table.row([
            group.name(),
            count.to_string(),
            format_bytes(weights),
            if kv_cache > 0 { format_bytes(kv_cache) } else { "-".to_owned() },
            format_bytes(each.saturating_mul(count)),
        ]);
    }
    table.render()
}

/// Components of one kind with equal bytes.
struct Group {
    kind: ComponentKind,
    weights_bytes: u64,
    kv_cache_bytes: u64,
    count: u64,
    /// Runs of layers, ascending, both ends included; none outside the layers.
    layers: Vec<(u32, u32)>,
}

impl Group {
    /// `layers.0-3,6,9,..,31.experts.*`: the layers in full while they are few.
    fn name(&self) -> String {
        const RUNS_MAX: usize = 3;
        let run = |&(first, last): &(u32, u32)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        let mut runs: Vec<String> = self.layers.iter().map(run).collect();
        if runs.len() > RUNS_MAX {
            runs.splice(RUNS_MAX - 1..runs.len() - 1, ["..".to_owned()]);
        }
        match (runs.as_slice(), self.kind) {
            ([], kind) => kind.name().to_owned(),
            (runs, ComponentKind::Expert) => format!("layers.{}.experts.*", runs.join(",")),
            (runs, kind) => format!("layers.{}.{}", runs.join(","), kind.name()),
        }
    }

    fn add_layer(&mut self, layer: u32) {
        match self.layers.last_mut() {
            Some((_, last)) if layer.saturating_sub(*last) <= 1 => *last = layer,
            _ => self.layers.push((layer, layer)),
        }
    }
}

/// By kind, and within it by the first layer.
fn groups(demand: &Demand) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for component in &demand.components {
        let kind = component.id.kind();
        let (weights_bytes, kv_cache_bytes) = (component.weights_bytes, component.kv_cache_bytes);
        let key = (kind, weights_bytes, kv_cache_bytes);
        let like = |group: &Group| (group.kind, group.weights_bytes, group.kv_cache_bytes) == key;
        let at = groups.iter().position(like).unwrap_or(groups.len());
        if at == groups.len() {
            groups.push(Group {
                kind,
                weights_bytes,
                kv_cache_bytes,
                count: 0,
                layers: Vec::new(),
            });
        }
        groups[at].count += 1;
        if let Some(layer) = component.id.layer() {
            groups[at].add_layer(layer);
        }
    }
    // Stable: within a kind the first layers stay in order.
    groups.sort_by_key(|group| group.kind);
    groups
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
    let runtime = printable(load.runtime.name());
    let about =
        wrap(&format!("runtime {runtime}: {}", printable(load.runtime.about())), WIDTH_DEFAULT);
    format!(
        "{about}{}\n",
        wrap(
            &format!("beside weights, cache and workspace, a GPU among several holds: {names}"),
            WIDTH_DEFAULT
        )
    )
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
            run.iter()
                .map(line)
                .chain([wrap(&format!("  ({})", printable(&run[0].source)), WIDTH_DEFAULT)])
        })
        .collect();
    texts.concat()
}

/// A line per tensor.
pub fn tensors(demand: &Demand) -> String {
    let mut table = Table::new(&[
        ("tensor", Align::Left),
        ("shape", Align::Left),
        ("type", Align::Left),
        ("bytes", Align::Right),
    ]);
    for (tensor, stored) in demand.storage.tensors.iter().zip(&demand.storage.stored) {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        table.row([
            printable(&tensor.name),
            shape.join(" x "),
            stored.type_name.to_owned(),
            grouped(stored.bytes),
        ]);
    }
    table.render()
}
