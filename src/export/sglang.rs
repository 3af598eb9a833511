//! SGLang: where experts are (`--init-expert-location`), or pipeline stages.
//!
//! Read: SGLang 0.5 (`eplb/expert_location.py`, `distributed/utils.py`). The location is a JSON object whose
//! `physical_to_logical_map` has a row for every layer of the model, layers without experts too, and in it the
//! logical expert of every slot; slot `p` of `E` on `D` GPUs is on GPU `p / (E / D)`, so every GPU has as many.
//! `SGLANG_PP_LAYER_PARTITION` holds one number of layers per stage of `--pp-size`. There is no CPU in either.

use std::collections::BTreeMap;

use super::pipeline::{end_of_chain, gpus_in_order, partition, stages};
use super::{Export, Exporter, Options, Plan, Refusal, Stop, engines, machine};
use crate::error::Error;
use crate::model::ComponentId;
use crate::problem::ExpertLayer;
use crate::scenario::Granularity;

pub(super) struct Sglang;

impl Exporter for Sglang {
    fn name(&self) -> &'static str {
        "sglang"
    }

    fn about(&self) -> &'static str {
        "the expert location of divided experts as JSON, or the shell lines of pipeline stages"
    }

    fn unit(&self, _: &Options) -> Result<Option<Granularity>, Error> {
        Ok(Some(Granularity::Layer))
    }

    fn unit_of(&self, plan: &Plan<'_>, options: &Options) -> Result<Option<Granularity>, Error> {
        if plan.problem.is_replicated() { Ok(None) } else { self.unit(options) }
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

    fn fixed(
        &self,
        plan: &Plan<'_>,
        _: &Options,
        id: ComponentId,
    ) -> Option<(usize, &'static str)> {
        if plan.problem.is_replicated() { None } else { end_of_chain(plan, id) }
    }

    fn write(&self, plan: &Plan<'_>, _: &Options) -> Result<Export, Stop> {
        if plan.problem.is_replicated() {
            return locations(plan).map_err(Stop::from);
        }
        let stages = stages(plan)?;
        let text = format!(
            "{}export SGLANG_PP_LAYER_PARTITION={}\n\
             python -m sglang.launch_server --model-path MODEL --pp-size {} --tp-size 1 \
             {}\n",
            gpus_in_order(plan, &stages),
            partition(&stages),
            stages.len(),
            used(plan)?,
        );
        Ok(Export { text, beside: Vec::new(), notes: notes(plan) })
    }
}

/// Context, sequences and cache as solved.
fn used(plan: &Plan<'_>) -> Result<String, Refusal> {
    let load = &plan.scenario.load;
    let kv_type = engines::cache_type(plan)?;
    Ok(format!("--context-length {} --max-running-requests {}{kv_type}", load.context, load.batch))
}

/// There is no profile of its own: that of vLLM is the nearest.
fn notes(plan: &Plan<'_>) -> Vec<String> {
    let planned = engines::planned_by_another(plan, "vllm", "vLLM, the nearest to SGLang's");
    let gguf = engines::of_gguf(
        plan,
        "which SGLang reads from one file and of some families only; other weights take other room",
    );
    planned.into_iter().chain(gguf).collect()
}

fn locations(plan: &Plan<'_>) -> Result<Export, Refusal> {
    machine::one(plan)?;
    let devices = plan.problem.devices.len();
    let mut rows: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let layers = plan.problem.expert_layers();
    for layer in &layers {
        rows.insert(layer.layer, row(plan, layer)?);
    }
    let experts = layers.iter().map(|layer| layer.components.len()).max().unwrap_or(0);
    let of_layer = |layer: u32| match rows.get(&layer) {
        Some(row) => row.clone(),
        None => (0..experts).collect(),
    };
    let row = |layer: u32| {
        let slots: Vec<String> = of_layer(layer).iter().map(ToString::to_string).collect();
        format!("    [{}]", slots.join(", "))
    };
    let rows: Vec<String> = (0..plan.scenario.model.geometry.layers).map(row).collect();
    let text = format!("{{\n  \"physical_to_logical_map\": [\n{}\n  ]\n}}\n", rows.join(",\n"));
    let note = format!(
        "serve with --init-expert-location FILE.json --tp-size {devices} --ep-size {devices} \
         --dp-size {devices} --enable-dp-attention {}, GPUs in the order of the machine",
        used(plan)?
    );
    let notes = std::iter::once(note).chain(notes(plan)).collect();
    Ok(Export { text, beside: Vec::new(), notes })
}

/// The experts of a layer in the order of their devices.
fn row(plan: &Plan<'_>, layer: &ExpertLayer) -> Result<Vec<usize>, Refusal> {
    let devices = plan.problem.devices.len();
    let share = layer.components.len() / devices;
    let mut row = Vec::with_capacity(layer.components.len());
    for device in 0..devices {
        let here = layer.components.iter().enumerate();
        let here = here.filter(|&(_, &component)| plan.placement.device_of[component] == device);
        for (slot, (expert, _)) in here.enumerate() {
            if slot >= share {
                let id = u32::try_from(expert).unwrap_or(u32::MAX);
                let reason = format!(
                    "every GPU has as many experts there, and {} do not divide by {devices}",
                    layer.components.len()
                );
                let id = ComponentId::Expert(layer.layer, id);
                return Err(Refusal::new(plan, id, reason, []));
            }
            row.push(expert);
        }
    }
    Ok(row)
}
