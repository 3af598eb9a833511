//! What storage types are called, all of them: the names that files may speak of.

use super::{bitsandbytes, compressed_tensors, gptq, hqq, mlx};
use crate::dtype::{GgmlType, SafeType};

/// Every name that [`super::StoredTensor::type_name`] can have, sorted, each once.
///
/// ```
/// assert!(apportion::quant::type_names().contains(&"q4_k"));
/// ```
pub fn type_names() -> Vec<&'static str> {
    let ggml = GgmlType::ALL.into_iter().map(GgmlType::name);
    let groups = gptq::TYPES.iter().chain(&hqq::TYPES).chain(&mlx::TYPES).map(|row| row.1);
    let others = ["awq-4bit", "fp8", "nvfp4", "mxfp4", "mxfp8"];
    let of_mlx = ["mlx-mxfp4", "mlx-nvfp4", "mlx-mxfp8"];
    let mut names: Vec<&str> = ggml
        .chain(SafeType::names())
        .chain(groups)
        .chain(bitsandbytes::type_names())
        .chain(compressed_tensors::PACKED_TYPES)
        .chain(others)
        .chain(of_mlx)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::quant::Scheme;

    #[test]
    fn every_scheme_stores_types_that_are_listed() {
        let names = type_names();
        let model = Model::from_catalogue("mixtral-8x7b").unwrap();
        let more = ["gptq-3bit", "hqq-1bit", "mlx-2bit", "w2a16-g32", "w7a16", "fp8:static"];
        let more = more.into_iter().filter_map(|name| Scheme::parse(name).ok());
        let mut seen = 0;
        for storage in Scheme::all().into_iter().chain(more).filter_map(|s| s.store(&model).ok()) {
            seen += 1;
            for tensor in &storage.stored {
                assert!(names.contains(&tensor.type_name), "{}", tensor.type_name);
            }
        }
        assert!(seen > 70, "{seen}");
    }
}
