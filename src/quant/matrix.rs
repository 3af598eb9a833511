//! What quantizers of matrices have in common: which tensors they take, and what becomes of one.

use super::StoredTensor;
use super::plain::Plain;
use crate::model::{Tensor, TensorRole};

/// The matrix of a linear map: `outputs` rows of `inputs` elements, however a file lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Matrix {
    pub(super) outputs: u64,
    pub(super) inputs: u64,
}

impl Matrix {
    /// The map of a tensor, in a model whose residual stream has `hidden` elements.
    ///
    /// Experts that are merged are parameters of no `nn.Linear`, and some families keep them as
    /// `[in, out]` (gpt_oss, llama4). Which side is which shows by the width of the residual stream,
    /// which everything but the way down comes from.
    pub(super) fn of(tensor: &Tensor, hidden: u64) -> Self {
        let inputs = tensor.shape.last().copied().unwrap_or(1);
        let outputs = tensor.elements().checked_div(inputs).unwrap_or(0);
        let as_stored = Self { outputs, inputs };
        let turned = match tensor.role {
            TensorRole::FfnGate | TensorRole::FfnUp | TensorRole::FfnGateUp => {
                inputs != hidden && outputs == hidden
            }
            TensorRole::FfnDown => outputs != hidden && inputs == hidden,
            _ => false,
        };
        if tensor.merged.is_some() && turned {
            return Self { outputs: inputs, inputs: outputs };
        }
        as_stored
    }

    pub(super) fn elements(self) -> u64 {
        self.outputs * self.inputs
    }
}

/// A quantizer that turns matrices into packed ones, each by itself.
pub(super) trait Quantizer {
    /// The name with the options that are not the default.
    fn name(&self) -> String;

    /// One line for people.
    fn description(&self) -> String;

    /// What a quantized matrix is called.
    fn type_name(&self) -> &'static str;

    /// The type of the tensors it leaves alone.
    fn rest(&self) -> Plain;

    /// Whether it quantizes the tensor when nobody asks for it by name.
    fn covers(&self, tensor: &Tensor) -> bool;

    /// Whether it leaves a matrix of these sizes alone.
    fn leaves(&self, _matrix: Matrix) -> bool {
        false
    }

    /// Bytes of the packed matrix and all that belongs to it, or why it cannot be packed.
    fn bytes(&self, matrix: Matrix) -> Result<u64, String>;

    /// Whether it takes experts' merged gate and up matrices apart before.
    fn separates_gate_and_up(&self) -> bool {
        false
    }

    /// Whether the 16-bit matrix is on the device while the packed one is made.
    fn stages(&self) -> bool {
        false
    }
}

/// What becomes of a tensor of a model.
pub(super) fn store(
    quantizer: &dyn Quantizer,
    tensor: &Tensor,
    hidden: u64,
) -> Result<StoredTensor, String> {
    let matrix = Matrix::of(tensor, hidden);
    if !quantizer.covers(tensor) || quantizer.leaves(matrix) {
        return Ok(quantizer.rest().store(tensor));
    }
    pack(quantizer, tensor, hidden)
}

/// What a tensor becomes that is quantized, whatever it is for.
pub(super) fn pack(
    quantizer: &dyn Quantizer,
    tensor: &Tensor,
    hidden: u64,
) -> Result<StoredTensor, String> {
    let matrix = Matrix::of(tensor, hidden);
    let two = tensor.merged.is_some() && tensor.role == TensorRole::FfnGateUp;
    let bytes = if two && quantizer.separates_gate_and_up() && matrix.outputs.is_multiple_of(2) {
        2 * quantizer.bytes(Matrix { outputs: matrix.outputs / 2, ..matrix })?
    } else {
        quantizer.bytes(matrix)?
    };
    let staged_bytes = if quantizer.stages() { 2 * tensor.elements() } else { 0 };
    Ok(StoredTensor { type_name: quantizer.type_name(), bytes, staged_bytes })
}

/// Whether it is a map inside a layer that does not choose: quantizers that look at activations leave
/// out what routes.
pub(super) fn is_map_but_no_gate(tensor: &Tensor) -> bool {
    tensor.role.is_layer_matrix()
        && !matches!(tensor.role, TensorRole::Router | TensorRole::SharedGate)
}

/// Whether it is the part of an expert in a tensor that holds all experts of a layer.
pub(super) fn is_merged_map(tensor: &Tensor) -> bool {
    tensor.merged.is_some() && tensor.role.is_layer_matrix() && tensor.shape.len() == 2
}

/// Says of a size that it does not divide.
pub(super) fn whole(what: &str, size: u64, divisor: u64) -> Result<(), String> {
    if size.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(format!("{size} {what}, not a multiple of {divisor}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{ComponentId, Merged};

    /// A tensor of a layer.
    pub(in crate::quant) fn tensor(role: TensorRole, shape: &[u64], merged: bool) -> Tensor {
        let component = match role {
            TensorRole::Router => ComponentId::Router(0),
            TensorRole::TokenEmbedding => ComponentId::Embedding,
            TensorRole::Output => ComponentId::OutputHead,
            TensorRole::FfnGateUp | TensorRole::FfnGate | TensorRole::FfnUp => {
                ComponentId::Expert(0, 0)
            }
            TensorRole::FfnDown => ComponentId::Expert(0, 0),
            _ => ComponentId::Attention(0),
        };
        Tensor {
            name: "t".to_owned(),
            shape: shape.to_vec(),
            role,
            component,
            merged: merged.then_some(Merged { parts: 4, as_rows: false }),
            linear: !merged && role.is_layer_matrix(),
            published_f32: false,
        }
    }

    #[test]
    fn merged_experts_are_read_the_right_way_round() {
        let of = |role, shape: &[u64], merged| Matrix::of(&tensor(role, shape, merged), 2880);
        let up = Matrix { outputs: 5760, inputs: 2880 };
        let down = Matrix { outputs: 2880, inputs: 1408 };
        assert_eq!(of(TensorRole::FfnGateUp, &[2880, 5760], true), up);
        assert_eq!(of(TensorRole::FfnGateUp, &[5760, 2880], true), up);
        assert_eq!(of(TensorRole::FfnDown, &[1408, 2880], true), down);
        assert_eq!(of(TensorRole::FfnDown, &[2880, 1408], true), down);
        // A linear layer is never turned.
        let odd = Matrix { outputs: 2880, inputs: 5760 };
        assert_eq!(of(TensorRole::FfnGateUp, &[2880, 5760], false), odd);
    }
}
