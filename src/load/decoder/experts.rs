//! The experts of a layer, wherever they live: one send to every device that has any of the chosen ones, one
//! back.

use candle_core::{DType, Tensor};

use super::Mode;
use super::choose::Choice;
use super::fabric::{Activation, Fabric};
use super::parts::Part;
use crate::error::Error;
use crate::load::devices::{Backing, Device};
use crate::load::{Placed, failed};
use crate::model::ComponentId;

/// What one device has to do for a layer.
struct Group {
    device: usize,
    /// The tokens that come here, as rows of the layer's activations, in order.
    tokens: Vec<u32>,
    /// Experts with work, in order.
    experts: Vec<Work>,
}

/// One expert's tokens.
struct Work {
    expert: usize,
    /// As rows of what came to the device.
    rows: Vec<u32>,
    weights: Vec<f32>,
}

/// The chosen experts by their devices, in order.
fn groups(choices: &[Vec<Choice>], homes: &[usize]) -> Vec<Group> {
    let mut devices: Vec<usize> = homes.to_vec();
    devices.sort_unstable();
    devices.dedup();
    devices.into_iter().filter_map(|device| group(choices, homes, device)).collect()
}

fn group(choices: &[Vec<Choice>], homes: &[usize], device: usize) -> Option<Group> {
    let here = |choice: &&Choice| homes.get(choice.expert) == Some(&device);
    let mut tokens: Vec<u32> = Vec::new();
    let mut work: Vec<Work> = Vec::new();
    for (token, choices) in (0..).zip(choices) {
        let mut own = choices.iter().filter(here).peekable();
        if own.peek().is_none() {
            continue;
        }
        let row = u32::try_from(tokens.len()).ok()?;
        tokens.push(token);
        for choice in own {
            match work.iter_mut().find(|work| work.expert == choice.expert) {
                Some(work) => {
                    work.rows.push(row);
                    work.weights.push(choice.weight);
                }
                None => work.push(Work {
                    expert: choice.expert,
                    rows: vec![row],
                    weights: vec![choice.weight],
                }),
            }
        }
    }
    // Always in the same order, so that sums do not depend on who was chosen first.
    work.sort_by_key(|work| work.expert);
    (!work.is_empty()).then_some(Group { device, tokens, experts: work })
}

/// A group with what is for its device, there or on the way, and what the device makes of it.
struct Job<'a> {
    device: &'a Device,
    group: Group,
    input: Activation,
    output: Option<Result<Tensor, Error>>,
}

/// The weighted answers of the chosen experts, `[tokens, hidden]`, where the activations came from.
pub(super) fn experts(
    placed: &Placed,
    fabric: &Fabric,
    mode: Mode,
    layer: u32,
    homes: &[usize],
    x: &Activation,
    choices: &[Vec<Choice>],
) -> Result<Activation, Error> {
    let groups = groups(choices, homes);
    let mut jobs = groups
        .into_iter()
        .map(|group| {
            let mut input = select(fabric, x, &group.tokens)?;
            // A GPU gives by its own thread, which may be busy with its own experts later.
            if fabric.device(x.at())?.backing != Backing::Cpu {
                input = fabric.send(&input, group.device)?;
            }
            Ok(Job { device: fabric.device(group.device)?, group, input, output: None })
        })
        .collect::<Result<Vec<Job<'_>>, Error>>()?;
    let work = |job: &mut Job<'_>| {
        let input = fabric.send(&job.input, job.group.device);
        job.output = Some(input.and_then(|input| answer(placed, layer, &job.group, &input)));
    };
    match mode {
        Mode::Sequential => {
            for job in &mut jobs {
                job.device.run(|| work(job));
            }
        }
        Mode::Concurrent => together(&mut jobs, &work),
    }
    collect(fabric, x, jobs)
}

/// Every job on its own device, at the same time.
fn together<'a>(jobs: &mut [Job<'a>], work: &(impl Fn(&mut Job<'a>) + Sync)) {
    match jobs {
        [] => {}
        [only] => {
            let device = only.device;
            device.run(|| work(only));
        }
        [first, rest @ ..] => {
            let device = first.device;
            device.workers.in_place_scope(|scope| {
                scope.spawn(|_| work(first));
                together(rest, work);
            });
        }
    }
}

/// These rows of the activations; all of them without a copy.
fn select(fabric: &Fabric, x: &Activation, tokens: &[u32]) -> Result<Activation, Error> {
    let tensor = x.on(x.at())?;
    if tensor.dim(0).is_ok_and(|rows| rows == tokens.len()) {
        return Ok(x.clone());
    }
    let rows = fabric
        .device(x.at())?
        .run(|| tensor.index_select(&Tensor::new(tokens, tensor.device())?, 0));
    Ok(Activation::new(rows.map_err(failed("choose tokens"))?, x.at()))
}

/// What the experts of a group say together, `[tokens of the group, hidden]`.
fn answer(placed: &Placed, layer: u32, group: &Group, input: &Activation) -> Result<Tensor, Error> {
    let x = input.on(group.device)?;
    let wrong = failed("add up the answers of experts");
    let mut sum: Option<Tensor> = None;
    for work in &group.experts {
        let expert = u32::try_from(work.expert).unwrap_or(u32::MAX);
        let part = Part::on(placed, ComponentId::Expert(layer, expert), group.device)?;
        let all = work.rows.len() == group.tokens.len();
        let rows = Tensor::new(work.rows.as_slice(), x.device()).map_err(&wrong)?;
        let own = if all { x.clone() } else { x.index_select(&rows, 0).map_err(&wrong)? };
        let y = part.feed_forward(&own)?;
        let mut add = || {
            let weights = Tensor::new(work.weights.as_slice(), x.device())?;
            let y = y.broadcast_mul(&weights.to_dtype(y.dtype())?.unsqueeze(1)?)?;
            match (sum.take(), all) {
                (None, true) => Ok(y),
                (None, false) => x.zeros_like()?.index_add(&rows, &y, 0),
                (Some(sum), true) => sum + y,
                (Some(sum), false) => sum.index_add(&rows, &y, 0),
            }
        };
        sum = Some(add().map_err(&wrong)?);
    }
    sum.ok_or_else(|| Error::new("ask experts").found("none was chosen"))
}

/// All answers, back where the activations came from and added up in the order of the devices.
fn collect(fabric: &Fabric, x: &Activation, jobs: Vec<Job<'_>>) -> Result<Activation, Error> {
    let home = fabric.device(x.at())?;
    let whole = x.on(x.at())?;
    let rows = whole.dim(0).map_err(failed("count tokens"))?;
    let mut sum: Option<Tensor> = None;
    for job in jobs {
        let output =
            job.output.unwrap_or_else(|| Err(Error::new("ask experts").found("no answer")))?;
        let back = fabric.send(&Activation::new(output, job.group.device), x.at())?;
        let y = back.on(x.at())?;
        let tokens = &job.group.tokens;
        let added = home.run(|| {
            if tokens.len() == rows {
                return sum.take().map_or_else(|| Ok(y.clone()), |sum| sum + y);
            }
            let base = sum.take().map_or_else(|| whole.zeros_like(), Ok)?;
            base.index_add(&Tensor::new(tokens.as_slice(), y.device())?, y, 0)
        });
        sum = Some(added.map_err(failed("add up the answers of experts"))?);
    }
    let sum = sum.ok_or_else(|| Error::new("ask experts").found("no token chose any"))?;
    Ok(Activation::new(sum, x.at()))
}

/// The router's scores of every token, in host memory.
pub(super) fn scores(logits: &Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
    logits.to_dtype(DType::F32)?.to_vec2()
}
