//! The element types that checkpoint files hold, and their exact bytes.

mod ggml;
mod safetensors;

pub use ggml::GgmlType;
pub use safetensors::SafeType;

/// A type of stored elements, of either kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// Of a GGUF file.
    Ggml(GgmlType),
    /// Of a safetensors file.
    Safe(SafeType),
}

impl Dtype {
    /// The name in lower case, e.g. `q4_k` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ggml(kind) => kind.name(),
            Self::Safe(kind) => kind.name(),
        }
    }
}
