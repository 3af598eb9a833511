//! Quantized files against candle's own model on the same values.

use std::collections::BTreeMap;
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
    let infos: BTreeMap<_, _> = content.tensor_infos.iter().collect();
    for (name, info) in infos {
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
    let metadata: BTreeMap<String, Value> = content.metadata.into_iter().collect();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
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

/// Both token by token: with more at once candle has other kernels, which add up otherwise.
fn ours(question: &Wanted, prompt: &[u32]) -> Vec<Vec<f32>> {
    let record = question.record(&scattered(3, question.devices));
    let (mut decoder, _) = question.decoder(&record, Mode::Concurrent);
    let one = |token: &u32| decoder.forward(0, &[*token], Logits::Last).unwrap().remove(0);
    prompt.iter().map(one).collect()
}

/// The largest difference of every position.
fn apart(a: &[Vec<f32>], b: &[Vec<f32>]) -> Vec<f32> {
    let most = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    a.iter().zip(b).map(most).collect()
}

const PROMPT: [u32; 40] = [
    1, 5, 17, 200, 33, 91, 4, 150, 31, 77, 300, 2, 9, 64, 65, 66, 67, 15, 39, 129, 195, 133, 121,
    160, 218, 159, 95, 94, 145, 302, 272, 289, 283, 231, 38, 147, 99, 44, 309, 209,
];

#[test]
fn quantized_files_give_what_candles_own_model_gives() {
    let folder = tempfile::tempdir().unwrap();
    // Attention is added up in another order, so an activation now and then lies on the other side of where blocks
    // round: one step of 1/127 more or less at that position, and nothing at all elsewhere.
    for (file, elsewhere) in [("tk-f32.gguf", 0), ("tk-Q8_0.gguf", 2), ("tk-Q4_K_M.gguf", 6)] {
        let fused = Wanted::new(&format!("tiny-mixtral-gguf/{file}"), 2);
        let single = folder.path().join(file);
        with_single_experts(&fused.weights, &single);
        let wanted = theirs(&single, &PROMPT);
        // candle's model multiplies with its second copy wherever it makes one.
        let fused = Wanted { cpu_repack: true, ..fused };
        for question in [fused.clone(), Wanted { weights: single.clone(), ..fused }] {
            let apart = apart(&ours(&question, &PROMPT), &wanted);
            let far = apart.iter().filter(|apart| **apart > CLOSE).count();
            assert!(far <= elsewhere, "{file}: {apart:?}");
            assert!(apart.iter().all(|apart| *apart < 0.1), "{file}: {apart:?}");
        }
    }
}

/// Without the second copy products are those of candle's plain kernels, to the bit (unit tests of the weights say
/// so); they round activations otherwise for `q8_0`, and as the second copy does for `q4_k`.
#[test]
fn without_the_second_copy_only_rounding_differs() {
    for (file, most) in [("tk-Q8_0.gguf", 0.3), ("tk-Q4_K_M.gguf", 0.1)] {
        let plain = Wanted::new(&format!("tiny-mixtral-gguf/{file}"), 2);
        let repacked = Wanted { cpu_repack: true, ..plain.clone() };
        let apart = apart(&ours(&plain, &PROMPT), &ours(&repacked, &PROMPT));
        assert!(apart.iter().all(|apart| *apart < most), "{file}: {apart:?}");
    }
}

/// The tensors of a file dealt to two parts as llama.cpp's splitter names and numbers them.
fn split(path: &Path, folder: &Path) -> std::path::PathBuf {
    let mut file = BufReader::new(File::open(path).unwrap());
    let content = Content::read(&mut file).unwrap();
    let names: Vec<String> = content
        .tensor_infos
        .keys()
        .cloned()
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let count = i32::try_from(names.len()).unwrap();
    let part = |number: u16| folder.join(format!("model-{:05}-of-00002.gguf", number + 1));
    for (number, names) in (0_u16..).zip(names.chunks(names.len().div_ceil(2))) {
        let tensor = |name: &String| content.tensor(&mut file, name, &Device::Cpu).unwrap();
        let tensors: Vec<QTensor> = names.iter().map(tensor).collect();
        let tensors: Vec<(&str, &QTensor)> =
            names.iter().map(String::as_str).zip(&tensors).collect();
        let own = [
            ("split.no", Value::U16(number)),
            ("split.count", Value::U16(2)),
            ("split.tensors.count", Value::I32(count)),
        ];
        // Only the first part says what the model is.
        let shared: BTreeMap<_, _> = content.metadata.iter().collect();
        let shared = shared.into_iter().map(|(key, value)| (key.as_str(), value));
        let shared = shared.filter(|_| number == 0);
        let metadata: Vec<(&str, &Value)> =
            shared.chain(own.iter().map(|(key, value)| (*key, value))).collect();
        gguf_file::write(&mut File::create(part(number)).unwrap(), &metadata, &tensors).unwrap();
    }
    part(0)
}

#[test]
fn a_file_in_two_parts_is_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Wanted::new("tiny-mixtral-gguf/tk-Q4_K_M.gguf", 2);
    let parts = Wanted { weights: split(&whole.weights, folder.path()), ..whole.clone() };
    assert_eq!(ours(&parts, &PROMPT), ours(&whole, &PROMPT));
}
