//! Whether a certificate proves what it claims, in exact integers, from the problem alone.
//!
//! [`crate::certificate`] has the argument; each step of it is beside the code that takes it. From the whole
//! to the parts: [`stage`] follows the tree of splits and adds up, [`leaf`] reads prices, [`table`] and
//! [`runs`] combine devices, [`segments`] counts the runs that a device needs, [`device`] finds the least that one device can contribute, [`kinds`] says what
//! cannot be told apart, [`sends`] and [`value`] hold the arithmetic of traffic and of units.

mod device;
mod kinds;
mod leaf;
mod runs;
mod segments;
mod sends;
mod stage;
mod table;
mod value;

use crate::certificate::{Certificate, Proof, StageProof, Tree};
use crate::error::Error;
use crate::model::ComponentId;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use leaf::Walk;
use stage::Stage;

const OPERATION: &str = "verify the certificate";

/// What a certificate says of one objective, as far as it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The objective.
    pub kind: ObjectiveKind,
    /// The lower bound that is claimed.
    pub claimed: ObjectiveValue,
    /// The lower bound that the proof gives, no less than the claim; `None` when there is no proof, only the
    /// planner's word.
    pub proven: Option<ObjectiveValue>,
}

/// Verifies every stage: that no placement which respects the problem, and the caps that the certificate
/// states for earlier stages, has less of its objective than claimed.
///
/// Whether those caps are the ones a placement was made under is for the caller to compare, as is the
/// problem's fingerprint.
///
/// # Errors
/// A claim that its proof does not support, with both values; a proof that breaks a rule or asks for more
/// work than is done for anyone; stages that are not the problem's; numbers too large to add up.
pub fn prove(problem: &Problem, certificate: &Certificate) -> Result<Vec<Certified>, Error> {
    problem.validate()?;
    let stages = &certificate.stages;
    let claimed: Vec<&str> = stages.iter().map(|stage| stage.kind.name()).collect();
    let asked: Vec<&str> = problem.objectives.iter().map(|o| o.kind.name()).collect();
    if claimed != asked {
        return Err(Error::new(OPERATION)
            .place("stages")
            .expected(asked.join(", "))
            .found(claimed.join(", ")));
    }
    let mut work = Work { steps: 10 * STEPS_MAX, leaf_steps: STEPS_MAX, leaves: LEAVES_MAX };
    let mut certified = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        work.leaf_steps = STEPS_MAX;
        let proven = prove_stage(problem, &stages[..index], stage, &mut work);
        let proven = proven.map_err(|error| error.object(stage.kind.name()))?;
        certified.push(Certified { kind: stage.kind, claimed: stage.bound, proven });
    }
    Ok(certified)
}

fn prove_stage(
    problem: &Problem,
    earlier: &[StageProof],
    proof: &StageProof,
    work: &mut Work,
) -> Result<Option<ObjectiveValue>, Error> {
    if !value::fits(proof.kind, proof.bound) || !value::fits(proof.kind, proof.cap) {
        let refusal = Error::new(OPERATION).place("bound, cap");
        return Err(refusal.expected("values in the unit of the objective"));
    }
    if proof.cap < proof.bound {
        let refusal = Error::new(OPERATION).place("cap");
        return Err(refusal
            .expected(format!("at least the bound, {}", said(proof.bound)))
            .found(said(proof.cap)));
    }
    let mut under = |trees: &[(&Tree, Walk)]| {
        let stage = Stage::new(problem, earlier, proof, work)?;
        let mut least = None;
        for &(tree, walk) in trees {
            let proven = stage.tree(tree, walk, &mut stage.bounds(), 0, work)?;
            least = least.into_iter().chain(proven).min();
        }
        Ok(least)
    };
    let proven = match &proof.proof {
        Proof::Search => return Ok(None),
        Proof::Zero => Some(0),
        Proof::Relaxation(tree) => under(&[(tree, Walk::Any)])?,
        Proof::Walks { .. } if proof.kind != ObjectiveKind::Traffic => {
            return Err(Error::new(OPERATION)
                .place("walks")
                .found("walks prove something about traffic only"));
        }
        Proof::Walks { single_runs, others } => {
            under(&[(single_runs, Walk::SingleRuns), (others, Walk::SeveralRuns)])?
        }
    };
    supported(problem, proof, proven).map(Some)
}

/// The value that is proven, if it is no less than the claim. Where no placement is left, any claim is true.
fn supported(
    problem: &Problem,
    proof: &StageProof,
    proven: Option<i128>,
) -> Result<ObjectiveValue, Error> {
    // Nothing is below zero.
    let Some(units) = proven.map(|units| units.max(0)) else { return Ok(proof.bound) };
    let peak = proof.kind == ObjectiveKind::PeakUtilization && !matches!(proof.proof, Proof::Zero);
    let claimed = if peak { 1 } else { value::ceiling_units(proof.bound, problem) };
    let value = if peak { proof.bound } else { value::of_units(proof.kind, units, problem) };
    if units >= claimed {
        return Ok(value);
    }
    let found = if peak { "a proof that leaves room for less".to_owned() } else { said(value) };
    let refusal = Error::new(OPERATION).place("the bound");
    Err(refusal.expected(format!("a proof of {}", said(proof.bound))).found(found))
}

fn said(value: ObjectiveValue) -> String {
    match value {
        ObjectiveValue::Bytes(number)
        | ObjectiveValue::Count(number)
        | ObjectiveValue::Time(number) => number.to_string(),
        ObjectiveValue::Ratio(ratio) => ratio.to_string(),
    }
}

/// Elementary steps that one leaf may ask for; all together may ask for ten times as many.
const STEPS_MAX: u128 = 8_000_000_000;
/// Leaves of all trees.
const LEAVES_MAX: usize = 10_000;
/// Entries of 16 bytes that are held at a time.
const ENTRIES_MAX: u128 = 1 << 24;

/// How much is still done for a certificate, and for the leaf at hand, counted before it is done.
#[derive(Debug)]
struct Work {
    steps: u128,
    leaf_steps: u128,
    leaves: usize,
}

impl Work {
    fn spend(&mut self, each: u128, times: u128) -> Result<(), Error> {
        let steps = each.saturating_mul(times);
        let most = self.leaf_steps.min(self.steps);
        if steps > most {
            return Err(Error::new(OPERATION)
                .expected(format!("at most {STEPS_MAX} steps of work for a set of prices"))
                .found(format!("a proof that needs {steps} where {most} are left")));
        }
        self.leaf_steps -= steps;
        self.steps -= steps;
        Ok(())
    }

    /// Whether there is room for so many things of so many entries each.
    fn entries(count: u128, each: u128) -> Result<usize, Error> {
        let entries = count.saturating_mul(each);
        match usize::try_from(count) {
            Ok(count) if entries <= ENTRIES_MAX => Ok(count),
            _ => Err(Error::new(OPERATION)
                .expected(format!("tables of at most {ENTRIES_MAX} entries"))
                .found(format!("a proof that needs {entries}"))),
        }
    }

    fn leaf(&mut self) -> Result<(), Error> {
        let Some(left) = self.leaves.checked_sub(1) else {
            let refusal = Error::new(OPERATION).expected(format!("at most {LEAVES_MAX} leaves"));
            return Err(refusal.found("more"));
        };
        (self.leaves, self.leaf_steps) = (left, STEPS_MAX);
        Ok(())
    }
}

fn refuse<T>(what: &str, id: ComponentId) -> Result<T, Error> {
    Err(Error::new(OPERATION).place(id.to_string()).found(what))
}

fn refuse_weight<T>(what: &str, kind: ObjectiveKind) -> Result<T, Error> {
    Err(Error::new(OPERATION).place(format!("weights.{}", kind.name())).found(what))
}

fn too_large<T>() -> Result<T, Error> {
    Err(Error::new(OPERATION).found("numbers too large to add up"))
}
