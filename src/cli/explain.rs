//! `apportion explain`: what a word of a question or an answer means.

use apportion::error::Error;
use apportion::explain;
use apportion::report;

use super::args::ExplainArgs;
use super::{Answer, width};

/// One word, or the list of all.
pub fn run(args: &ExplainArgs) -> Result<Answer, Error> {
    let Some(name) = &args.name else {
        let terms = explain::terms();
        return Ok(if args.output.json {
            Answer::json(&report::terms_json(&terms), true)
        } else {
            Answer::new(report::terms(&terms, width()), true)
        });
    };
    let found = explain::explain(name)?;
    Ok(if args.output.json {
        Answer::json(&report::explained_json(&found), true)
    } else {
        Answer::new(report::explained(&found, width()), true)
    })
}
