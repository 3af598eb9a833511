//! Whole layers in order, each GPU filled until the next layer does not fit.
//!
//! Unlike the tools that fill by weights alone it knows the exact memory rule; like them it never goes
//! back to an earlier device and never divides a layer.

use super::Baseline;
use crate::model::ComponentId;
use crate::placement::Placement;
use crate::problem::{Component, Problem};
use crate::verify::Load;

pub(super) struct FrontToBack;

impl Baseline for FrontToBack {
    fn name(&self, _: &Problem) -> &'static str {
        "front-to-back fill"
    }

    fn description(&self) -> &'static str {
        "whole layers in order, every device filled until the next layer does not fit"
    }

    fn place(&self, problem: &Problem) -> Result<Placement, String> {
        if problem.devices.is_empty() {
            return Err("needs a device".to_owned());
        }
        let last = problem.devices.len() - 1;
        let mut device = 0;
        let mut load = Load::empty(problem, device);
        let mut device_of = Vec::with_capacity(problem.components.len());
        for block in problem.components.chunk_by(|a, b| block_of(a) == block_of(b)) {
            let mut filled = with_block(&load, block);
            // What fits nowhere stays on the last device, to be seen there.
            while !filled.fits() && device < last {
                device += 1;
                filled = with_block(&Load::empty(problem, device), block);
            }
            load = filled;
            device_of.extend(block.iter().map(|_| device));
        }
        Ok(Placement { device_of })
    }
}

/// The unit that is not divided: embedding, a layer, final norm with output head.
fn block_of(component: &Component) -> (u8, u32) {
    match (component.demand.id, component.demand.id.layer()) {
        (_, Some(layer)) => (1, layer),
        (ComponentId::Embedding, None) => (0, 0),
        (_, None) => (2, 0),
    }
}

fn with_block<'a>(load: &Load<'a>, block: &[Component]) -> Load<'a> {
    let mut load = load.clone();
    for component in block {
        load.add(&component.demand);
    }
    load
}
