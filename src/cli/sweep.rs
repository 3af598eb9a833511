//! `apportion sweep`: a grid of quantizations, contexts and machines, solved point by point.

use apportion::error::Error;
use apportion::report::sweep as print;
use apportion::scenario::Scenario;
use apportion::sweep::{Grid, Machine, Verdict, sweep};
use apportion::units::parse_bytes;

use super::args::SweepArgs;
use super::progress::Progress;
use super::{Answer, flow, width};

/// Reads the grid, answers it, prints it.
pub fn run(args: &SweepArgs) -> Result<Answer, Error> {
    let grid = grid(args)?;
    let options = flow::options(&args.effort)?;
    let rows = flow::on_threads(args.effort.threads, || {
        let progress = Progress::new("points", grid.points());
        sweep(&grid, &options, &|| progress.step())
    })?;
    let verdicts = || rows.iter().flat_map(|row| &row.verdicts);
    let answered = |v: &Verdict| matches!(v, Verdict::Fits(_) | Verdict::Infeasible { .. });
    let something = verdicts().any(|verdict| matches!(verdict, Verdict::Fits(_)));
    let yes = something && verdicts().all(answered);
    Ok(if args.output.json {
        Answer::json(&print::json(&grid, &rows), yes)
    } else if args.csv {
        Answer::new(print::csv(&grid, &rows), yes)
    } else {
        Answer::new(print::text(&grid, &rows, width()), yes)
    })
}

fn grid(args: &SweepArgs) -> Result<Grid, Error> {
    flow::single_only(&args.wishes, &[("sweep", true)])?;
    let machines = machines(args)?;
    let model = flow::model(&args.model)?;
    let schemes = flow::schemes(&args.quants, &args.model, &model)?;
    let (Some(scheme), Some(machine)) = (schemes.first(), machines.first()) else {
        return Err(Error::new("sweep").expected("a quantization and a machine").found("none"));
    };
    let load = flow::load(&args.model)?;
    let contexts =
        if args.contexts.is_empty() { vec![load.context] } else { args.contexts.clone() };
    let limits = flow::limits(&args.wishes, &model)?;
    let scenario = Scenario {
        objectives: flow::objectives(&args.wishes, &limits)?,
        limits,
        model,
        scheme: scheme.clone(),
        load,
        hardware: machine.hardware.clone(),
        constraints: flow::constraints(&args.wishes)?,
        default_pins: flow::default_pins(&args.wishes),
    };
    Ok(Grid { scenario, schemes, contexts, machines })
}

fn machines(args: &SweepArgs) -> Result<Vec<Machine>, Error> {
    let reserve = args.reserve.as_deref().map(parse_bytes).transpose();
    let reserve = reserve.map_err(|error| error.place("--reserve"))?.unwrap_or(0);
    let typed = args.machine.iter().map(|text| {
        let Machine { name, hardware } = Machine::parse(text, reserve)?;
        Ok(Machine { name, hardware: flow::linked(hardware, args.link.as_deref())? })
    });
    let files = args.hardware.iter().map(|path| {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Machine::new(&stem.unwrap_or_default(), flow::hardware_file(path)?)
    });
    let machines = typed.chain(files).collect::<Result<Vec<_>, Error>>()?;
    if machines.is_empty() {
        return Err(Error::new("sweep")
            .expected("a machine at least")
            .found("none")
            .hint("add `--machine 2x24GiB` or `--hardware FILE`"));
    }
    Ok(machines)
}
