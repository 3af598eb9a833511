//! Comma-separated values: a line per component, for spreadsheets.

use super::{Export, Exporter, Options, Plan, Stop, quote};
use crate::error::Error;
use crate::scenario::Granularity;

pub(super) struct Csv;

impl Exporter for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn about(&self) -> &'static str {
        "a line per component with its device and bytes"
    }

    fn unit(&self, _: &Options) -> Result<Option<Granularity>, Error> {
        Ok(None)
    }

    fn replicated(&self) -> bool {
        true
    }

    fn write(&self, plan: &Plan<'_>, _: &Options) -> Result<Export, Stop> {
        let mut text = String::from("component,device,weights_bytes,kv_cache_bytes\n");
        let placed = plan.problem.components.iter().zip(&plan.placement.device_of);
        for (component, &device) in placed {
            line(&mut text, &component.demand, &plan.device(device).id)?;
        }
        for demand in &plan.problem.everywhere {
            for device in &plan.problem.devices {
                line(&mut text, demand, &device.id)?;
            }
        }
        Ok(Export::of(text))
    }
}

fn line(
    text: &mut String,
    demand: &crate::memory::ComponentDemand,
    device: &str,
) -> Result<(), Error> {
    let field = quote::csv(device).ok_or_else(|| {
        Error::new("write the name as a field")
            .object(device)
            .expected("one that no spreadsheet takes for a formula")
            .hint("name the device otherwise in the hardware file")
    })?;
    let [weights, kv_cache] = [demand.weights_bytes, demand.kv_cache_bytes];
    text.extend([format!("{},{field},{weights},{kv_cache}\n", demand.id)]);
    Ok(())
}
