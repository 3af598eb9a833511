//! MXFP4 as gpt-oss publishes it.
//!
//! Only the matrices of experts are quantized: `*_blocks` uint8 `[..., in/32, 16]` and `*_scales` uint8
//! `[..., in/32]`, 17 bytes for 32 values (transformers 5.23, `integrations/mxfp4.py`). All else is bf16,
//! biases of experts included. Rows that are not whole blocks cannot be reshaped so and are refused.

use super::matrix::{Matrix, Quantizer, whole};
use super::plain::Plain;
use crate::model::{ComponentKind, Tensor};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mxfp4;

const BLOCK: u64 = 32;
const BLOCK_BYTES: u64 = 16 + 1;

impl Quantizer for Mxfp4 {
    fn name(&self) -> String {
        "mxfp4".to_owned()
    }

    fn description(&self) -> String {
        "experts in 4-bit floats (gpt-oss), the rest in 16 bit".to_owned()
    }

    fn type_name(&self) -> &'static str {
        "mxfp4"
    }

    fn rest(&self) -> Plain {
        Plain::Bf16
    }

    fn covers(&self, tensor: &Tensor) -> bool {
        tensor.component.kind() == ComponentKind::Expert
            && tensor.role.is_layer_matrix()
            && tensor.shape.len() == 2
    }

    fn bytes(&self, matrix: Matrix) -> Result<u64, String> {
        whole("inputs", matrix.inputs, BLOCK)?;
        Ok(matrix.elements() / BLOCK * BLOCK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::{store, tests::tensor};
    use super::*;
    use crate::model::TensorRole;

    #[test]
    fn experts_of_gpt_oss() {
        // openai/gpt-oss-20b and -120b: 2880 x 5760 and 2880 x 2880 per expert, 24 layers of 32 and 36 of
        // 128 experts.
        let bytes = |role, shape: &[u64]| {
            let tensor = tensor(role, shape, true);
            store(&Mxfp4, &tensor, 2880).unwrap().bytes
        };
        let expert =
            bytes(TensorRole::FfnGateUp, &[2880, 5760]) + bytes(TensorRole::FfnDown, &[2880, 2880]);
        assert_eq!(24 * 32 * expert, 10_152_345_600);
        assert_eq!(36 * 128 * expert, 60_914_073_600);
    }

    #[test]
    fn only_experts_are_quantized_and_only_whole_blocks() {
        let store = |role, shape: &[u64]| store(&Mxfp4, &tensor(role, shape, true), 2880);
        assert_eq!(store(TensorRole::Router, &[32, 2880]).unwrap().type_name, "bf16");
        assert_eq!(store(TensorRole::AttnQ, &[4096, 2880]).unwrap().bytes, 2 * 4096 * 2880);
        assert!(store(TensorRole::FfnDown, &[2880, 1000]).unwrap_err().contains("1000 inputs"));
    }
}
