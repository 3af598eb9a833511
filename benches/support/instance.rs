//! The instances: which model, how stored, on which GPUs.

use apportion::error::Error;
use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::problem::{ObjectiveKind, Problem};
use apportion::quant::Scheme;
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::units::parse_bytes;

/// A question to the planner; everything not said here is the command line's default.
#[derive(PartialEq, Eq)]
pub struct Instance {
    /// A catalogue name.
    pub model: &'static str,
    /// A quantization.
    pub scheme: &'static str,
    /// Usable GiB of each GPU.
    pub gpus: &'static [&'static str],
}

/// The main job.
pub const TWO: Instance =
    Instance { model: "mixtral-8x7b", scheme: "nf4-dq", gpus: &["15.60", "15.60"] };

/// Layers of two sizes, interleaved, on three uneven GPUs.
pub const THREE: [Instance; 3] =
    [mixtral(&["24", "12", "8"]), mixtral(&["16", "12", "8"]), mixtral(&["12", "11", "10"])];

/// Four GPUs.
pub const FOUR: [Instance; 3] = [
    mixtral(&["12", "10", "8", "6"]),
    mixtral(&["8", "8", "8", "8"]),
    Instance { model: "mixtral-8x22b", scheme: "q4_k_m", gpus: &["32", "24", "24", "16"] },
];

/// Eight GPUs.
pub const EIGHT: [Instance; 3] = [
    mixtral(&["8", "6", "6", "5", "4", "4", "3", "3"]),
    mixtral(&["4.5"; 8]),
    Instance {
        model: "qwen3-30b-a3b",
        scheme: "q4_k_m",
        gpus: &["6", "4", "4", "3", "3", "3", "2.5", "2"],
    },
];

/// A large mixture of experts on 8, 16 and 64 uneven devices.
pub const MANY: [Instance; 3] = [
    deepseek(&["80", "80", "80", "80", "96", "96", "141", "141"]),
    deepseek(&[
        "80", "80", "80", "80", "48", "48", "48", "48", "40", "40", "40", "40", "32", "32", "32",
        "32",
    ]),
    deepseek(&[
        "24", "24", "24", "24", "24", "24", "24", "24", "24", "24", "24", "24", "24", "24", "24",
        "24", "16", "16", "16", "16", "16", "16", "16", "16", "16", "16", "16", "16", "16", "16",
        "16", "16", "12", "12", "12", "12", "12", "12", "12", "12", "12", "12", "12", "12", "12",
        "12", "12", "12", "8", "8", "8", "8", "8", "8", "8", "8", "8", "8", "8", "8", "8", "8",
        "8", "8",
    ]),
];

const fn deepseek(gpus: &'static [&'static str]) -> Instance {
    Instance { model: "deepseek-v3", scheme: "fp8", gpus }
}

const fn mixtral(gpus: &'static [&'static str]) -> Instance {
    Instance { model: "mixtral-8x7b", scheme: "q4_k_m", gpus }
}

impl Instance {
    /// E.g. `mixtral-8x7b q4_k_m on 12+10+8+6 GiB`.
    pub fn title(&self) -> String {
        format!("{} {} on {} GiB", self.model, self.scheme, self.sizes())
    }

    /// The same, as a file name.
    pub fn file_stem(&self) -> String {
        format!("{}.{}.{}", self.model, self.scheme, self.sizes())
    }

    fn sizes(&self) -> String {
        match self.gpus {
            [first, rest @ ..] if rest.iter().all(|gib| gib == first) => {
                format!("{}x{first}", self.gpus.len())
            }
            _ => {
                let runs = self.gpus.chunk_by(|a, b| a == b);
                let run = |run: &[&str]| match run {
                    [one] => (*one).to_owned(),
                    several => format!("{}x{}", several.len(), several[0]),
                };
                runs.map(run).collect::<Vec<_>>().join("+")
            }
        }
    }

    /// What to type after `apportion`.
    pub fn command(&self) -> Vec<String> {
        let words = ["solve", self.model, "--quant", self.scheme, "--context", "4096"];
        let words = words.into_iter().map(str::to_owned);
        let gpus = self.gpus.iter().flat_map(|gib| ["--gpu".to_owned(), format!("{gib}GiB")]);
        words.chain(gpus).collect()
    }

    /// With the default objectives.
    pub fn problem(&self) -> Result<Problem, Error> {
        let bytes = self.gpus.iter().map(|gib| parse_bytes(&format!("{gib}GiB")));
        let bytes = bytes.collect::<Result<Vec<_>, _>>()?;
        let scenario = Scenario {
            model: Model::from_catalogue(self.model)?,
            scheme: Scheme::parse(self.scheme)?,
            load: Load::default(),
            hardware: Hardware::from_sizes(&bytes, None, 0)?,
            constraints: Vec::new(),
            default_pins: true,
            limits: Limits::default(),
            objectives: default_objectives(),
        };
        scenario.problem()
    }

    /// With the peak as the only objective.
    pub fn peak_problem(&self) -> Result<Problem, Error> {
        let mut problem = self.problem()?;
        problem.objectives.retain(|o| o.kind == ObjectiveKind::PeakUtilization);
        Ok(problem)
    }
}
