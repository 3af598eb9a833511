//! Plain JSON: every component with its device and bytes, for programs of one's own.

use serde_json::{Value, json};

use super::{Export, Exporter, Options, Plan, Stop};
use crate::error::Error;
use crate::scenario::{Attention, Granularity};

pub(super) struct Json;

impl Exporter for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn about(&self) -> &'static str {
        "every component with its device and bytes, as JSON"
    }

    fn unit(&self, _: &Options) -> Result<Option<Granularity>, Error> {
        Ok(None)
    }

    fn replicated(&self) -> bool {
        true
    }

    fn write(&self, plan: &Plan<'_>, _: &Options) -> Result<Export, Stop> {
        let devices = plan.problem.devices.iter().zip(&plan.measured.devices);
        let device = |(device, used): (&crate::hardware::Device, &crate::verify::DeviceUse)| {
            json!({
                "name": device.id,
                "kind": device.kind.name(),
                "capacity_bytes": device.capacity_bytes,
                "used_bytes": used.used_bytes,
            })
        };
        let components = plan.problem.components.iter().zip(&plan.placement.device_of);
        let component = |(component, &device): (&crate::problem::Component, &usize)| {
            json!({
                "name": component.demand.id.to_string(),
                "device": plan.device(device).id,
                "weights_bytes": component.demand.weights_bytes,
                "kv_cache_bytes": component.demand.kv_cache_bytes,
            })
        };
        let everywhere = plan.problem.everywhere.iter();
        let everywhere: Vec<Value> = everywhere
            .map(|demand| {
                json!({
                    "name": demand.id.to_string(),
                    "weights_bytes": demand.weights_bytes,
                    "kv_cache_bytes": demand.kv_cache_bytes,
                })
            })
            .collect();
        let mut value = json!({
            "model": plan.scenario.model.name,
            "quantization": plan.scenario.scheme.name(),
            "context": plan.scenario.load.context,
            "batch": plan.scenario.load.batch,
            "devices": devices.map(device).collect::<Vec<_>>(),
            "components": components.map(component).collect::<Vec<_>>(),
        });
        if plan.scenario.limits.attention == Attention::Replicated {
            value["on_every_device"] = Value::Array(everywhere);
        }
        // The alternate form is indented.
        Ok(Export::of(format!("{value:#}\n")))
    }
}
