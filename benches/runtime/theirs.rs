//! candle's own models, loaded as candle loads them.

use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device};
use candle_transformers::models::{mixtral, quantized_llama};

use super::Failure;
use super::support::mixtral::{Shape, config};

#[allow(
    unsafe_code,
    reason = "candle's own way to load, and what it maps was written for this by us"
)]
pub fn theirs(path: &Path, shape: Shape) -> Result<mixtral::Model, Failure> {
    // SAFETY: nobody changes the file while it is mapped: it is in a folder of our own.
    let weights = unsafe {
        candle_nn::VarBuilder::from_mmaped_safetensors(&[path], DType::F32, &Device::Cpu)?
    };
    let config: mixtral::Config = serde_json::from_str(&config(shape, "4096"))?;
    Ok(mixtral::Model::new(&config, weights)?)
}

pub fn theirs_quantized(path: &Path) -> Result<quantized_llama::ModelWeights, Failure> {
    let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
    let content = Content::read(&mut file)?;
    Ok(quantized_llama::ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?)
}
