//! What more memory would buy: the same question, asked again with more on a device.
//!
//! Every figure is the optimum of a problem that was solved, none a derivative: what an objective gains from
//! another gibibyte comes in steps.

use rayon::prelude::*;

use crate::error::Error;
use crate::plan::{self, LimitReached, Options, StageReport};
use crate::problem::Problem;
use crate::sweep::{Found, answer};

/// More on one device, or on every GPU, and what came of it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Indices of the devices that got more, each as much.
    pub devices: Vec<usize>,
    /// Devices that are interchangeable with the one that got it, itself among them: more on any of them is
    /// worth the same. Of every GPU, the GPUs.
    pub alike: Vec<usize>,
    /// What is then the answer.
    pub verdict: Verdict,
}

/// An answer, as far as optima go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is a verified placement; one report per objective, in order.
    Solved(Vec<StageReport>),
    /// Proven: there is none.
    Infeasible,
    /// A limit was reached before anything was known.
    Unknown(LimitReached),
}

/// Makes the problem with so many bytes more on each device, in the problem's order.
pub type WithExtra<'a> = &'a (dyn Fn(&[u64]) -> Result<Problem, Error> + Sync);

/// Asks again for every kind of device with `extra_bytes` more on one of it, and with as much more on every
/// GPU where there are several; devices in the problem's order, all GPUs last.
///
/// Objectives stay in their order: more memory never worsens the first one's optimum, but a later one's may
/// rise where what an earlier one gained leaves it less room. Every question has the limits of `options` to
/// itself; without a time limit the answer is the same on any number of threads.
///
/// # Errors
/// As [`plan::solve`], and those of `with_extra`, as when an amount is more than a device may have.
pub fn sensitivity(
    problem: &Problem,
    extra_bytes: u64,
    with_extra: WithExtra<'_>,
    options: &Options,
) -> Result<Vec<Trial>, Error> {
    let ask = |(devices, alike): (Vec<usize>, Vec<usize>)| {
        let extra = |device: usize| if devices.contains(&device) { extra_bytes } else { 0 };
        let extra: Vec<u64> = (0..problem.devices.len()).map(extra).collect();
        let verdict = verdict(&with_extra(&extra)?, options)?;
        Ok(Trial { devices, alike, verdict })
    };
    // Collected in order, so that it does not matter who is first.
    cases(problem).into_par_iter().map(ask).collect()
}

fn verdict(problem: &Problem, options: &Options) -> Result<Verdict, Error> {
    // Why it does not fit is a longer question, and not this one.
    if plan::is_feasible(problem, options)? == Some(false) {
        return Ok(Verdict::Infeasible);
    }
    Ok(match answer(problem, options)? {
        Found::Placed(solved, _) => Verdict::Solved(solved.stages),
        Found::Infeasible(_) => Verdict::Infeasible,
        Found::Unknown(limit) => Verdict::Unknown(limit),
    })
}

/// Which devices get more, with those that stand for the same.
fn cases(problem: &Problem) -> Vec<(Vec<usize>, Vec<usize>)> {
    // What is on a device now tells it from others: leaving it is what counts then.
    let alike = |a, b| problem.current.is_none() && problem.interchangeable(a, b);
    let mut classes: Vec<Vec<usize>> = Vec::new();
    for device in 0..problem.devices.len() {
        match classes.iter_mut().find(|class| alike(class[0], device)) {
            Some(class) => class.push(device),
            None => classes.push(vec![device]),
        }
    }
    let gpus: Vec<usize> = problem.gpus().collect();
    let all = (gpus.len() > 1).then(|| (gpus.clone(), gpus));
    classes.into_iter().map(|class| (vec![class[0]], class)).chain(all).collect()
}
