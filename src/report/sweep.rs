//! A swept grid: a table for people, an object per point, a line per point.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Align, Table, decimal, decimals, percent, plural, wrap};
use crate::error::printable;
use crate::placement::limit_name;
use crate::sweep::{Grid, Row, Verdict};
use crate::units::{bits_per_weight, format_bytes};

const LEGEND: &str =
    "Cells: peak utilization, transfers per token; `+`: a limit stopped the proof.";

/// Rows of quantization and context, columns of machines; machines that have no room beside the others in
/// `width` columns go into a further table.
pub fn text(grid: &Grid, rows: &[Row], width: usize) -> String {
    let load = &grid.scenario.load;
    let mut text = format!(
        "{}, batch {}, KV {}: {}\n",
        printable(&grid.scenario.model.name),
        load.batch,
        load.kv_type.name(),
        plural(u64::try_from(grid.points()).unwrap_or(u64::MAX), "point"),
    );
    let mut notes = Notes::default();
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| row.verdicts.iter().map(|v| cell(v, &mut notes)).collect()).collect();
    for columns in blocks(grid, &cells, width) {
        text.push('\n');
        text.push_str(&table(grid, rows, &cells, &columns));
    }
    text.push('\n');
    text.push_str(&wrap(LEGEND, width));
    let refusals = notes.0.iter().map(|(text, number)| (number, text));
    let refusals: BTreeMap<_, _> = refusals.collect();
    text.extend(refusals.iter().map(|(number, why)| wrap(&format!("({number}) {why}"), width)));
    text
}

/// Reasons why points were refused, numbered as they come: many points share one.
#[derive(Default)]
struct Notes(BTreeMap<String, usize>);

impl Notes {
    fn number(&mut self, text: &str) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(text.to_owned()).or_insert(next)
    }
}

fn cell(verdict: &Verdict, notes: &mut Notes) -> String {
    match verdict {
        Verdict::Fits(worth) => {
            let open = if worth.limit.is_some() { "+" } else { "" };
            let transfers = decimal(worth.traffic.expected_transfers_per_token());
            let spill = match worth.spill_bytes {
                0 => String::new(),
                bytes => format!(", {} on CPU", format_bytes(bytes)),
            };
            format!("{}, {transfers}{open}{spill}", percent(worth.peak))
        }
        Verdict::Infeasible { missing_bytes: 0 } => "no".to_owned(),
        Verdict::Infeasible { missing_bytes } => {
            format!("no: {} short", format_bytes(*missing_bytes))
        }
        Verdict::Unknown(limit) => format!("unknown: {} limit", limit_name(*limit)),
        Verdict::Refused(why) => format!("refused ({})", notes.number(why)),
    }
}

/// Machines that fit beside each other, at least one at a time.
fn blocks(grid: &Grid, cells: &[Vec<String>], width: usize) -> Vec<Vec<usize>> {
    let chars = |text: &str| text.chars().count();
    let heading = |names: Vec<String>| names.iter().map(|name| chars(name)).max().unwrap_or(0);
    let quants = heading(grid.schemes.iter().map(crate::quant::Scheme::name).collect());
    let contexts = heading(grid.contexts.iter().map(u64::to_string).collect());
    let first = quants.max("quant".len()) + 2 + contexts.max("context".len());
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let mut used = width;
    for (index, machine) in grid.machines.iter().enumerate() {
        let column = cells.iter().filter_map(|row| row.get(index)).map(|cell| chars(cell)).max();
        let column = column.unwrap_or(0).max(chars(&printable(&machine.name))) + 2;
        match blocks.last_mut() {
            Some(block) if used + column <= width => {
                block.push(index);
                used += column;
            }
            _ => {
                blocks.push(vec![index]);
                used = first + column;
            }
        }
    }
    blocks
}

fn table(grid: &Grid, rows: &[Row], cells: &[Vec<String>], columns: &[usize]) -> String {
    let names: Vec<String> =
        columns.iter().map(|&column| printable(&grid.machines[column].name)).collect();
    let headings = [("quant", Align::Left), ("context", Align::Right)];
    let machines = names.iter().map(|name| (name.as_str(), Align::Right));
    let headings: Vec<(&str, Align)> = headings.into_iter().chain(machines).collect();
    let mut table = Table::new(&headings);
    let mut above = None;
    for (row, cells) in rows.iter().zip(cells) {
        // A name stands once over its contexts.
        let name = if above == Some(row.scheme) { String::new() } else { name(grid, row) };
        above = Some(row.scheme);
        let head = [name, row.context.to_string()];
        table.row(head.into_iter().chain(columns.iter().map(|&column| cells[column].clone())));
    }
    table.render()
}

fn name(grid: &Grid, row: &Row) -> String {
    grid.schemes[row.scheme].name()
}

/// An object per point, in the order of the grid.
pub fn json(grid: &Grid, rows: &[Row]) -> Value {
    let points: Vec<Value> = rows
        .iter()
        .flat_map(|row| {
            let pairs = grid.machines.iter().zip(&row.verdicts);
            pairs.map(|(machine, verdict)| point(grid, row, &machine.name, verdict))
        })
        .collect();
    let load = &grid.scenario.load;
    json!({
        "model": grid.scenario.model.name,
        "batch": load.batch,
        "kv_type": load.kv_type.name(),
        "points": points,
    })
}

/// The same keys for every point; null where there is nothing to say.
fn point(grid: &Grid, row: &Row, machine: &str, verdict: &Verdict) -> Value {
    let size = row.size;
    let bits = size.map(|size| decimals(&bits_per_weight(size.stored_bytes, size.elements)));
    let mut point = json!({
        "quantization": name(grid, row),
        "bits_per_weight": bits,
        "context": row.context,
        "machine": machine,
        "status": status(verdict),
        "weights_bytes": size.map(|size| size.weights_bytes),
        "kv_cache_bytes": size.map(|size| size.kv_cache_bytes),
        "peak": null,
        "spill_bytes": null,
        "hand_overs": null,
        "remote_experts": null,
        "expected_transfers_per_token": null,
        "nodes": null,
        "missing_bytes": null,
        "limit": null,
        "reason": null,
    });
    match verdict {
        Verdict::Fits(worth) => {
            let traffic = &worth.traffic;
            point["peak"] = json!(worth.peak.as_f64());
            point["spill_bytes"] = json!(worth.spill_bytes);
            point["hand_overs"] = json!(traffic.hand_overs);
            point["remote_experts"] = json!(traffic.remote_experts);
            point["expected_transfers_per_token"] =
                json!(traffic.expected_transfers_per_token().as_f64());
            point["nodes"] = json!(worth.nodes);
            point["limit"] = json!(worth.limit.map(limit_name));
        }
        Verdict::Infeasible { missing_bytes } => point["missing_bytes"] = json!(missing_bytes),
        Verdict::Unknown(limit) => point["limit"] = json!(limit_name(*limit)),
        Verdict::Refused(why) => point["reason"] = json!(why),
    }
    point
}

fn status(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Fits(worth) if worth.limit.is_none() => "optimal",
        Verdict::Fits(_) => "feasible",
        Verdict::Infeasible { .. } => "infeasible",
        Verdict::Unknown(_) => "unknown",
        Verdict::Refused(_) => "refused",
    }
}

/// A heading and a line per point (RFC 4180, but lines end like every text here).
pub fn csv(grid: &Grid, rows: &[Row]) -> String {
    let answer = json(grid, rows);
    let points = answer["points"].as_array().map_or(&[][..], Vec::as_slice);
    let mut text = String::new();
    let heading = points.first().and_then(Value::as_object);
    if let Some(heading) = heading {
        line(&mut text, std::iter::once("model".to_owned()).chain(heading.keys().cloned()));
    }
    for point in points.iter().filter_map(Value::as_object) {
        let model = answer["model"].as_str().unwrap_or_default().to_owned();
        line(&mut text, std::iter::once(model).chain(point.values().map(plain)));
    }
    text
}

fn line(text: &mut String, fields: impl Iterator<Item = String>) {
    let fields: Vec<String> = fields.map(|field| quoted(&field)).collect();
    text.push_str(&fields.join(","));
    text.push('\n');
}

/// Text as it is, numbers as JSON writes them, nothing for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// In quotes where commas, quotes or line ends would be misread; quotes within are doubled.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        for (field, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(quoted(field), expected);
        }
    }
}
