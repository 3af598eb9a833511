//! KTransformers (SGLang with kt-kernel): how many experts of each layer are on the GPU, and which.
//!
//! Read: kt-kernel and SGLang's `kt_ep_wrapper.py` of 2026-08. Everything is on the GPU but the routed experts that
//! are on the CPU. `--kt-num-gpu-experts N` puts `N` times as many experts on it as there are layers with experts,
//! chosen by the strategy: `uniform` the first `N` of every layer; `front-loading` whole layers from the first on;
//! `frequency` those most often chosen over all layers, by counts in a file that `--init-expert-location` names;
//! `random` is nobody's plan. A map is sayable when one of them gives exactly it. The rule files of
//! `--optimize_rule_path` are those of an archived version and not written.

use super::{
    Beside, Export, Exporter, Options, Plan, Refusal, Stop, engines, machine, visible_gpu,
};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::model::{ComponentId, ComponentKind};
use crate::problem::Placement;
use crate::scenario::Granularity;
use crate::verify::{Measured, measure};

pub(super) struct Ktransformers;

impl Exporter for Ktransformers {
    fn name(&self) -> &'static str {
        "ktransformers"
    }

    fn about(&self) -> &'static str {
        "the --kt arguments of SGLang with kt-kernel; counts of experts beside them"
    }

    fn unit(&self, _: &Options) -> Result<Option<Granularity>, Error> {
        Ok(Some(Granularity::Expert))
    }

    fn one_machine(&self) -> bool {
        true
    }

    fn runtime(&self) -> Option<&'static str> {
        Some("candle")
    }

    fn fixed(
        &self,
        plan: &Plan<'_>,
        _: &Options,
        id: ComponentId,
    ) -> Option<(usize, &'static str)> {
        let gpu = *machine::local(plan, DeviceKind::Gpu).first()?;
        (id.kind() != ComponentKind::Expert)
            .then_some((gpu, "because only experts can be elsewhere"))
    }

    fn reshape(&self, plan: &Plan<'_>, _: &Options) -> Option<Placement> {
        let [gpu, cpu] = devices(plan).ok()?;
        let layers = experts(plan);
        // What else moved to the GPU takes room.
        let fits = |placement: &Placement| {
            let used = |measured: Measured| measured.devices[gpu].used_bytes;
            let bytes = measure(plan.problem, placement).map(used);
            bytes.is_ok_and(|bytes| bytes <= plan.problem.limit_bytes(gpu))
        };
        if strategy(plan, &layers, gpu).is_some() && fits(plan.placement) {
            return None;
        }
        let on_gpu = |index: &&usize| plan.placement.device_of[**index] == gpu;
        let most = layers.iter().flatten().filter(on_gpu).count() / layers.len().max(1);
        let uniform = |each: usize| {
            let mut device_of = plan.placement.device_of.clone();
            for layer in &layers {
                for (expert, &index) in layer.iter().enumerate() {
                    device_of[index] = if expert < each { gpu } else { cpu };
                }
            }
            Placement { device_of }
        };
        let fitting = (0..=most).rev().map(uniform).find(fits);
        Some(fitting.unwrap_or_else(|| uniform(most)))
    }

    fn write(&self, plan: &Plan<'_>, _: &Options) -> Result<Export, Stop> {
        let [gpu, _] = devices(plan)?;
        let layers = experts(plan);
        let Some(strategy) = strategy(plan, &layers, gpu) else {
            let id = first_odd(plan, &layers, gpu);
            let reason = "it takes the same number of experts of every layer from the first on, whole layers \
                          from the front, or those most often chosen by --routing, and the map is none of these";
            return Err(Refusal { can_project: true, ..Refusal::new(plan, id, reason, []) }.into());
        };
        let load = &plan.scenario.load;
        let location = if strategy.name == "frequency" {
            " --init-expert-location expert_counts.pt"
        } else {
            ""
        };
        let text = format!(
            "{}python -m sglang.launch_server --model-path MODEL --kt-weight-path WEIGHTS \
             --kt-num-gpu-experts {} --kt-expert-placement-strategy {}{location} \
             --context-length {} --max-running-requests {}{}\n",
            visible_gpu(plan, gpu),
            strategy.each,
            strategy.name,
            load.context,
            load.batch,
            engines::cache_type(plan)?,
        );
        let beside = (strategy.name == "frequency")
            .then(|| Beside { suffix: "expert_counts.py", text: counts(plan) });
        Ok(Export { text, beside: beside.into_iter().collect(), notes: Vec::new() })
    }
}

/// The GPU and the CPU; everything else must be empty.
fn devices(plan: &Plan<'_>) -> Result<[usize; 2], Refusal> {
    let first = |kind| machine::local(plan, kind).first().copied();
    let [Some(gpu), Some(cpu)] = [first(DeviceKind::Gpu), first(DeviceKind::Cpu)] else {
        let reason = "it divides experts between a GPU and the CPU, and the machine has no CPU";
        return Err(Refusal::new(plan, ComponentId::Embedding, reason, ["--cpu", "SIZE"]));
    };
    let other = plan.homes().find(|(_, device)| ![gpu, cpu].contains(device));
    match other {
        None => Ok([gpu, cpu]),
        Some((id, _)) => {
            let reason = "it knows one GPU and the CPU (several GPUs share every tensor there)";
            let others = (0..plan.problem.devices.len()).filter(|d| ![gpu, cpu].contains(d));
            let forbid = |d: usize| ["--forbid".to_owned(), format!("*={}", plan.device(d).id)];
            let wishes = others.flat_map(forbid).collect();
            Err(Refusal { wishes, ..Refusal::new(plan, id, reason, []) })
        }
    }
}

/// Components of the experts of each layer that has some.
fn experts(plan: &Plan<'_>) -> Vec<Vec<usize>> {
    let mut layers: Vec<(u32, Vec<usize>)> = Vec::new();
    for (index, (id, _)) in plan.homes().enumerate() {
        let ComponentId::Expert(layer, _) = id else { continue };
        match layers.last_mut() {
            Some((same, experts)) if *same == layer => experts.push(index),
            _ => layers.push((layer, vec![index])),
        }
    }
    layers.into_iter().map(|(_, experts)| experts).collect()
}

struct Strategy {
    name: &'static str,
    /// `--kt-num-gpu-experts`.
    each: usize,
}

/// The strategy that gives exactly this map.
fn strategy(plan: &Plan<'_>, layers: &[Vec<usize>], gpu: usize) -> Option<Strategy> {
    let on_gpu = |index: &usize| plan.placement.device_of[*index] == gpu;
    let total = layers.iter().flatten().filter(|index| on_gpu(index)).count();
    // The number is told per layer, whatever the strategy makes of it.
    let each = total.checked_div(layers.len()).filter(|each| each * layers.len() == total)?;
    let first = |layer: &Vec<usize>, count: usize| {
        layer.iter().enumerate().all(|(expert, index)| on_gpu(index) == (expert < count))
    };
    if layers.iter().all(|layer| first(layer, each)) {
        return Some(Strategy { name: "uniform", each });
    }
    let mut left = total;
    let loaded = layers.iter().all(|layer| {
        let here = left.min(layer.len());
        left -= here;
        first(layer, here)
    });
    if loaded {
        return Some(Strategy { name: "front-loading", each });
    }
    most_chosen(plan, layers, gpu).then_some(Strategy { name: "frequency", each })
}

/// Whether every expert on the GPU was chosen more often than every other: ties fall anyhow there.
fn most_chosen(plan: &Plan<'_>, layers: &[Vec<usize>], gpu: usize) -> bool {
    let [statistics] = plan.scenario.limits.routing.as_slice() else { return false };
    let count = |index: &usize| match plan.problem.components[*index].demand.id {
        ComponentId::Expert(layer, expert) => {
            let place = |n: u32| usize::try_from(n).ok();
            let row = place(layer).and_then(|layer| statistics.counts.get(layer));
            row.and_then(|row| row.get(place(expert)?)).copied()
        }
        _ => None,
    };
    let on_gpu = |index: &&usize| plan.placement.device_of[**index] == gpu;
    let least = layers.iter().flatten().filter(on_gpu).map(count).min();
    let most = layers.iter().flatten().filter(|index| !on_gpu(index)).map(count).max();
    least.is_none() || most.is_none() || least > most
}

/// The first expert that is not where `uniform` would have it.
fn first_odd(plan: &Plan<'_>, layers: &[Vec<usize>], gpu: usize) -> ComponentId {
    let on_gpu = |index: usize| plan.placement.device_of[index] == gpu;
    let first = layers.first().map_or(0, |layer| layer.iter().filter(|&&i| on_gpu(i)).count());
    let odd = layers.iter().find_map(|layer| {
        let mut placed = layer.iter().enumerate();
        placed.find(|&(expert, &index)| on_gpu(index) != (expert < first)).map(|(_, &index)| index)
    });
    let index = odd.or_else(|| layers.first().and_then(|layer| layer.first().copied()));
    index.map_or(ComponentId::Embedding, |index| plan.problem.components[index].demand.id)
}

/// Python that writes the counts as `frequency` reads them: samples x layers x experts.
fn counts(plan: &Plan<'_>) -> String {
    let statistics = plan.scenario.limits.routing.first();
    let rows = statistics.map_or(&[][..], |statistics| statistics.counts.as_slice());
    let experts = rows.iter().map(Vec::len).max().unwrap_or(0);
    let row = |row: &Vec<u64>| {
        let mut row = row.clone();
        row.resize(experts, 0);
        let row: Vec<String> = row.iter().map(ToString::to_string).collect();
        format!("    [{}],\n", row.join(", "))
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "import torch\n\ncounts = [\n{rows}]\n\
         torch.save({{\"logical_count\": torch.tensor([counts])}}, \"expert_counts.pt\")\n"
    )
}
