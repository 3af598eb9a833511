//! Experts by matrix: what a runtime places that holds one matrix of all experts of a layer in one piece.
//!
//! Each matrix takes the bytes of the tensors it is made of. Vectors of experts (biases) go with the matrix
//! after which they are named. What passes from one matrix to the next is the inner width of every chosen
//! expert, and the last gives one sum over them:
//!
//! ```text
//! up, gate, gate_up    experts per token x inner width / width of the model    activations
//! down                 1
//! ```

use std::collections::BTreeMap;

use super::{Granularity, Scenario};
use crate::error::Error;
use crate::model::{ComponentId, Geometry, Matrix, Tensor, TensorRole};
use crate::quant::Storage;

impl Scenario {
    /// Whether experts are placed by matrix.
    pub(super) fn by_matrix(&self) -> bool {
        self.limits.granularity == Granularity::FusedMatrix
    }

    /// What is stored, component by component as this granularity has them.
    pub(super) fn grouped(&self, storage: Storage) -> Storage {
        if !self.by_matrix() {
            return storage;
        }
        let components = by_matrix(&storage.tensors);
        let moved = storage.tensors.iter().zip(components);
        let moved = moved.map(|(tensor, component)| Tensor { component, ..tensor.clone() });
        let mut both: Vec<_> = moved.zip(storage.stored).collect();
        both.sort_by_key(|(tensor, _)| tensor.component);
        let (tensors, stored): (Vec<_>, Vec<_>) = both.into_iter().unzip();
        Storage { tensors: tensors.into(), stored }
    }

    /// What a visit of a matrix hands on, in units of one over `denominator` of an activation.
    pub(super) fn handed_on(&self, matrix: Matrix, denominator: u64) -> u64 {
        let Geometry { experts_per_token, expert_width, hidden, .. } = self.model.geometry;
        if matrix == Matrix::Down {
            return denominator;
        }
        let wide = u128::from(experts_per_token) * u128::from(expert_width);
        let units = (wide * u128::from(denominator)).div_ceil(u128::from(hidden.max(1)));
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// Whole matrices hold every expert, so the worst of several statistics is no matter of where they are.
    pub(super) fn check_matrices(&self) -> Result<(), Error> {
        if !self.by_matrix() || self.limits.routing.len() <= 1 {
            return Ok(());
        }
        Err(Error::new("place whole matrices of experts")
            .expected("at most one file of routing statistics")
            .found(self.limits.routing.len().to_string())
            .hint("a matrix holds its part of every expert, whichever are chosen"))
    }
}

/// Each tensor's component, experts by matrix.
pub(super) fn by_matrix(tensors: &[Tensor]) -> Vec<ComponentId> {
    let mut matrices: BTreeMap<ComponentId, Vec<(&str, Matrix)>> = BTreeMap::new();
    for tensor in tensors {
        if let Some(matrix) = matrix_of(tensor.role) {
            matrices.entry(tensor.component).or_default().push((&tensor.name, matrix));
        }
    }
    let component = |tensor: &Tensor| {
        let ComponentId::Expert(layer, _) = tensor.component else { return tensor.component };
        let named = matrices.get(&tensor.component).into_iter().flatten();
        let nearest = || named.rev().max_by_key(|(name, _)| alike(name, &tensor.name));
        let matrix = matrix_of(tensor.role).or_else(|| nearest().map(|&(_, matrix)| matrix));
        ComponentId::ExpertMatrix(layer, matrix.unwrap_or(Matrix::Down))
    };
    tensors.iter().map(component).collect()
}

fn matrix_of(role: TensorRole) -> Option<Matrix> {
    match role {
        TensorRole::FfnUp => Some(Matrix::Up),
        TensorRole::FfnGate => Some(Matrix::Gate),
        TensorRole::FfnGateUp => Some(Matrix::GateUp),
        TensorRole::FfnDown => Some(Matrix::Down),
        _ => None,
    }
}

/// Bytes that two names have in common from the start.
fn alike(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}
