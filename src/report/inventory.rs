//! What `inspect` prints: components and tensors with their bytes.

use super::{Align, Table, WIDTH_DEFAULT, wrap};
use crate::error::printable;
use crate::memory::{Demand, Load, Term};
use crate::model::{ComponentId, ComponentKind, Model};
use crate::quant::Scheme;
use crate::units::format_bytes;

/// The totals, the components by kind, and what a device needs beside them.
pub fn inventory(model: &Model, scheme: Scheme, load: &Load, demand: &Demand) -> String {
    let (weights, kv_cache) = (demand.weights_bytes(), demand.kv_cache_bytes());
    let name = format!("{} ({})", printable(&model.name), model.family);
    let size = format!("{} parameters, {}", model.parameters(), scheme.name());
    let used =
        format!("context {} x batch {} in {}", load.context, load.batch, load.kv_type.name());
    [
        format!("{name}, {size}\n"),
        format!("weights   {} ({weights} bytes)\n", format_bytes(weights)),
        format!("KV cache  {} ({kv_cache} bytes) for {used}\n\n", format_bytes(kv_cache)),
        components(demand),
        "\n".to_owned(),
        terms(demand),
    ]
    .concat()
}

/// A line per run of like components: equal kind and bytes in consecutive layers.
pub fn components(demand: &Demand) -> String {
    let mut table = Table::new(&[
        ("components", Align::Left),
        ("count", Align::Right),
        ("weights", Align::Right),
        ("KV cache", Align::Right),
        ("total", Align::Right),
    ]);
    for run in runs(demand) {
        let count = run.count;
        let each = run.weights_bytes.saturating_add(run.kv_cache_bytes);
        table.row([
            run.name(),
            count.to_string(),
            format_bytes(run.weights_bytes),
            if run.kv_cache_bytes > 0 { format_bytes(run.kv_cache_bytes) } else { "-".to_owned() },
            format_bytes(each.saturating_mul(count)),
        ]);
    }
    table.render()
}

/// Components of one kind with equal bytes, in layers `first..=last`.
struct Run {
    id: ComponentId,
    last_layer: u32,
    count: u64,
    weights_bytes: u64,
    kv_cache_bytes: u64,
}

impl Run {
    fn name(&self) -> String {
        let Some(first) = self.id.layer() else { return self.id.to_string() };
        let layers = if first == self.last_layer {
            first.to_string()
        } else {
            format!("{first}-{}", self.last_layer)
        };
        match self.id.kind() {
            ComponentKind::Expert => format!("layers.{layers}.experts.*"),
            kind => format!("layers.{layers}.{}", kind.name()),
        }
    }
}

fn runs(demand: &Demand) -> Vec<Run> {
    let mut by_kind: Vec<_> = demand.components.iter().collect();
    // Stable: within a kind the layers stay in order.
    by_kind.sort_by_key(|c| c.id.kind());
    let mut runs: Vec<Run> = Vec::new();
    for component in by_kind {
        let layer = component.id.layer().unwrap_or(0);
        let bytes = (component.weights_bytes, component.kv_cache_bytes);
        match runs.last_mut() {
            Some(run)
                if run.id.kind() == component.id.kind()
                    && (run.weights_bytes, run.kv_cache_bytes) == bytes
                    && layer - run.last_layer <= 1 =>
            {
                run.last_layer = layer;
                run.count += 1;
            }
            _ => runs.push(Run {
                id: component.id,
                last_layer: layer,
                count: 1,
                weights_bytes: bytes.0,
                kv_cache_bytes: bytes.1,
            }),
        }
    }
    runs
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
        .flat_map(|run| run.iter().map(line).chain([format!("  ({})\n", run[0].source)]))
        .collect();
    texts.concat()
}

/// A line per tensor.
pub fn tensors(model: &Model, demand: &Demand) -> String {
    let mut table = Table::new(&[
        ("tensor", Align::Left),
        ("shape", Align::Left),
        ("type", Align::Left),
        ("bytes", Align::Right),
    ]);
    for (tensor, stored) in model.tensors.iter().zip(&demand.stored) {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        table.row([
            printable(&tensor.name),
            shape.join(" x "),
            stored.type_name.to_owned(),
            stored.bytes.to_string(),
        ]);
    }
    table.render()
}
