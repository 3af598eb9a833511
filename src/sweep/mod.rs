//! Many questions at once: a grid of quantizations, contexts and machines, and the most that fits.
//!
//! Points in, results out: every point is planned and verified like a question of its own, points run side
//! by side, and results come in the order of the grid whoever finishes first. What points share is made
//! once: what a quantization stores of the model, and what a quantization needs at a context.

mod answer;
mod fit;
mod machine;

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::error::Error;
use crate::memory::Demand;
use crate::plan::{self, LimitReached, Options, Shortfall};
use crate::problem::Problem;
use crate::quant::{Scheme, Storage};
use crate::scenario::Scenario;
use crate::units::Ratio;
use crate::verify::Traffic;

pub(crate) use answer::answer_given;
pub use answer::{Found, answer};
pub use fit::{Edge, Gpus, Trial, fewest_gpus, longest_context, schemes_that_fit};
pub use machine::Machine;

/// The most points one sweep may have.
pub const POINTS_MAX: usize = 100_000;

/// The node budget of each program of a point, unless told otherwise: a fiftieth of what one question
/// gets, because the last part of a peak takes most of the nodes and a table shows little of it. What it
/// leaves unproven is marked.
pub const NODE_LIMIT: u64 = 200;

/// The question: every combination of the three lists.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Model, load and wishes; each point has a quantization, a context and a machine in place of these.
    pub scenario: Scenario,
    /// Quantizations.
    pub schemes: Vec<Scheme>,
    /// Tokens per sequence.
    pub contexts: Vec<u64>,
    /// Machines.
    pub machines: Vec<Machine>,
}

/// One quantization at one context, on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index into [`Grid::schemes`].
    pub scheme: usize,
    /// Tokens per sequence.
    pub context: u64,
    /// What there is to place; `None` when it could not be sized.
    pub size: Option<Size>,
    /// One per machine, in their order.
    pub verdicts: Vec<Verdict>,
}

/// What there is to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Elements of all tensors in the quantization's layout.
    pub elements: u64,
    /// Their bytes as stored.
    pub stored_bytes: u64,
    /// Their resident bytes, with the copies the runtime makes.
    pub weights_bytes: u64,
    /// KV cache and recurrent state of all layers.
    pub kv_cache_bytes: u64,
}

/// What came of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is a verified placement.
    Fits(Worth),
    /// Proven: no placement satisfies the constraints.
    Infeasible {
        /// Bytes that the placement which comes closest lacks in total; 0 when no limit left one.
        missing_bytes: u64,
    },
    /// A limit was reached before anything was known.
    Unknown(LimitReached),
    /// The point states no problem, as when a pin names a device that the machine lacks.
    Refused(String),
}

/// What a placement is worth; the placement itself is not kept, because a grid has many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worth {
    /// The largest required / capacity over GPUs.
    pub peak: Ratio,
    /// Bytes on CPU devices.
    pub spill_bytes: u64,
    /// Transfers per token.
    pub traffic: Traffic,
    /// What stopped the proof; `None` when every objective is proven.
    pub limit: Option<LimitReached>,
    /// Branch-and-bound nodes.
    pub nodes: u64,
}

impl Grid {
    /// How many points there are.
    pub fn points(&self) -> usize {
        let rows = self.schemes.len().saturating_mul(self.contexts.len());
        rows.saturating_mul(self.machines.len())
    }

    /// Every list has something, nothing twice, and the product is bounded.
    fn check(&self) -> Result<(), Error> {
        let names = self.schemes.iter().map(Scheme::name).collect();
        once("--quants", "a quantization", names)?;
        once("--contexts", "a context", self.contexts.iter().map(u64::to_string).collect())?;
        once("--machine", "a machine", self.machines.iter().map(|m| m.name.clone()).collect())?;
        if self.points() > POINTS_MAX {
            return Err(Error::new("sweep")
                .expected(format!("at most {POINTS_MAX} points"))
                .found(self.points().to_string())
                .hint("fewer --quants, --contexts or machines"));
        }
        Ok(())
    }
}

fn once(place: &str, one: &str, names: Vec<String>) -> Result<(), Error> {
    let refuse = || Error::new("sweep").place(place);
    if names.is_empty() {
        return Err(refuse().expected(format!("{one} at least")).found("none"));
    }
    let mut seen = BTreeSet::new();
    for name in names {
        if let Some(twice) = seen.replace(name) {
            return Err(refuse().expected("each once").found(format!("`{twice}` twice")));
        }
    }
    Ok(())
}

/// Answers every point: a row per quantization and context, in the order of the lists.
///
/// `done` is called once per point that has been answered, from any thread. The same grid and options give
/// the same rows on any number of threads, unless a time limit is set; limits are per point.
///
/// # Errors
/// An empty list, something twice in one, more than [`POINTS_MAX`] points. What is wrong with single points
/// is among the rows.
pub fn sweep(grid: &Grid, options: &Options, done: &(dyn Fn() + Sync)) -> Result<Vec<Row>, Error> {
    grid.check()?;
    let of_scheme = |(index, scheme): (usize, &Scheme)| -> Vec<Row> {
        let stored = scheme.store(&grid.scenario.model).map_err(|error| error.to_string());
        let of_context = |&context: &u64| row(grid, (index, &stored), context, options, done);
        grid.contexts.par_iter().map(of_context).collect()
    };
    let rows: Vec<Vec<Row>> = grid.schemes.par_iter().enumerate().map(of_scheme).collect();
    Ok(rows.into_iter().flatten().collect())
}

fn row(
    grid: &Grid,
    (scheme, stored): (usize, &Result<Storage, String>),
    context: u64,
    options: &Options,
    done: &(dyn Fn() + Sync),
) -> Row {
    let mut scenario = grid.scenario.clone();
    scenario.scheme = grid.schemes[scheme].clone();
    scenario.load.context = context;
    let demand = stored
        .clone()
        .and_then(|stored| scenario.demand_of_stored(stored).map_err(|error| error.to_string()));
    let of_machine = |machine: &Machine| {
        let verdict = match &demand {
            Ok(demand) => {
                let problem = on_machine(&scenario, machine, demand);
                problem
                    .and_then(|problem| verdict(&problem, options))
                    .unwrap_or_else(|error| Verdict::Refused(error.to_string()))
            }
            Err(refused) => Verdict::Refused(refused.clone()),
        };
        done();
        verdict
    };
    let verdicts = grid.machines.par_iter().map(of_machine).collect();
    Row { scheme, context, size: demand.as_ref().ok().map(size), verdicts }
}

fn on_machine(scenario: &Scenario, machine: &Machine, demand: &Demand) -> Result<Problem, Error> {
    Scenario { hardware: machine.hardware.clone(), ..scenario.clone() }.problem_of(demand)
}

fn size(demand: &Demand) -> Size {
    Size {
        elements: demand.storage.elements(),
        stored_bytes: demand.storage.bytes(),
        weights_bytes: demand.weights_bytes(),
        kv_cache_bytes: demand.kv_cache_bytes(),
    }
}

fn verdict(problem: &Problem, options: &Options) -> Result<Verdict, Error> {
    // More than there is in all: proven, and what is left to know is how much is missing.
    if plainly_short(problem) {
        return Ok(infeasible(&plan::shortfalls(problem, options)?));
    }
    Ok(match answer(problem, options)? {
        Found::Placed(solved, measured) => Verdict::Fits(Worth {
            peak: measured.peak(),
            spill_bytes: measured.spill_bytes(),
            traffic: measured.traffic,
            limit: solved.limit,
            nodes: solved.solver.nodes,
        }),
        Found::Infeasible(why) => infeasible(&why.shortfalls),
        Found::Unknown(limit) => Verdict::Unknown(limit),
    })
}

fn infeasible(shortfalls: &[Shortfall]) -> Verdict {
    let missing = shortfalls.iter().map(|shortfall| shortfall.missing_bytes);
    Verdict::Infeasible { missing_bytes: missing.fold(0, u64::saturating_add) }
}

/// More bytes than all devices together have: no rule, order or solver matters then.
fn plainly_short(problem: &Problem) -> bool {
    let demands = problem.components.iter().map(|component| &component.demand);
    let needed = demands.map(|d| u128::from(d.weights_bytes) + u128::from(d.kv_cache_bytes));
    let capacity = (0..problem.devices.len()).map(|device| u128::from(problem.limit_bytes(device)));
    needed.sum::<u128>() > capacity.sum()
}
