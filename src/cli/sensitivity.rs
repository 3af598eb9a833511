//! `apportion solve --sensitivity`: what more memory would buy, below the answer.

use apportion::error::Error;
use apportion::plan::{Options, StageReport};
use apportion::problem::Problem;
use apportion::remedy::Case;
use apportion::report::sensitivity as print;
use apportion::scenario::Scenario;
use apportion::sensitivity::sensitivity;
use apportion::units::parse_bytes;
use serde_json::Value;

use super::width;

/// What was asked and found, ready to be added to either form of the answer; nothing when not asked for.
#[derive(Default)]
pub struct Sensitivity {
    text: String,
    json: Option<Value>,
}

/// Reads how much more.
pub fn read(text: &str) -> Result<u64, Error> {
    let bytes = parse_bytes(text).map_err(|error| error.place("--sensitivity"))?;
    if bytes == 0 {
        let refuse = Error::new("use --sensitivity").object(text);
        return Err(refuse.expected("some bytes more, as in `--sensitivity=1GiB`"));
    }
    Ok(bytes)
}

impl Sensitivity {
    /// Asks again with more on every kind of device; `now` is what holds without.
    pub fn ask(
        scenario: &Scenario,
        problem: &Problem,
        now: &[StageReport],
        extra_bytes: u64,
        options: &Options,
    ) -> Result<Self, Error> {
        let with_extra = |extra: &[u64]| scenario.with_extra_capacity(extra);
        let trials = sensitivity(problem, extra_bytes, &with_extra, options)?;
        let text = print::text(problem, extra_bytes, now, &trials, width());
        Ok(Self { text, json: Some(print::json(problem, extra_bytes, &trials)) })
    }

    /// The answer with it below.
    pub fn text(&self, answer: String) -> String {
        if self.text.is_empty() { answer } else { format!("{answer}\n{}", self.text) }
    }

    /// The answer with it under a key of its own.
    pub fn json(&self, mut answer: Value) -> Value {
        if let Some(json) = &self.json {
            answer["sensitivity"] = json.clone();
        }
        answer
    }
}
