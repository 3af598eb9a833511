//! `apportion calibrate`: how fast the devices at hand are, as a hardware file.

use std::time::Duration;

use apportion::error::{Error, printable};
use apportion::files::{check_target, write_atomically};
use apportion::load::calibrate::{Options, TYPES_DEFAULT, calibrate, parse_type};
use apportion::load::devices::{Planned, Wishes, bind};
use apportion::report;

use super::args::CalibrateArgs;
use super::{Answer, flow, interrupt, runtime, say};

/// Measures, writes, prints.
pub fn run(args: &CalibrateArgs) -> Result<Answer, Error> {
    if let Some(link) = &args.machine.link {
        return Err(Error::new("calibrate")
            .object(format!("--link {link}"))
            .expected("links to be measured")
            .found("one that is stated"));
    }
    if let Some(path) = &args.output_file {
        check_target(path)?;
    }
    let types = args.types.iter().map(|text| parse_type(text)).collect::<Result<Vec<_>, _>>()?;
    let hardware = flow::hardware(&args.machine)?;
    let bindings = args.device.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let threads = args.threads.map_or_else(runtime::cores, runtime::whole);
    let wishes = Wishes { bindings, budgets: Vec::new(), threads };
    let bound = bind(&Planned::empty(&hardware), &wishes)?;
    for notice in &bound.notices {
        say(&format!("note: {}", printable(notice)));
    }
    let stop = interrupt::flag()?;
    let options = Options {
        types: if types.is_empty() { TYPES_DEFAULT.to_vec() } else { types },
        time: Duration::from_secs(args.seconds),
        stop,
    };
    let Some(calibration) = calibrate(&bound.devices, &options)? else {
        say("nothing is written");
        return Ok(Answer::interrupted(String::new()));
    };
    let text = calibration.apply(&hardware)?.to_yaml();
    if let Some(path) = &args.output_file {
        write_atomically(path, &text)?;
    }
    if args.output.json {
        let file = args.output_file.as_ref().map(|path| path.display().to_string());
        return Ok(Answer::json(
            &report::calibration_json(&calibration, file.as_deref(), &text),
            true,
        ));
    }
    let figures = report::calibration(&calibration);
    if args.output_file.is_some() {
        return Ok(Answer::new(figures, true));
    }
    say(figures.trim_end());
    Ok(Answer::new(text, true))
}
