//! `apportion inspect`: components, tensors and bytes.

use apportion::error::Error;
use apportion::memory::Demand;
use apportion::report::{self, json};

use super::args::InspectArgs;
use super::{Answer, flow};

/// Sizes the model and prints it.
pub fn run(args: &InspectArgs) -> Result<Answer, Error> {
    let (model, scheme, load) = flow::model_facts(&args.model)?;
    let demand = Demand::of(&model, &scheme, &load)?;
    if args.output.json {
        return Ok(Answer::json(&json::inventory(&model, &scheme, &demand), true));
    }
    let mut text = report::inventory(&model, &scheme, &load, &demand);
    if args.tensors {
        text.push('\n');
        text.push_str(&report::tensors(&demand));
    }
    Ok(Answer::new(text, true))
}
