//! Quantized files against candle's own model on the same values.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use apportion::load::decoder::{Mode, Wanted as Logits};
use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;

use super::placed::{Wanted, scattered};

/// Kernels add up in different orders and round activations in blocks.
const CLOSE: f32 = 1e-3;

/// The file with every expert's matrices by themselves, as files had it before experts were fused, which is all
/// that candle's model reads.
fn with_single_experts(path: &Path, into: &Path) {
    let mut file = BufReader::new(File::open(path).unwrap());
    let content = Content::read(&mut file).unwrap();
    let mut tensors: Vec<(String, QTensor)> = Vec::new();
    for (name, info) in &content.tensor_infos {
        let Some((layer, part)) =
            name.strip_suffix("_exps.weight").and_then(|n| n.split_once(".ffn_"))
        else {
            tensors.push((name.clone(), content.tensor(&mut file, name, &Device::Cpu).unwrap()));
            continue;
        };
        let (experts, rows, columns) = info.shape.dims3().unwrap();
        let kind = info.ggml_dtype;
        let bytes = rows * columns / kind.block_size() * kind.type_size();
        let start = content.tensor_data_offset + info.offset;
        for expert in 0..experts {
            let mut slice = vec![0; bytes];
            file.seek(SeekFrom::Start(start + (expert * bytes) as u64)).unwrap();
            file.read_exact(&mut slice).unwrap();
            let storage = QStorage::from_data(slice.into(), &Device::Cpu, kind).unwrap();
            let tensor = QTensor::new(storage, (rows, columns)).unwrap();
            tensors.push((format!("{layer}.ffn_{part}.{expert}.weight"), tensor));
        }
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let metadata: HashMap<String, Value> = content.metadata;
    let mut metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    metadata.sort_by_key(|row| row.0);
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    gguf_file::write(&mut File::create(into).unwrap(), &metadata, &tensors).unwrap();
}

fn theirs(path: &Path, prompt: &[u32]) -> Vec<Vec<f32>> {
    let mut file = BufReader::new(File::open(path).unwrap());
    let content = Content::read(&mut file).unwrap();
    let mut model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap();
    let mut logits = Vec::new();
    for (position, token) in prompt.iter().enumerate() {
        let token = Tensor::new(&[[*token]], &Device::Cpu).unwrap();
        logits.push(model.forward(&token, position).unwrap().to_vec2().unwrap().remove(0));
    }
    logits
}

#[test]
fn quantized_files_give_what_candles_own_model_gives() {
    let prompt = [1, 5, 17, 200, 33, 91, 4, 150, 31, 77, 300, 2, 9];
    let folder = tempfile::tempdir().unwrap();
    for file in ["tk-f32.gguf", "tk-Q8_0.gguf", "tk-Q4_K_M.gguf"] {
        let fused = Wanted::new(&format!("tiny-mixtral-gguf/{file}"), 2);
        let single = folder.path().join(file);
        with_single_experts(&fused.weights, &single);
        let wanted = theirs(&single, &prompt);
        for question in [fused.clone(), Wanted { weights: single.clone(), ..fused }] {
            let record = question.record(&scattered(3, 2));
            let (mut decoder, _) = question.decoder(&record, Mode::Concurrent);
            let found = decoder.forward(0, &prompt, Logits::All).unwrap();
            for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
                assert!((found - wanted).abs() <= CLOSE, "{file}: {found} instead of {wanted}");
            }
        }
    }
}
