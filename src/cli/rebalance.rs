//! `apportion rebalance`: from a placement to the one that is best now.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apportion::error::{Error, printable};
use apportion::files::{TEXT_BYTES_MAX, check_target, read_text, write_atomically};
use apportion::hardware::{DeviceKind, Spec};
use apportion::migrate::{Changes, Goal, Next, Plan, Replayed, Slack, Stuck, rebalance, slack};
use apportion::model::Model;
use apportion::placement::Record;
use apportion::quant::Override;
use apportion::report::{self, Solution, json};
use apportion::routing::Statistics;
use apportion::scenario::parse_objectives;
use apportion::trace::{DeviceMemory, Reader};
use apportion::units::parse_bytes;

use super::args::RebalanceArgs;
use super::flow::{self, Found};
use super::solve;
use super::{Answer, width};

/// Reads the placement and what is different, solves, orders the moves, writes, prints.
pub fn run(args: &RebalanceArgs) -> Result<Answer, Error> {
    let model = args.model.as_deref().map(Model::resolve).transpose()?;
    let record = placement(&args.placement, model.as_ref())?;
    let changes = changes(args, &record)?;
    let goal = goal(args)?;
    let objectives = (!args.objective.is_empty()).then(|| parse_objectives(&args.objective));
    let objectives = objectives.transpose()?;
    let host = args.host.as_deref().map(parse_bytes).transpose();
    let host = host.map_err(|error| error.place("--host"))?;
    let options = flow::options(&args.effort)?;
    args.output_file.as_deref().map(check_target).transpose()?;
    args.plan.as_deref().map(check_target).transpose()?;
    let started = Instant::now();
    let next = flow::on_threads(args.effort.threads, || {
        rebalance(&record, &changes, goal, objectives, &options)
    })?;
    let elapsed = started.elapsed();
    answer(args, &record, &next, &options, host, elapsed)
}

/// Reads a placement file that can be trusted as far as the verifier goes.
pub fn placement(path: &Path, model: Option<&Model>) -> Result<Record, Error> {
    let source = path.display().to_string();
    let text = read_text(path, "read the placement")?;
    Record::from_yaml(&text, &source, model)
}

fn answer(
    args: &RebalanceArgs,
    record: &Record,
    next: &Next,
    options: &apportion::plan::Options,
    host: Option<u64>,
    elapsed: Duration,
) -> Result<Answer, Error> {
    let Next { scenario, problem, found, .. } = next;
    if let Some(bytes) = next.least_bytes {
        return Ok(if args.output.json {
            let value = serde_json::json!({ "status": "infeasible", "least_moved_bytes": bytes });
            Answer::json(&value, false)
        } else {
            Answer::new(report::too_little(bytes), false)
        });
    }
    let (solved, measured) = match found {
        Found::Placed(solved, measured) => (solved, measured),
        Found::Infeasible(why) => {
            let remedies = flow::ways_out(scenario, options, elapsed);
            return Ok(if args.output.json {
                Answer::json(&json::infeasible(scenario, problem, why, &remedies), false)
            } else {
                Answer::new(report::infeasible(scenario, problem, why, &remedies), false)
            });
        }
        Found::Unknown(limit) if args.output.json => {
            return Ok(Answer::json(&json::unknown(*limit), false));
        }
        Found::Unknown(limit) => return Ok(Answer::new(solve::unknown(*limit), false)),
    };
    let to = Record::of(scenario, problem, solved, measured);
    let solution = Solution { scenario, problem, solved, measured, elapsed };
    let ordered = Plan::between(record, &to, host)?;
    let yes = ordered.is_ok();
    let ordered = match ordered {
        Ok(plan) => {
            write_plan(args.plan.as_deref(), &plan)?;
            solve::write(&solution, args.output_file.as_deref())?;
            let replayed = plan.replay().map_err(|wrong| Error::new("replay").found(wrong))?;
            Ok((plan, replayed))
        }
        Err(stuck) => Err(stuck),
    };
    let asked = args.max_move.is_some() || args.horizon.is_some() || !args.objective.is_empty();
    let more = if asked { None } else { slack(next, options)? };
    Ok(if args.output.json {
        Answer::json(&as_json(&solution, &ordered, next, more.as_ref()), yes)
    } else {
        Answer::new(as_text(&solution, &ordered, next, more.as_ref()), yes)
    })
}

type Ordered = Result<(Plan, Replayed), Stuck>;

fn as_text(
    solution: &Solution<'_>,
    ordered: &Ordered,
    next: &Next,
    more: Option<&Slack>,
) -> String {
    let mut text = report::solution(solution, width());
    text.extend(next.horizon.as_ref().map(report::horizon));
    text.extend(more.map(|more| report::slack(more, width())));
    text.push('\n');
    match ordered {
        Ok((plan, replayed)) => text.push_str(&report::migration(plan, replayed)),
        Err(Stuck { proven, waiting }) => {
            text.push_str(if *proven {
                "no order of what has to move keeps to the limits: with all that can move moved\n"
            } else {
                "no order of moves was found that keeps to the limits: with what could move moved\n"
            });
            text.extend(waiting.iter().map(|line| format!("  {}\n", printable(line))));
            text.push_str(
                "a larger --host, or more --usable memory while things move, makes room\n",
            );
        }
    }
    text
}

fn as_json(
    solution: &Solution<'_>,
    ordered: &Ordered,
    next: &Next,
    more: Option<&Slack>,
) -> serde_json::Value {
    let mut value = json::solution(solution);
    value["horizon"] = next.horizon.as_ref().map(report::horizon_json).into();
    value["with_more_moves"] = more.map(report::slack_json).into();
    value["plan"] = match ordered {
        Ok((plan, replayed)) => report::migration_json(plan, replayed),
        Err(Stuck { proven, waiting }) => {
            serde_json::json!({ "proven": proven, "waiting": waiting })
        }
    };
    value
}

fn write_plan(path: Option<&Path>, plan: &Plan) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    let text = plan.to_yaml();
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if bytes > TEXT_BYTES_MAX {
        return Err(Error::new("write the plan")
            .object(path.display().to_string())
            .expected(format!("at most {TEXT_BYTES_MAX} bytes, which can be read back"))
            .found(bytes.to_string())
            .hint("--max-move moves less at a time"));
    }
    write_atomically(path, &text)
}

/// Reads what is different.
fn changes(args: &RebalanceArgs, record: &Record) -> Result<Changes, Error> {
    let spec =
        |text: &String| Spec::parse(text, DeviceKind::Gpu).map_err(|error| error.place("--add"));
    let overrides = args.quant_override.iter().map(|text| Override::parse(text));
    let mut stated: Vec<(String, u64)> =
        args.usable.iter().map(|text| usable(text)).collect::<Result<_, _>>()?;
    if let Some(path) = &args.measured {
        let measured = measured(path, record)?;
        let named = |id: &String| stated.iter().any(|(other, _)| other == id);
        let others: Vec<_> = measured.into_iter().filter(|(id, _)| !named(id)).collect();
        stated.extend(others);
    }
    Ok(Changes {
        usable: stated,
        lost: args.lose.clone(),
        added: args.add.iter().map(spec).collect::<Result<_, _>>()?,
        hardware: args.hardware.as_deref().map(flow::hardware_file).transpose()?,
        context: args.context,
        batch: args.batch,
        routing: routing(args)?,
        overrides: overrides.collect::<Result<_, _>>()?,
    })
}

fn routing(args: &RebalanceArgs) -> Result<Option<Vec<Arc<Statistics>>>, Error> {
    if args.routing.is_empty() {
        return Ok(None);
    }
    let read = |path: &std::path::PathBuf| Statistics::read(path).map(Arc::new);
    args.routing.iter().map(read).collect::<Result<Vec<_>, _>>().map(Some)
}

/// What the last moment of a memory log says of the devices of the placement, where that is less than they have.
fn measured(path: &Path, record: &Record) -> Result<Vec<(String, u64)>, Error> {
    let source = path.display().to_string();
    let text = read_text(path, "read the memory log")?;
    let moments = Reader::whole(&text).map_err(|error| error.object(&source))?;
    let Some(last) = moments.last() else { return Ok(Vec::new()) };
    let devices = &record.scenario.hardware.devices;
    let known = |memory: &&DeviceMemory| devices.iter().find(|device| device.id == memory.id);
    if last.devices.iter().all(|memory| known(&memory).is_none()) {
        return Err(Error::new("use the memory log")
            .object(source)
            .expected("devices of the placement")
            .found("only others"));
    }
    // A ledger does not have what is kept free, and a driver's own memory is not free.
    let kept = record.scenario.problem()?.devices;
    let less = |memory: &DeviceMemory| {
        let capacity = known(&memory).map(|device| device.capacity_bytes)?;
        let kept = kept.iter().find(|device| device.id == memory.id);
        let kept_bytes = kept.map_or(0, |device| device.reserve_bytes);
        let usable = memory.usable_bytes().saturating_add(kept_bytes);
        (usable < capacity).then(|| (memory.id.clone(), usable))
    };
    Ok(last.devices.iter().filter_map(less).collect())
}

/// `gpu0=9GiB`.
pub fn usable(text: &str) -> Result<(String, u64), Error> {
    let refuse = || Error::new("read --usable").object(text);
    let (device, size) = text
        .split_once('=')
        .ok_or_else(|| refuse().expected("a device and a size, as in `gpu0=9GiB`"))?;
    let bytes = parse_bytes(size).map_err(|error| error.place("--usable"))?;
    Ok((device.trim().to_owned(), bytes))
}

fn goal(args: &RebalanceArgs) -> Result<Goal, Error> {
    let most = args.max_move.as_deref().map(parse_bytes).transpose();
    let most = most.map_err(|error| error.place("--max-move"))?;
    Ok(match (most, args.horizon) {
        (Some(bytes), _) => Goal::AtMost(bytes),
        (None, Some(tokens)) => Goal::Horizon(tokens),
        (None, None) => Goal::LeastMoved,
    })
}
