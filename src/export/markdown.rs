//! Markdown for a pull request: what was asked, what was proven, and the map in few lines.

use super::{Export, Exporter, Options, Plan, Stop, quote::markdown};
use crate::error::Error;
use crate::objective::{Unit, law};
use crate::placement::lines;
use crate::problem::ObjectiveValue;
use crate::scenario::Granularity;
use crate::units::{Ratio, format_bytes, format_time};

pub(super) struct Markdown;

impl Exporter for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn about(&self) -> &'static str {
        "tables of devices, objectives and the map, for a pull request"
    }

    fn unit(&self, _: &Options) -> Result<Option<Granularity>, Error> {
        Ok(None)
    }

    fn replicated(&self) -> bool {
        true
    }

    fn write(&self, plan: &Plan<'_>, _: &Options) -> Result<Export, Stop> {
        let scenario = plan.scenario;
        let mut text = format!(
            "### {} {} on {}\n\nContext {}, batch {}, KV {}, planned for {}.\n\n",
            markdown(&scenario.model.name),
            markdown(&scenario.scheme.name()),
            super::counted(plan.problem.devices.len(), "device"),
            scenario.load.context,
            scenario.load.batch,
            scenario.load.kv_type.name(),
            markdown(scenario.load.runtime.name()),
        );
        text.push_str("| device | used | of | weights | KV cache |\n|---|--:|--:|--:|--:|\n");
        for (device, used) in plan.problem.devices.iter().zip(&plan.measured.devices) {
            let bytes =
                [used.used_bytes, device.capacity_bytes, used.weights_bytes, used.kv_cache_bytes];
            let cells = bytes.map(format_bytes).join(" | ");
            text.extend([format!("| {} | {cells} |\n", markdown(&device.id))]);
        }
        text.push_str("\n| objective | value |\n|---|--:|\n");
        for objective in &plan.problem.objectives {
            let kind = objective.kind;
            let value = value(law(kind).unit(), plan.measured.value(kind));
            text.extend([format!("| {} | {value} |\n", markdown(kind.name()))]);
        }
        text.push_str("\n| components | device |\n|---|---|\n");
        let homes: Vec<_> = plan.homes().collect();
        for line in lines(&homes) {
            let device = &plan.device(line.device).id;
            text.extend([format!("| {} | {} |\n", markdown(&line.name), markdown(device))]);
        }
        if plan.problem.is_replicated() {
            text.push_str("| everything else | every device |\n");
        }
        Ok(Export::of(text))
    }
}

fn value(unit: Unit, value: ObjectiveValue) -> String {
    match value {
        ObjectiveValue::Bytes(bytes) => format_bytes(bytes),
        ObjectiveValue::Count(count) => count.to_string(),
        ObjectiveValue::Time(ps) => format_time(ps),
        ObjectiveValue::Ratio(ratio) if unit == Unit::Share => hundredths(ratio, 100) + " %",
        ObjectiveValue::Ratio(ratio) => hundredths(ratio, 1),
    }
}

/// A ratio times a factor, to two decimals, rounded to nearest.
fn hundredths(ratio: Ratio, factor: u128) -> String {
    let denominator = u128::from(ratio.denominator());
    let scaled = (u128::from(ratio.numerator()) * factor * 100 + denominator / 2) / denominator;
    format!("{}.{:02}", scaled / 100, scaled % 100)
}
