//! Checkpoints to load, of others and put together from a config, and placements for them.

use std::fs;
use std::path::{Path, PathBuf};

use apportion::checkpoint::Checkpoint;
use apportion::error::Error;
use apportion::hardware::Hardware;
use apportion::load::manifest::Manifest;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::placement::Record;
use apportion::plan::{Options, Outcome, solve};
use apportion::quant::{Override, Scheme};
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::verify::verify;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder of models that others made and ran.
pub fn oracle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle").join(name)
}

/// The headers at a path and the model in them.
pub fn open(path: &Path) -> (Checkpoint, Model) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let model = Model::from_checkpoint(&checkpoint, "tiny").unwrap();
    (checkpoint, model)
}

/// A model on two GPUs of 64 MiB and a CPU, under a scheme.
pub fn scenario(model: &Model, quant: &str) -> Scenario {
    Scenario {
        model: model.clone(),
        scheme: Scheme::parse(quant).unwrap(),
        load: Load { context: 64, ..Load::default() },
        hardware: Hardware::from_sizes(&[64 << 20, 64 << 20], Some(64 << 20), 1 << 20).unwrap(),
        constraints: Vec::new(),
        default_pins: true,
        limits: Limits::default(),
        objectives: default_objectives(),
    }
}

/// The same with tensors that depart from the scheme.
pub fn with_override(scenario: Scenario, text: &str) -> Scenario {
    let overrides = vec![Override::parse(text).unwrap()];
    Scenario { scheme: scenario.scheme.with_overrides(overrides).unwrap(), ..scenario }
}

/// Solved.
pub fn record(scenario: &Scenario) -> Record {
    let problem = scenario.problem().unwrap();
    let Outcome::Solved(solved) = solve(&problem, &Options::default()).unwrap() else {
        panic!("a tiny model fits")
    };
    let measured = verify(&problem, &solved.placement).unwrap();
    Record::of(scenario, &problem, &solved, &measured)
}

/// The manifest of the files at a path, planned for those files under a scheme.
pub fn manifest(path: &Path, quant: &str) -> Result<Manifest, Error> {
    let (checkpoint, files) = open(path);
    Manifest::new(&record(&scenario(&files, quant)), &checkpoint, &files)
}

/// The config of a Mixtral of two layers of two experts.
pub fn mixtral() -> Value {
    json!({
        "model_type": "mixtral", "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_local_experts": 2, "num_experts_per_tok": 1, "vocab_size": 32,
        "rms_norm_eps": 1e-5, "rope_theta": 1e6, "sliding_window": null, "hidden_act": "silu",
        "bos_token_id": 1, "eos_token_id": 2,
    })
}

/// The config of a dense Llama of two layers.
pub fn llama() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 32, "rms_norm_eps": 1e-5, "rope_theta": 5e5, "hidden_act": "silu",
    })
}

/// The config of a Qwen3 with experts in its second layer.
pub fn qwen3_moe() -> Value {
    json!({
        "model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 96,
        "moe_intermediate_size": 32, "num_hidden_layers": 2, "mlp_only_layers": [0],
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "num_experts": 3, "num_experts_per_tok": 2, "norm_topk_prob": true, "vocab_size": 32,
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "hidden_act": "silu",
        "bos_token_id": 3, "eos_token_id": [4, 5],
    })
}

/// The config with some keys said otherwise.
pub fn with(mut config: Value, keys: &Value) -> Value {
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// A tensor of a file to be written: name, type as headers have it, shape.
pub type Listed = (String, &'static str, Vec<u64>);

/// A checkpoint of one safetensors file with a config beside it, all zeros.
pub struct Files {
    pub config: Value,
    pub tensors: Vec<Listed>,
}

impl Files {
    /// What a model of this config publishes, in bf16.
    pub fn of(config: Value) -> Self {
        let model = Model::from_config_json(&config.to_string(), "config.json").unwrap();
        let tensors = model.tensors.iter();
        let tensors = tensors.map(|tensor| (tensor.name.clone(), "BF16", tensor.shape.clone()));
        Self { tensors: tensors.collect(), config }
    }

    /// With any change.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn without(self, end: &str) -> Self {
        self.with(|files| {
            let before = files.tensors.len();
            files.tensors.retain(|tensor| !tensor.0.ends_with(end));
            assert_ne!(files.tensors.len(), before, "{end} is in the files");
        })
    }

    pub fn and(self, name: &str, shape: &[u64]) -> Self {
        self.with(|files| files.tensors.push((name.to_owned(), "BF16", shape.to_vec())))
    }

    /// Changes the first tensor whose name ends so.
    pub fn change(self, end: &str, change: impl FnOnce(&mut Listed)) -> Self {
        self.with(|files| {
            let found = files.tensors.iter_mut().find(|tensor| tensor.0.ends_with(end));
            change(found.unwrap());
        })
    }

    pub fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut header = serde_json::Map::new();
        let mut end = 0;
        for (name, kind, shape) in &self.tensors {
            let width = match *kind {
                "F8_E4M3" => 1,
                "BF16" | "F16" => 2,
                "F32" => 4,
                _ => 8,
            };
            let start = end;
            end += shape.iter().product::<u64>() * width;
            let info = json!({"dtype": kind, "shape": shape, "data_offsets": [start, end]});
            header.insert(name.clone(), info);
        }
        let header = Value::Object(header).to_string();
        let mut file = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
        file.extend(header.bytes());
        file.resize(file.len() + usize::try_from(end).unwrap(), 0);
        fs::write(folder.path().join("model.safetensors"), file).unwrap();
        fs::write(folder.path().join("config.json"), self.config.to_string()).unwrap();
        folder
    }
}
