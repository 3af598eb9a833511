//! `apportion inspect`: a model as a tree, with its bytes.

use apportion::error::Error;
use apportion::memory::Demand;
use apportion::report::{self, Filter, Inspection};

use super::args::InspectArgs;
use super::{Answer, flow};

/// Sizes the model and prints it.
pub fn run(args: &InspectArgs) -> Result<Answer, Error> {
    let (model, scheme, load) = flow::model_facts(&args.model)?;
    let demand = Demand::of(&model, &scheme, &load)?;
    let filter = Filter::new(args.component.as_deref())?;
    let inspection = Inspection {
        model: &model,
        scheme: &scheme,
        load: &load,
        demand: &demand,
        filter: &filter,
    };
    if args.output.json {
        return Ok(Answer::json(&report::inspection_json(&inspection)?, true));
    }
    let mut text = report::inspection(&inspection)?;
    if args.tensors || args.component.is_some() {
        text.push('\n');
        text.push_str(&report::tensors(&demand, &filter)?);
    }
    Ok(Answer::new(text, true))
}
