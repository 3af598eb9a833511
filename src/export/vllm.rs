//! vLLM: pipeline stages, or expert parallelism.
//!
//! Read: vLLM 0.11 to 0.26. `VLLM_PP_LAYER_PARTITION` holds one number of layers per stage; they must be as many as
//! `--pipeline-parallel-size` and add up to all layers. Tensors are never placed one by one, and nothing runs on a
//! CPU beside GPUs.
//!
//! With `--enable-expert-parallel` a GPU holds the same experts of every layer: with the placement strategy
//! `linear` a block of consecutive ones, the first `E mod D` GPUs one more; with `round_robin` every `D`-th, which
//! vLLM does only for models whose experts are in groups (otherwise it says so and uses `linear`). Attention is
//! on every GPU with `--data-parallel-size D`.

use super::pipeline::{end_of_chain, gpus_in_order, partition, stages, visible};
use super::{Export, Exporter, Options, Plan, Refusal, Stop, engines, machine};
use crate::error::Error;
use crate::model::ComponentId;
use crate::problem::{ExpertLayer, Placement};
use crate::scenario::Granularity;

pub(super) struct Vllm;

impl Exporter for Vllm {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn about(&self) -> &'static str {
        "the shell lines of pipeline stages, or of expert parallelism for divided experts"
    }

    fn unit(&self, _: &Options) -> Result<Option<Granularity>, Error> {
        Ok(Some(Granularity::Layer))
    }

    fn replicated(&self) -> bool {
        true
    }

    fn runtime(&self) -> Option<&'static str> {
        Some("vllm")
    }

    fn follows(&self) -> bool {
        true
    }

    fn unit_of(&self, plan: &Plan<'_>, options: &Options) -> Result<Option<Granularity>, Error> {
        if plan.problem.is_replicated() { Ok(None) } else { self.unit(options) }
    }

    fn fixed(
        &self,
        plan: &Plan<'_>,
        _: &Options,
        id: ComponentId,
    ) -> Option<(usize, &'static str)> {
        if plan.problem.is_replicated() { None } else { end_of_chain(plan, id) }
    }

    fn reshape(&self, plan: &Plan<'_>, _: &Options) -> Option<Placement> {
        plan.problem.is_replicated().then(|| linear(plan))
    }

    fn write(&self, plan: &Plan<'_>, _: &Options) -> Result<Export, Stop> {
        let load = &plan.scenario.load;
        let kv_type = engines::cache_type(plan)?;
        let used =
            format!("--max-model-len {} --max-num-seqs {}{kv_type}", load.context, load.batch);
        if plan.problem.is_replicated() {
            return experts(plan, &used).map_err(Stop::from);
        }
        let stages = stages(plan)?;
        let text = format!(
            "{}export VLLM_PP_LAYER_PARTITION={}\n\
             vllm serve MODEL --pipeline-parallel-size {} --tensor-parallel-size 1 {used}\n",
            gpus_in_order(plan, &stages),
            partition(&stages),
            stages.len(),
        );
        Ok(Export { text, beside: Vec::new(), notes: notes(plan) })
    }
}

fn notes(plan: &Plan<'_>) -> Vec<String> {
    let planned = engines::planned_by_another(plan, "vllm", "vLLM");
    let gguf = engines::of_gguf(
        plan,
        "which vLLM reads from one file and of some families only; other weights take other room",
    );
    planned.into_iter().chain(gguf).collect()
}

/// The device of an expert: by its number, how many there are, and how many devices.
type Strategy = fn(usize, usize, usize) -> usize;

/// A block of consecutive experts each, the first devices one more where they do not divide evenly.
fn in_blocks(expert: usize, experts: usize, devices: usize) -> usize {
    let (base, more) = (experts / devices, experts % devices);
    let in_larger = more * (base + 1);
    if expert < in_larger { expert / (base + 1) } else { more + (expert - in_larger) / base.max(1) }
}

fn in_turn(expert: usize, _: usize, devices: usize) -> usize {
    expert % devices
}

/// The first expert that a strategy puts elsewhere.
fn differs(plan: &Plan<'_>, layers: &[ExpertLayer], strategy: Strategy) -> Option<ComponentId> {
    let devices = plan.problem.devices.len();
    let in_layer = |layer: &ExpertLayer| {
        let experts = layer.components.len();
        let mut placed = layer.components.iter().enumerate();
        let other = placed.find(|&(expert, &component)| {
            plan.placement.device_of[component] != strategy(expert, experts, devices)
        });
        other.map(|(_, &component)| plan.problem.components[component].demand.id)
    };
    layers.iter().find_map(in_layer)
}

/// Whether vLLM would keep to round robin: only where the config says that experts are in groups.
fn in_groups(plan: &Plan<'_>) -> bool {
    let groups = plan.scenario.model.config.get("n_group").and_then(serde_json::Value::as_u64);
    groups.is_some_and(|groups| groups > 1)
}

fn experts(plan: &Plan<'_>, used: &str) -> Result<Export, Refusal> {
    machine::one(plan)?;
    let layers = plan.problem.expert_layers();
    let strategy = match differs(plan, &layers, in_blocks) {
        None => "linear",
        Some(_) if in_groups(plan) && differs(plan, &layers, in_turn).is_none() => "round_robin",
        Some(id) => {
            let reason = "it holds the same block of experts of every layer on a GPU, and cannot be told which";
            let refusal = Refusal::new(plan, id, reason, []);
            return Err(Refusal { can_project: true, ..refusal });
        }
    };
    let devices = plan.problem.devices.len();
    let text = format!(
        "{}vllm serve MODEL --data-parallel-size {devices} --tensor-parallel-size 1 \
         --enable-expert-parallel --expert-placement-strategy {strategy} {used}\n",
        visible(plan, 0..devices),
    );
    Ok(Export { text, beside: Vec::new(), notes: notes(plan) })
}

/// The map that `linear` makes.
fn linear(plan: &Plan<'_>) -> Placement {
    let mut device_of = plan.placement.device_of.clone();
    let devices = plan.problem.devices.len();
    for layer in plan.problem.expert_layers() {
        let experts = layer.components.len();
        for (expert, &component) in layer.components.iter().enumerate() {
            device_of[component] = in_blocks(expert, experts, devices);
        }
    }
    Placement { device_of }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_vllms() {
        let homes = |experts, devices| -> Vec<usize> {
            (0..experts).map(|expert| in_blocks(expert, experts, devices)).collect()
        };
        assert_eq!(homes(8, 2), [0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(homes(8, 3), [0, 0, 0, 1, 1, 1, 2, 2]);
        assert_eq!(homes(2, 3), [0, 1]);
    }
}
