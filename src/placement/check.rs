//! Compares what a record claims with what the verifier measured.
//!
//! Everything that can be computed from the scenario and the map is computed again and compared: bytes
//! per device and purpose, traffic, the value of every objective, gaps, and the order in which bound,
//! value, optimum and cap must stand. A bound itself is a claim: a certificate proves it
//! ([`super::uncertified`] compares the two), or solving again.

use std::fmt;

use super::record::{DeviceRecord, ObjectiveRecord, Record, Status, format_gap, traffic_record};
use crate::error::printable;
use crate::objective::law;
use crate::problem::{ObjectiveValue, Problem};
use crate::scenario::fingerprint;
use crate::units::Ratio;
use crate::verify::Measured;

/// One thing a file says that is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where in the file, e.g. `devices.gpu0.weights_bytes`.
    pub place: String,
    /// What the file says.
    pub recorded: String,
    /// What it should say.
    pub recomputed: String,
}

impl Difference {
    pub(super) fn new(
        place: impl Into<String>,
        recorded: impl fmt::Display,
        recomputed: impl fmt::Display,
    ) -> Self {
        Self {
            place: place.into(),
            recorded: recorded.to_string(),
            recomputed: recomputed.to_string(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [place, recorded, recomputed] =
            [&self.place, &self.recorded, &self.recomputed].map(|text| printable(text));
        write!(f, "{place}: the file says {recorded}, it is {recomputed}")
    }
}

/// Everything in `record` that differs from what was measured for its map; empty when it is true.
pub fn differences(record: &Record, problem: &Problem, measured: &Measured) -> Vec<Difference> {
    let mut found = device_differences(record, problem, measured);
    let stated = fingerprint(problem);
    if record.problem != stated {
        found.push(Difference::new("problem", &record.problem, stated));
    }
    found.extend(traffic_differences(record, measured));
    let recorded: Vec<_> = record.objectives.iter().map(|o| o.kind().name()).collect();
    let demanded: Vec<_> = problem.objectives.iter().map(|o| o.kind.name()).collect();
    if recorded != demanded {
        found.push(Difference::new("objectives", recorded.join(", "), demanded.join(", ")));
    }
    for objective in &record.objectives {
        found.extend(objective_differences(objective, measured.value(objective.kind())));
    }
    let proven = record.objectives.iter().all(|o| is_proven(o, problem));
    if proven != (record.status == Status::Optimal) {
        let recomputed = if proven { "optimal" } else { "feasible" };
        found.push(Difference::new("status", record.status.name(), recomputed));
    }
    found
}

fn device_differences(record: &Record, problem: &Problem, measured: &Measured) -> Vec<Difference> {
    let devices = problem.devices.iter().zip(&measured.devices);
    let measured: Vec<_> = devices.map(|(d, used)| DeviceRecord::of(&d.id, used)).collect();
    let ids = |records: &[DeviceRecord]| {
        records.iter().map(|d| d.id.as_str()).collect::<Vec<_>>().join(", ")
    };
    if ids(&record.devices) != ids(&measured) {
        return vec![Difference::new("devices", ids(&record.devices), ids(&measured))];
    }
    let pairs = record.devices.iter().zip(&measured);
    pairs.flat_map(|(recorded, measured)| use_differences(recorded, measured)).collect()
}

fn use_differences(recorded: &DeviceRecord, measured: &DeviceRecord) -> Vec<Difference> {
    let id = &measured.id;
    let fields = [
        ("used_bytes", recorded.used_bytes, measured.used_bytes),
        ("weights_bytes", recorded.weights_bytes, measured.weights_bytes),
        ("rounding_bytes", recorded.rounding_bytes, measured.rounding_bytes),
        ("kv_cache_bytes", recorded.kv_cache_bytes, measured.kv_cache_bytes),
        ("workspace_bytes", recorded.workspace_bytes, measured.workspace_bytes),
        ("reserve_bytes", recorded.reserve_bytes, measured.reserve_bytes),
        ("staging_bytes", recorded.staging_bytes, measured.staging_bytes),
    ];
    fields
        .into_iter()
        .filter(|(_, recorded, measured)| recorded != measured)
        .map(|(field, recorded, measured)| {
            Difference::new(format!("devices.{id}.{field}"), recorded, measured)
        })
        .collect()
}

fn traffic_differences(record: &Record, measured: &Measured) -> Vec<Difference> {
    let (recorded, measured) = (record.traffic, traffic_record(measured));
    let mut found = Vec::new();
    let counts = [
        ("hand_overs", recorded.hand_overs, measured.hand_overs),
        ("remote_experts", recorded.remote_experts, measured.remote_experts),
    ];
    for (field, recorded, measured) in counts {
        if recorded != measured {
            found.push(Difference::new(format!("traffic.{field}"), recorded, measured));
        }
    }
    if recorded.expected != measured.expected {
        let place = "traffic.expected_transfers_per_token";
        found.push(Difference::new(place, recorded.expected, measured.expected));
    }
    found
}

fn objective_differences(record: &ObjectiveRecord, measured: ObjectiveValue) -> Vec<Difference> {
    let place = |field: &str| format!("objectives.{}.{field}", record.kind().name());
    if [record.optimum, record.bound, record.cap].iter().any(|&value| !same_unit(value, measured)) {
        let unit = "values in the unit of the objective";
        return vec![Difference::new(place("optimum, bound, cap"), "another unit", unit)];
    }
    let mut found = Vec::new();
    if record.value != measured {
        found.push(Difference::new(place("value"), exact(record.value), exact(measured)));
    }
    let gap = format_gap(record.optimum, record.bound);
    if record.gap != gap {
        found.push(Difference::new(place("gap"), &record.gap, gap));
    }
    // A bound above what was found, or a value above its cap, cannot come from a solved problem.
    let below = format!("at most {}", exact(record.optimum.min(measured)));
    if record.bound > record.optimum.min(measured) {
        found.push(Difference::new(place("bound"), exact(record.bound), below));
    }
    let cap = cap(record.optimum, record.objective.tolerance);
    if record.cap != cap {
        found.push(Difference::new(place("cap"), exact(record.cap), exact(cap)));
    }
    if measured > cap {
        let most = format!("at most {}", exact(cap));
        found.push(Difference::new(place("value"), exact(measured), most));
    }
    found
}

/// The optimum and its tolerance on top; floored where that takes more than 64 bits, and for bytes.
pub(super) fn cap(optimum: ObjectiveValue, tolerance: Ratio) -> ObjectiveValue {
    let floored = |value: u64| value.saturating_add(tolerance.floor_of(value));
    match optimum {
        ObjectiveValue::Bytes(bytes) => ObjectiveValue::Bytes(floored(bytes)),
        ObjectiveValue::Count(count) => ObjectiveValue::Count(floored(count)),
        ObjectiveValue::Time(ps) => ObjectiveValue::Time(floored(ps)),
        ObjectiveValue::Ratio(r) => {
            let widened = tolerance.denominator().checked_add(tolerance.numerator());
            let numerator = widened.and_then(|widened| r.numerator().checked_mul(widened));
            let exact = numerator.zip(r.denominator().checked_mul(tolerance.denominator()));
            let (numerator, denominator) =
                exact.unwrap_or((floored(r.numerator()), r.denominator()));
            ObjectiveValue::Ratio(Ratio::new(numerator, denominator))
        }
    }
}

fn same_unit(a: ObjectiveValue, b: ObjectiveValue) -> bool {
    matches!(
        (a, b),
        (ObjectiveValue::Bytes(_), ObjectiveValue::Bytes(_))
            | (ObjectiveValue::Count(_), ObjectiveValue::Count(_))
            | (ObjectiveValue::Ratio(_), ObjectiveValue::Ratio(_))
            | (ObjectiveValue::Time(_), ObjectiveValue::Time(_))
    )
}

pub(super) fn exact(value: ObjectiveValue) -> String {
    match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Count(number)
        | ObjectiveValue::Time(number) => number.to_string(),
        ObjectiveValue::Ratio(ratio) => ratio.to_string(),
    }
}

fn is_proven(record: &ObjectiveRecord, problem: &Problem) -> bool {
    let (optimum, bound) = (record.optimum.as_f64(), record.bound.as_f64());
    let gap_max = law(record.kind()).gap(problem).as_f64();
    record.bound >= record.optimum || optimum - bound <= gap_max * optimum
}
