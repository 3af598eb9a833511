//! Writes a certificate file: equal certificates give equal bytes.

use super::{Certificate, Prices, Proof, StageProof, Tree};
use crate::model::ComponentId;
use crate::placement::emit::{Emitter, quoted, text};
use crate::problem::{ObjectiveValue, Problem};

/// The version of the format that this program writes, and the only one it reads.
pub(super) const VERSION: u64 = 1;
/// What a certificate file says it is.
pub(super) const WHAT: &str = "certificate";

impl Certificate {
    /// The file's text; `problem` names the devices.
    pub fn to_yaml(&self, problem: &Problem) -> String {
        let mut out = Emitter::default();
        out.comment("Lower bounds by apportion. `apportion check PLACEMENT --certificate FILE` proves them.");
        out.entry("apportion", WHAT);
        out.entry("version", VERSION);
        out.entry("problem", quoted(&self.problem));
        out.list("stages", &self.stages, |out, stage| write_stage(out, stage, problem));
        out.finish()
    }
}

fn write_stage(out: &mut Emitter, stage: &StageProof, problem: &Problem) {
    out.entry("objective", stage.kind.name());
    out.entry("bound", exact(stage.bound));
    out.entry("cap", exact(stage.cap));
    if !stage.zones.is_empty() {
        let zones: Vec<String> = stage.zones.iter().map(u32::to_string).collect();
        out.entry("zones", format!("[{}]", zones.join(", ")));
    }
    match &stage.proof {
        Proof::Zero => out.entry("proof", "zero"),
        Proof::Search => out.entry("proof", "search"),
        Proof::Relaxation(tree) => {
            out.entry("proof", "relaxation");
            out.section("tree", |out| write_tree(out, tree, problem));
        }
        Proof::Walks { single_runs, others } => {
            out.entry("proof", "walks");
            out.section("single_runs", |out| write_tree(out, single_runs, problem));
            out.section("others", |out| write_tree(out, others, problem));
        }
    }
}

fn write_tree(out: &mut Emitter, tree: &Tree, problem: &Problem) {
    match tree {
        Tree::Leaf(prices) => write_prices(out, prices),
        Tree::Split { device, class, at, least, most } => {
            let device = problem.devices.get(*device).map_or("", |device| device.id.as_str());
            out.entry("device", text(device));
            out.entry("class", class);
            out.entry("at", at);
            out.section("least", |out| write_tree(out, least, problem));
            out.section("most", |out| write_tree(out, most, problem));
        }
    }
}

fn write_prices(out: &mut Emitter, prices: &Prices) {
    let mut weights = prices.weights.clone();
    weights.sort_unstable();
    let weights = weights.iter().map(|(kind, weight)| format!("{}: {weight}", kind.name()));
    out.entry("weights", format!("{{{}}}", weights.collect::<Vec<_>>().join(", ")));
    for (key, ids) in [("tracked", &prices.tracked), ("fractional", &prices.fractional)] {
        if !ids.is_empty() {
            out.entry(key, format!("[{}]", names(ids)));
        }
    }
    let mut of_each = prices.prices.clone();
    of_each.sort_unstable();
    if !of_each.is_empty() {
        out.section("prices", |out| {
            for (id, price) in of_each {
                out.entry(&id.to_string(), price);
            }
        });
    }
}

fn names(ids: &[ComponentId]) -> String {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn exact(value: ObjectiveValue) -> String {
    match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Count(number)
        | ObjectiveValue::Time(number) => number.to_string(),
        ObjectiveValue::Ratio(ratio) => ratio.to_string(),
    }
}
