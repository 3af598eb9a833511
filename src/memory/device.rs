//! What a runtime keeps on a device beside what is placed there: once per device that is used.
//!
//! It becomes part of a device's reserve when a problem is stated.

use super::{Load, Term, bounded, workspace};
use crate::error::Error;
use crate::hardware::{Device, DeviceKind};
use crate::model::Model;
use crate::runtime::Profile;
use crate::units::{Ratio, format_bytes};

/// What a runtime keeps on each device that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerDevice {
    /// The driver's context, on GPUs.
    pub driver_context_bytes: u64,
    /// The matrix library's workspace, on GPUs.
    pub blas_workspace_bytes: u64,
    /// Further copies of a graph's inputs, on all devices of a machine with several GPUs.
    pub graph_copies_bytes: u64,
    /// How much of a GPU the runtime fills.
    pub usable_fraction: Ratio,
    copies_formula: String,
}

impl PerDevice {
    pub(super) fn of(model: &Model, load: &Load) -> Result<Self, Error> {
        let rules = load.runtime.rules();
        let inputs = workspace::graph_inputs(&model.geometry, load);
        let further = u128::from(rules.graph_copies - 1);
        Ok(Self {
            driver_context_bytes: rules.driver_context_bytes,
            blas_workspace_bytes: rules.blas_workspace_bytes,
            graph_copies_bytes: bounded(inputs.name, further * inputs.bytes)?,
            usable_fraction: rules.usable_fraction,
            copies_formula: format!("{further} more x {}", inputs.formula),
        })
    }

    /// What `device` needs of it in a machine with so many GPUs; saturated.
    pub fn reserve_bytes(&self, device: &Device, gpus: usize) -> u64 {
        let copies = if gpus > 1 { self.graph_copies_bytes } else { 0 };
        if device.kind != DeviceKind::Gpu {
            return copies;
        }
        let unused = device.capacity_bytes - self.usable_bytes(device);
        [self.driver_context_bytes, self.blas_workspace_bytes, copies, unused]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    fn usable_bytes(&self, device: &Device) -> u64 {
        self.usable_fraction.floor_of(device.capacity_bytes).min(device.capacity_bytes)
    }

    /// `driver context 256.00 MiB, matrix library 32.00 MiB`: what there is of it, for messages.
    pub fn names(&self, gpus: usize) -> Vec<String> {
        let copies = if gpus > 1 { self.graph_copies_bytes } else { 0 };
        let bytes = [
            ("driver context", self.driver_context_bytes),
            ("matrix library", self.blas_workspace_bytes),
            ("copies of graph inputs", copies),
        ];
        let present = bytes.into_iter().filter(|&(_, bytes)| bytes > 0);
        let mut names: Vec<String> =
            present.map(|(name, bytes)| format!("{name} {}", format_bytes(bytes))).collect();
        if self.usable_fraction != Ratio::new(1, 1) {
            names.push(format!("all but {} of the capacity", self.usable_fraction));
        }
        names
    }

    /// The terms that are not zero.
    pub(super) fn terms(&self, runtime: &Profile) -> Vec<Term> {
        let term = |name, rule, bytes, formula: String| Term {
            name,
            bytes,
            formula,
            source: runtime.source(rule).to_owned(),
        };
        let mut terms = vec![
            term(
                "driver_context",
                "driver_context_bytes",
                self.driver_context_bytes,
                "on every GPU that is used".to_owned(),
            ),
            term(
                "blas_workspace",
                "blas_workspace_bytes",
                self.blas_workspace_bytes,
                "on every GPU that is used".to_owned(),
            ),
            term(
                "graph_copies",
                "graph_copies",
                self.graph_copies_bytes,
                format!("{}, with several GPUs", self.copies_formula),
            ),
        ];
        terms.retain(|term| term.bytes > 0);
        if self.usable_fraction != Ratio::new(1, 1) {
            let of = 1 << 30;
            let unused = of - self.usable_fraction.floor_of(of);
            let formula =
                format!("of every GiB of a GPU: 1 - {} is not used", self.usable_fraction);
            terms.push(term("unused", "usable_fraction", unused, formula));
        }
        terms
    }
}
