//! The map at a glance: a row per run of layers that are divided alike, a character per expert.
//!
//! Where a layer has more experts than the line has room, runs of experts take the place of characters.

use std::collections::BTreeMap;

use crate::error::printable;
use crate::hardware::{Device, DeviceKind};
use crate::model::{ComponentId, ComponentKind, Matrix};
use crate::placement::Placement;
use crate::problem::Problem;

const SYMBOLS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABDEFGHIJKLMNOPQRSTUVWXYZ@#%C";

/// Where one layer's parts live, as the row shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    attention: String,
    mlp: String,
    shared_expert: String,
    experts: Vec<char>,
    matrices: String,
}

/// Who lives where, over at most `width` columns (a single very scattered layer may take more).
pub fn map(problem: &Problem, placement: &Placement, width: usize) -> String {
    let symbols = symbols(&problem.devices);
    let homes = || {
        let ids = problem.components.iter().map(|c| c.demand.id);
        ids.zip(placement.device_of.iter().map(|&device| symbols[device]))
    };
    let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
    let mut ends = Vec::new();
    for (id, symbol) in homes() {
        match id.layer() {
            Some(layer) => put(rows.entry(layer).or_default(), id, symbol),
            None => ends.push((id, symbol)),
        }
    }
    let (before, after): (Vec<_>, Vec<_>) =
        ends.into_iter().partition(|&(id, _)| id == ComponentId::Embedding);
    let layers = layer_lines(&rows, width);
    // The ends of the chain stand in the column of attention, which the chain runs through.
    let column = layers.first().and_then(|line| line.find("attention")).unwrap_or(0) + 10;
    let end = |(id, symbol): &(ComponentId, char)| format!("{:column$}{symbol}", id.to_string());
    let mut lines = vec![legend(&problem.devices, &symbols)];
    lines.extend(before.iter().map(end));
    lines.extend(layers);
    lines.extend(after.iter().map(end));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// One character per device: its number among the GPUs, `C` for the first CPU.
pub(super) fn symbols(devices: &[Device]) -> Vec<char> {
    let first_cpu = devices.iter().position(|device| device.kind == DeviceKind::Cpu);
    let symbol = |index: usize| match first_cpu {
        Some(cpu) if cpu == index => 'C',
        Some(cpu) if cpu < index => SYMBOLS.get(index - 1).map_or('?', |&b| char::from(b)),
        _ => SYMBOLS.get(index).map_or('?', |&b| char::from(b)),
    };
    (0..devices.len()).map(symbol).collect()
}

fn legend(devices: &[Device], symbols: &[char]) -> String {
    let entries = devices.iter().zip(symbols);
    let entries: Vec<_> =
        entries.map(|(d, symbol)| format!("{symbol} = {}", printable(&d.id))).collect();
    entries.join("  ")
}

fn put(row: &mut Row, id: ComponentId, symbol: char) {
    match id.kind() {
        ComponentKind::Attention => row.attention = symbol.to_string(),
        ComponentKind::Mlp => row.mlp = symbol.to_string(),
        ComponentKind::SharedExpert => row.shared_expert = symbol.to_string(),
        ComponentKind::Expert => row.experts.push(symbol),
        ComponentKind::ExpertMatrix => {
            let name = id.matrix().map_or("", Matrix::name);
            row.matrices.extend(["  ", name, " "]);
            row.matrices.push(symbol);
        }
        // The router lives with its attention, and the rest is no part of a layer.
        ComponentKind::Router
        | ComponentKind::Embedding
        | ComponentKind::FinalNorm
        | ComponentKind::OutputHead => {}
    }
}

fn layer_lines(rows: &BTreeMap<u32, Row>, width: usize) -> Vec<String> {
    let mut runs: Vec<(u32, u32, &Row)> = Vec::new();
    for (&layer, row) in rows {
        match runs.last_mut() {
            Some((_, last, same)) if *last + 1 == layer && *same == row => *last = layer,
            _ => runs.push((layer, layer, row)),
        }
    }
    let name = |&(first, last, _): &(u32, u32, &Row)| {
        if first == last { format!("layer {first}") } else { format!("layers {first}-{last}") }
    };
    let name_width = runs.iter().map(|run| name(run).len()).max().unwrap_or(0);
    let experts_max = rows.values().map(|row| row.experts.len()).max().unwrap_or(0);
    // "  attention 0" and, in models that have them, the other columns.
    let fixed = name_width + 44;
    let compact = fixed + experts_max > width.max(super::WIDTH_DEFAULT);
    runs.iter()
        .map(|run| format!("{:name_width$}{}", name(run), row_text(run.2, compact)))
        .collect()
}

fn row_text(row: &Row, compact: bool) -> String {
    let experts = if compact { run_lengths(&row.experts) } else { row.experts.iter().collect() };
    let parts = [
        ("attention", &row.attention),
        ("mlp", &row.mlp),
        ("shared expert", &row.shared_expert),
        ("experts", &experts),
    ];
    let present = parts.into_iter().filter(|(_, homes)| !homes.is_empty());
    let texts: Vec<String> = present.map(|(name, homes)| format!("  {name} {homes}")).collect();
    texts.concat() + &row.matrices
}

/// `0x64 1x64`: how many experts in a row live on which device.
fn run_lengths(experts: &[char]) -> String {
    let runs = experts.chunk_by(|a, b| a == b);
    runs.map(|run| format!("{}x{}", run[0], run.len())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_different_for_as_many_devices_as_there_can_be() {
        let device = |index: usize| Device {
            id: index.to_string(),
            kind: if index < 63 { DeviceKind::Gpu } else { DeviceKind::Cpu },
            capacity_bytes: 1,
            reserve_bytes: 0,
        };
        let devices: Vec<_> = (0..64).map(device).collect();
        let mut symbols = symbols(&devices);
        assert_eq!(symbols[63], 'C');
        symbols.sort_unstable();
        symbols.dedup();
        assert_eq!(symbols.len(), 64);
    }

    #[test]
    fn equal_layers_share_a_row() {
        let row = |experts: &str| Row {
            attention: "0".to_owned(),
            experts: experts.chars().collect(),
            ..Row::default()
        };
        let rows = BTreeMap::from([(0, row("0000")), (1, row("0011")), (2, row("0011"))]);
        let lines = layer_lines(&rows, 80);
        assert_eq!(
            lines,
            ["layer 0     attention 0  experts 0000", "layers 1-2  attention 0  experts 0011"]
        );
        let wide = BTreeMap::from([(0, row(&"01".repeat(2)).clone()), (1, row(&"0".repeat(128)))]);
        assert_eq!(layer_lines(&wide, 80)[1], "layer 1  attention 0  experts 0x128");
    }
}
