//! What to ask instead, where layers cannot be told so.

use super::super::again::order;
use super::super::{Plan, Refusal};
use super::split::{Broken, Why};
use super::targets::{Place, Targets};
use crate::model::ComponentId;
use crate::problem::{Objective, ObjectiveKind};
use crate::scenario::Granularity;
use crate::units::Ratio;

/// Names the layer, why it cannot be there, and the wishes under which a map can be told.
pub(super) fn broken(plan: &Plan<'_>, targets: &Targets, broken: &Broken) -> Refusal {
    let attention = |layer: usize| ComponentId::Attention(u32::try_from(layer).unwrap_or(u32::MAX));
    let component = attention(broken.layer);
    if broken.why == Why::HostBehind {
        let mut devices = 0..plan.problem.devices.len();
        let host = devices.find(|&device| targets.place(device) == Place::Host);
        let forbid = format!("layers.*.attention={}", plan.device(host.unwrap_or_default()).id);
        // A chain that begins on the host, as the embedding does, stays there for its first layers, where they are
        // whole and no pin holds one of these elsewhere. That is what a dense model has to leave there.
        let limits = &plan.scenario.limits;
        let pinned = plan.scenario.default_pins || limits.granularity != Granularity::Layer;
        let whole = pinned && plan.scenario.model.geometry.experts == 0;
        let reason = "there all layers on the host come before those on devices, and a cache goes with its layer";
        if whole {
            let wishes = ["--granularity", "layer", "--free-default-pins"];
            return Refusal::new(plan, component, reason, wishes);
        }
        return Refusal::new(plan, component, reason, ["--forbid", &forbid]);
    }
    let home = |layer: usize| plan.home(attention(layer));
    let before = (0..broken.layer).rev().find(|&layer| home(layer) != home(broken.layer));
    let before = before.unwrap_or(broken.layer);
    let elsewhere = plan.device(home(before).unwrap_or_default());
    let reason = format!(
        "there a device has one run of layers and a cache goes with its layer, but `{}` is between them on {}",
        attention(before),
        elsewhere.id
    );
    // Where GPUs are full of what does not fit, room behind a peak changes nothing.
    let wider = if spills(plan) { None } else { wider(&plan.problem.objectives) };
    let refusal = Refusal::new(plan, component, reason, []);
    match wider {
        Some(order) => Refusal { wishes: vec!["--objective".to_owned(), order], ..refusal },
        None => Refusal { wishes: whole_runs(plan), ..refusal },
    }
}

/// Whether more is on the host than the token embedding.
fn spills(plan: &Plan<'_>) -> bool {
    let embedding = plan.problem.index_of(ComponentId::Embedding);
    let embedding =
        embedding.map_or(0, |index| plan.problem.components[index].demand.weights_bytes);
    let host = |&device: &usize| !plan.is_gpu(device);
    let held = (0..plan.problem.devices.len()).filter(host).map(|device| {
        let used = &plan.measured.devices[device];
        used.weights_bytes.saturating_add(used.kv_cache_bytes)
    });
    held.fold(0, u64::saturating_add) > embedding
}

/// Pins under which every device keeps as many attentions as it has, in one run, in the order in which a token meets
/// the devices: attention is small beside experts, which stay free to go elsewhere.
fn whole_runs(plan: &Plan<'_>) -> Vec<String> {
    /// A pattern has at most 256 characters.
    const LISTED_MAX: usize = 40;
    let layers = plan.scenario.model.geometry.layers;
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for device in (0..layers).filter_map(|layer| plan.home(ComponentId::Attention(layer))) {
        match counts.iter_mut().find(|(other, _)| *other == device) {
            Some((_, count)) => *count += 1,
            None => counts.push((device, 1)),
        }
    }
    let mut numbers = 0..layers;
    let mut wishes = Vec::new();
    for (device, count) in counts {
        let run: Vec<String> = numbers.by_ref().take(count).map(|n| n.to_string()).collect();
        for listed in run.chunks(LISTED_MAX) {
            let device = &plan.device(device).id;
            wishes.push("--pin".to_owned());
            wishes.push(format!("layers.{{{}}}.attention={device}", listed.join(",")));
        }
    }
    wishes
}

/// The objectives with more room behind a peak, in which fewer hand-overs make runs whole; `None` where there is no
/// such objective, or it has a tenth already.
fn wider(objectives: &[Objective]) -> Option<String> {
    const STEPS: [u64; 4] = [100, 50, 20, 10];
    let mut wider = objectives.to_vec();
    let peak = wider.iter_mut().find(|o| o.kind == ObjectiveKind::PeakUtilization)?;
    let next = STEPS.map(|step| Ratio::new(1, step)).into_iter().find(|r| *r > peak.tolerance)?;
    peak.tolerance = next;
    if wider.iter().all(|objective| objective.kind != ObjectiveKind::Traffic) {
        wider.push(Objective { kind: ObjectiveKind::Traffic, tolerance: Ratio::ZERO });
    }
    Some(order(&wider))
}
