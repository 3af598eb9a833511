//! How many bytes a tensor takes under a quantization scheme, exactly, and what quantizing it stages.

use crate::model::{Model, Tensor};

/// A quantization scheme, by the name its users write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says it")]
pub enum Scheme {
    F32,
    F16,
    Bf16,
    /// bitsandbytes 8 bit.
    Int8,
    /// bitsandbytes 4 bit NormalFloat.
    Nf4,
    /// bitsandbytes 4 bit NormalFloat, statistics quantized once more.
    Nf4Dq,
    Q4_0,
    Q8_0,
    Q4KM,
    Q5KM,
    Q6K,
}

/// One tensor under a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// The storage type, e.g. `q6_k`, `nf4`, `f16`.
    pub type_name: &'static str,
    /// Resident bytes, statistics and tables included.
    pub bytes: u64,
    /// Bytes of the 16-bit matrix that exists while this tensor is being quantized; 0 when it is not.
    pub staged_bytes: u64,
}
