//! Flags of llama.cpp: written, read back, and beside what llama.cpp itself reports.

/// Flags for several maps, refusals with their words.
mod golden;
/// llama.cpp's rules a second time.
mod naive;
/// Any map that can be said comes back from its flags.
mod property;
/// llama.cpp's own reports of memory.
mod reports;

use apportion::hardware::Hardware;
use apportion::model::Model;
use apportion::quant::Scheme;
use apportion::runtime::Profile;
use apportion::scenario::{Granularity, Scenario};

use crate::scenarios::scenario;

/// A question to llama.cpp about GPUs of these bytes and a large host.
fn question(model: &str, quant: &str, gpus: &[u64], granularity: Granularity) -> Scenario {
    let mut asked = scenario("mixtral-8x7b", 1, true);
    asked.model = Model::from_catalogue(model).unwrap();
    asked.scheme = Scheme::parse(quant).unwrap();
    asked.hardware = Hardware::from_sizes(gpus, Some(1 << 40), 0).unwrap();
    asked.load.runtime = Profile::shared("llama.cpp").unwrap();
    asked.limits.granularity = granularity;
    asked.default_pins = false;
    asked
}
