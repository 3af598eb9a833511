//! Writes a placement file: deterministic, sorted, readable, without clocks.
//!
//! Exact values stay exact: bytes are integers, ratios are fractions with their decimals in a comment.

use super::emit::{Emitter, flow, quoted, text};
use super::network;
use super::ranges::lines;
use super::record::{DeviceRecord, ObjectiveRecord, Record, Status, limit_name};
use super::routing::write as write_statistics;
use crate::model::ComponentId;
use crate::problem::{Affinity, ObjectiveValue};
use crate::scenario::{
    Attention, Constraint, ConstraintKind, Current, Granularity, Limits, Scenario,
};
use crate::units::Ratio;

/// Stands for a device in `current`, and is the name of none.
pub(super) const NOWHERE: &str = "(nowhere)";

/// The version of the format that this program writes, and the only one it reads.
pub(super) const VERSION: u64 = 1;

impl Record {
    /// The file's text; equal records give equal bytes.
    pub fn to_yaml(&self) -> String {
        let mut out = Emitter::default();
        out.comment("A placement by apportion. `apportion check FILE` verifies it from scratch.");
        out.entry("version", VERSION);
        self.write_model(&mut out);
        self.write_load(&mut out);
        network::write(&mut out, &self.scenario.hardware);
        self.write_constraints(&mut out);
        out.entry("problem", quoted(&self.problem));
        out.entry("status", self.status.name());
        if let Status::Feasible(limit) = self.status {
            out.entry("limit", limit_name(limit));
        }
        out.list("objectives", &self.objectives, write_objective);
        self.write_traffic(&mut out);
        out.section("solver", |out| {
            out.entry("name", text(&self.solver));
            out.entry("nodes", self.nodes);
        });
        out.list("devices", &self.devices, write_use);
        self.write_map(&mut out);
        out.finish()
    }

    fn write_model(&self, out: &mut Emitter) {
        let model = &self.scenario.model;
        out.section("model", |out| {
            out.entry("name", text(&model.name));
            out.entry("family", text(&model.family));
            out.entry("fingerprint", quoted(&model.fingerprint));
            if let Some(found) = model.found.as_ref().filter(|_| self.scenario.scheme.is_stored()) {
                out.entry("checkpoint", quoted(&found.fingerprint));
            }
            out.section("config", |out| {
                for (key, value) in &model.config {
                    out.entry(&text(key), flow(value));
                }
            });
        });
    }

    fn write_load(&self, out: &mut Emitter) {
        let Scenario { load, scheme, .. } = &self.scenario;
        // A later version may have other defaults; the file goes on meaning what was solved.
        let staging = load.staging_of(scheme);
        out.entry("quantization", text(&scheme.name()));
        if !scheme.overrides().is_empty() {
            out.list("quantization_overrides", scheme.overrides(), |out, one| {
                out.scalar(quoted(&one.to_string()));
            });
        }
        out.entry("context", load.context);
        out.entry("batch", load.batch);
        out.entry("kv_type", text(load.kv_type.name()));
        out.entry("staging", staging.name());
        // Files of the default runtime stay as they were before there were others.
        if load.runtime.is_default() {
            return;
        }
        out.entry("runtime", text(load.runtime.name()));
        let rules = load.runtime.differences();
        if !rules.is_empty() {
            out.section("runtime_rules", |out| {
                for (rule, value) in rules {
                    out.entry(rule, quoted(value));
                }
            });
        }
    }

    fn write_constraints(&self, out: &mut Emitter) {
        let scenario = &self.scenario;
        let of_kind = |kind| -> Vec<&Constraint> {
            scenario.constraints.iter().filter(|c| c.kind == kind).collect()
        };
        let write = |out: &mut Emitter, c: &&Constraint| out.scalar(quoted(&c.assignment()));
        let Limits {
            headrooms,
            devices_max,
            sends,
            layer_devices,
            routing,
            granularity,
            attention,
            affinity,
            current,
            moved_bytes_max,
        } = &scenario.limits;
        out.section("constraints", |out| {
            out.entry("default_pins", scenario.default_pins);
            out.list("pins", &of_kind(ConstraintKind::Pin), write);
            out.list("forbids", &of_kind(ConstraintKind::Forbid), write);
            if !headrooms.is_empty() {
                out.list("headroom", headrooms, |out, one| out.scalar(quoted(&one.to_string())));
            }
            if let Some(most) = devices_max {
                out.entry("max_devices", most);
            }
            if let Some(most) = moved_bytes_max {
                out.entry("max_moved_bytes", most);
            }
            if let Some(sends) = sends {
                out.entry("sends", sends.name());
            }
            if let Some(devices) = layer_devices {
                out.entry("layer_devices", devices.name());
            }
            if *granularity != Granularity::default() {
                out.entry("granularity", granularity.name());
            }
            if *attention == Attention::Replicated {
                out.entry("attention", attention.name());
            }
        });
        if !routing.is_empty() {
            out.list("routing", routing, write_statistics);
        }
        if let Some(affinity) = affinity {
            write_affinity(out, affinity);
        }
        if let Some(current) = current {
            self.write_current(out, current);
        }
    }

    fn write_current(&self, out: &mut Emitter, current: &Current) {
        let hardware = &self.scenario.hardware;
        let devices = &hardware.devices;
        // A device that there is not is refused before there is a solution to record.
        let home = |(id, device): &(ComponentId, Option<String>)| match device {
            Some(device) => Some((*id, hardware.index_of(device)?)),
            None => Some((*id, devices.len())),
        };
        let homes: Vec<(ComponentId, usize)> = current.homes.iter().filter_map(home).collect();
        let name = |device: usize| devices.get(device).map_or(quoted(NOWHERE), |d| text(&d.id));
        out.section("current", |out| {
            for line in lines(&homes) {
                out.entry(&line.name, name(line.device));
            }
        });
    }

    fn write_traffic(&self, out: &mut Emitter) {
        out.section("traffic", |out| {
            out.entry("hand_overs", self.traffic.hand_overs);
            out.entry("remote_experts", self.traffic.remote_experts);
            out.entry("expected_transfers_per_token", ratio(self.traffic.expected));
        });
    }

    fn write_map(&self, out: &mut Emitter) {
        let devices = &self.scenario.hardware.devices;
        out.section("map", |out| {
            for line in lines(&self.homes) {
                out.entry(&line.name, text(&devices[line.device].id));
            }
        });
    }
}

/// A line for each pair of layers.
fn write_affinity(out: &mut Emitter, affinity: &Affinity) {
    let row = |row: &Vec<u64>| {
        let numbers: Vec<String> = row.iter().map(u64::to_string).collect();
        format!("[{}]", numbers.join(","))
    };
    let matrix = |counts: &Vec<Vec<u64>>| {
        let rows: Vec<String> = counts.iter().map(row).collect();
        format!("[{}]", rows.join(","))
    };
    out.section("affinity", |out| {
        out.entry("tokens", affinity.tokens);
        out.entry("top_k", affinity.top_k);
        out.list("pair_counts", &affinity.pair_counts, |out, counts| out.scalar(matrix(counts)));
    });
}

fn write_objective(out: &mut Emitter, record: &ObjectiveRecord) {
    out.entry("name", record.kind().name());
    out.entry("value", value(record.value));
    out.entry("optimum", value(record.optimum));
    out.entry("bound", value(record.bound));
    out.entry("gap", &record.gap);
    out.entry("tolerance", record.objective.tolerance);
    out.entry("cap", value(record.cap));
}

fn write_use(out: &mut Emitter, device: &DeviceRecord) {
    out.entry("id", text(&device.id));
    out.entry("used_bytes", device.used_bytes);
    out.entry("weights_bytes", device.weights_bytes);
    if device.rounding_bytes > 0 {
        out.entry("rounding_bytes", device.rounding_bytes);
    }
    out.entry("kv_cache_bytes", device.kv_cache_bytes);
    out.entry("workspace_bytes", device.workspace_bytes);
    out.entry("reserve_bytes", device.reserve_bytes);
    out.entry("staging_bytes", device.staging_bytes);
}

fn value(value: ObjectiveValue) -> String {
    match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Count(number)
        | ObjectiveValue::Time(number) => number.to_string(),
        ObjectiveValue::Ratio(exact) => ratio(exact),
    }
}

/// The fraction, and six floored decimals for the reader's eye.
fn ratio(ratio: Ratio) -> String {
    let millionths = u128::from(ratio.numerator()) * 1_000_000 / u128::from(ratio.denominator());
    format!("{ratio} # {}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}
