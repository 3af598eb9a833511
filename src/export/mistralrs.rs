//! mistral.rs: a topology (YAML), with the layer counts of `-n` beside it.
//!
//! Read: mistral.rs 0.9.5 (`topology/mod.rs`, `device_map/mod.rs`). A key of the topology is a range of layers
//! whose end is excluded; a value may name the `device`, which must be `cpu`, `cuda[N]` or `metal[N]`. A topology
//! with layers replaces its automatic map. Embedding, final norm and head cannot be addressed: they go to the
//! default device, the first GPU. `-n ORD:NUM;...` gives each GPU a number of layers, front to back, and the rest
//! to the CPU. Both are ignored where it was built with NCCL and runs on several GPUs, unless
//! `MISTRALRS_NO_NCCL=1`.

use super::{Beside, Export, Exporter, Options, Plan, Stop, machine};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::model::ComponentId;
use crate::scenario::Granularity;

pub(super) struct MistralRs;

const BACKENDS: [&str; 2] = ["cuda", "metal"];

impl Exporter for MistralRs {
    fn name(&self) -> &'static str {
        "mistral.rs"
    }

    fn about(&self) -> &'static str {
        "a topology as YAML; the layer counts of -n beside it"
    }

    fn options(&self) -> &'static [&'static str] {
        &["backend"]
    }

    fn unit(&self, options: &Options) -> Result<Option<Granularity>, Error> {
        options.choice("backend", &BACKENDS)?;
        Ok(Some(Granularity::Layer))
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
        let first = *machine::local(plan, DeviceKind::Gpu).first()?;
        id.layer().is_none().then_some((first, "the default device, whatever it is told"))
    }

    fn write(&self, plan: &Plan<'_>, options: &Options) -> Result<Export, Stop> {
        let backend = options.choice("backend", &BACKENDS)?;
        let gpus = machine::local(plan, DeviceKind::Gpu);
        let ordinal = |device: usize| gpus.iter().position(|&gpu| gpu == device);
        let runs = runs(plan);
        let mut text = String::from("# the end of a range is excluded\n");
        let mut first = 0;
        for &(device, layers) in &runs {
            let end = first + layers;
            let name = ordinal(device).map_or("cpu".to_owned(), |n| format!("{backend}[{n}]"));
            text.extend([format!("{first}-{end}:\n  device: {name}\n")]);
            first = end;
        }
        let counts = counts(plan, &runs, ordinal);
        let beside = counts.map(|text| Beside { suffix: "num_device_layers.txt", text });
        let mut notes = Vec::new();
        if gpus.len() > 1 {
            notes.push(
                "a build with NCCL divides tensors over all GPUs instead; MISTRALRS_NO_NCCL=1 keeps it from that"
                    .to_owned(),
            );
        }
        Ok(Export { text, beside: beside.into_iter().collect(), notes })
    }
}

/// Consecutive layers on one device, front to back.
fn runs(plan: &Plan<'_>) -> Vec<(usize, u32)> {
    let mut runs: Vec<(usize, u32)> = Vec::new();
    for (id, device) in plan.homes() {
        let ComponentId::Attention(_) = id else { continue };
        match runs.last_mut() {
            Some((same, layers)) if *same == device => *layers += 1,
            _ => runs.push((device, 1)),
        }
    }
    runs
}

/// `-n "0:16;1:16"`, where layers follow the order of the GPUs and those of the CPU come last.
fn counts(
    plan: &Plan<'_>,
    runs: &[(usize, u32)],
    ordinal: impl Fn(usize) -> Option<usize>,
) -> Option<String> {
    // A device index is its place among GPUs and then CPUs.
    let ascending = runs.is_sorted_by(|a, b| a.0 < b.0);
    let in_order = ascending && runs.iter().rev().skip(1).all(|&(device, _)| plan.is_gpu(device));
    let on_gpu = runs.iter().filter_map(|&(device, layers)| Some((ordinal(device)?, layers)));
    let counts: Vec<String> = on_gpu.map(|(n, layers)| format!("{n}:{layers}")).collect();
    (in_order && !counts.is_empty()).then(|| format!("-n \"{}\"\n", counts.join(";")))
}
