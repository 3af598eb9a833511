//! `apportion load`: the weights on the devices of a placement, counted.

use apportion::error::Error;
use apportion::report;

use super::args::LoadArgs;
use super::{Answer, interrupt, runtime};

/// Loads, counts, prints.
pub fn run(args: &LoadArgs) -> Result<Answer, Error> {
    let prepared = runtime::prepare(&args.runtime, false)?;
    let stop = interrupt::flag()?;
    let Some(mut ready) = runtime::start(prepared, &args.runtime, stop)? else {
        return Ok(Answer::interrupted(String::new()));
    };
    ready.log.end(&ready.decoder.placed().devices)?;
    let loading = &ready.loading;
    Ok(if args.output.json {
        Answer::json(&report::loading_json(loading), loading.agrees())
    } else {
        Answer::new(report::loading(loading), loading.agrees())
    })
}
