//! What the page shows, as JSON.

use serde_json::{Map, Value, json};

use super::grid::{Grid, Home, Row};
use super::memory::segments;
use super::timeline::{Replay, fewer, points_max};
use super::{Page, View};
use crate::placement::ObjectiveRecord;
use crate::report::json as shapes;
use crate::simulate::{Point, Simulation};

/// Everything that is drawn: bytes as integers, runs of the map as they are in the grid.
pub fn json(page: &Page<'_>) -> Value {
    let view = View::of(page);
    let record = view.record;
    let scenario = &record.scenario;
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("model", json!(scenario.model.name));
    put("quantization", json!(scenario.scheme.name()));
    put("question", json!(crate::report::question(scenario).trim()));
    put("status", json!(record.status.name()));
    put("objectives", record.objectives.iter().map(objective).collect());
    put("devices", devices(&view));
    put("map", map(&view.grid, &view));
    put("transfers", transfers(&view));
    put("comparison", shapes::comparison(view.problem, None, view.baselines)["rows"].take());
    put("load", load(view.replay));
    put(
        "origin",
        json!({
            "problem": record.problem,
            "model_fingerprint": scenario.model.fingerprint,
            "solver": record.solver,
            "nodes": record.nodes,
        }),
    );
    Value::Object(object)
}

fn objective(objective: &ObjectiveRecord) -> Value {
    json!({
        "name": objective.kind().name(),
        "value": shapes::number(objective.value),
        "optimum": shapes::number(objective.optimum),
        "bound": shapes::number(objective.bound),
        "gap": crate::report::decimals(&objective.gap),
        "tolerance": objective.objective.tolerance.as_f64(),
        "cap": shapes::number(objective.cap),
    })
}

/// As everywhere, and with the letter and the parts of each bar.
fn devices(view: &View<'_>) -> Value {
    let mut devices = shapes::devices(view.problem, view.measured);
    for (index, used) in view.measured.devices.iter().enumerate() {
        let parts = segments(used).into_iter();
        let parts = parts.map(|part| (part.purpose.name().to_owned(), json!(part.bytes)));
        devices[index]["kind"] = json!(view.problem.devices[index].kind.name());
        devices[index]["letter"] = json!(view.letter(index).replace("&amp;", "&"));
        devices[index]["bar_bytes"] = Value::Object(parts.collect());
    }
    devices
}

fn map(grid: &Grid, view: &View<'_>) -> Value {
    let columns: Vec<Value> = grid.columns.iter().map(|column| json!(column.name())).collect();
    let rows: Vec<Value> = grid.rows.iter().map(|row| row_of(row, view)).collect();
    json!({ "columns": columns, "sorted_by_device": grid.is_sorted, "rows": rows })
}

fn row_of(row: &Row, view: &View<'_>) -> Value {
    let runs = row.runs.iter().map(|run| {
        let device = match run.home {
            Home::On(device) => json!(view.problem.devices[device].id),
            Home::Everywhere => Value::Null,
        };
        json!({
            "name": run.name,
            "first_column": run.first,
            "columns": run.columns,
            "device": device,
            "weights_bytes": run.weights_bytes,
            "kv_cache_bytes": run.kv_cache_bytes,
        })
    });
    json!({ "row": row.name, "layer": row.layer, "runs": runs.collect::<Vec<_>>() })
}

fn transfers(view: &View<'_>) -> Value {
    let Some(transfers) = &view.transfers else { return Value::Null };
    let last = view.grid.rows.len().saturating_sub(1);
    let rows = view.grid.rows.iter().enumerate().filter_map(|(index, row)| {
        let sent = transfers.beside(row, index == last)?;
        Some(json!({
            "layer": row.layer,
            "hand_overs": sent.hand_overs,
            "remote_experts": sent.remote_experts,
            "units": sent.units(),
        }))
    });
    json!({
        "kind": if transfers.are_crossings { "crossings" } else { "transfers" },
        "units_per_transfer": transfers.denominator,
        "rows": rows.collect::<Vec<_>>(),
    })
}

fn load(replay: &Replay) -> Value {
    match replay {
        Replay::Missing(why) => json!({ "not_replayed": why }),
        Replay::Done { choices, simulation } => json!({
            "allocator": choices.allocator.name(),
            "order": choices.order.name(),
            "decode": choices.decode,
            "fits": simulation.failure.is_none(),
            "devices": runs(simulation),
        }),
    }
}

fn runs(simulation: &Simulation) -> Value {
    let most = points_max(simulation.devices.len());
    let point = |point: Point| {
        json!([point.step, point.reserved_bytes, point.allocated_bytes, point.outside_bytes])
    };
    let runs = simulation.devices.iter().map(|device| {
        json!({
            "id": device.id,
            "usable_bytes": device.usable_bytes,
            "peak_bytes": device.peak.point.filled_bytes(),
            "points": fewer(&device.timeline, most).into_iter().map(point).collect::<Vec<_>>(),
        })
    });
    runs.collect()
}
