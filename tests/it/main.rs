//! The integration tests: one crate, one module per promise.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like the tests themselves")]

mod accelerate;
/// Experts divided among devices that all hold the attention: proven, measured, recorded, refused.
mod affinity;
/// What every solver owes, and that one from outside the crate can take the place of the embedded one.
mod backend;
mod baselines;
/// The real binary in a folder of its own.
mod binary;
/// What certificates prove is so, and what is wrong with one is found.
mod certificates;
/// Headers of checkpoints: what others wrote is read right, what lies is refused.
mod checkpoint;
/// What the commands answer: text as golden files, JSON by shape, exit status.
mod cli;
/// Two placements side by side.
mod diffs;
/// The page on the mathematics describes the programs there are.
mod documentation;
/// What placements are worth under circumstances they were not solved for.
mod evaluates;
/// What is held fixed, asked again.
mod expectations;
/// What `solve --explain` says is so.
mod explained;
/// Words of questions and answers, and where they come from.
mod explains;
/// Maps for other runtimes and of theirs.
mod exports;
/// Flags of llama.cpp, written, read back, and beside what it reports.
mod exports_llama;
mod facts;
/// Files read back as themselves and say nothing that is not so.
mod formats;
/// The trade-off of peak and traffic, and what more memory buys.
mod frontier;
/// GGUF files: what they should contain by their own words, and what made them.
mod gguf_models;
/// Whole layers, all experts, their matrices, single experts.
mod granularity;
/// Grids and searches claim what `solve` says too.
mod grids;
/// Who may know whom, and how long things may be.
mod layers;
/// Placements made real with candle.
#[cfg(feature = "candle")]
mod load;
/// LP files for other solvers.
mod lp;
/// Machines by name and from files.
mod machines;
/// Quantizations mixed by hand.
mod mixes;
/// What must be so whichever solver is asked, with HiGHS.
#[cfg(feature = "highs")]
#[path = "."]
#[allow(clippy::duplicate_mod, reason = "the same tests, another solver")]
mod over_highs {
    /// The planner's defaults but for the solver.
    fn options() -> apportion::plan::Options {
        let solver = apportion::plan::solver::SolverKind::Highs;
        apportion::plan::Options { solver, ..Default::default() }
    }

    mod conflicts;
    mod enumeration;
    mod plan_properties;
    mod starts;
}
/// What must be so whichever solver is asked, with the embedded one.
#[path = "."]
#[allow(clippy::duplicate_mod, reason = "the same tests, another solver")]
mod over_microlp {
    /// The planner's defaults.
    fn options() -> apportion::plan::Options {
        apportion::plan::Options::default()
    }

    /// Which constraints cannot all hold: by hand, and against every placement of small problems.
    mod conflicts;
    /// The planner agrees with complete enumeration, on every objective and bound.
    pub(crate) mod enumeration;
    /// Laws the planner's answers obey on problems too large to enumerate.
    mod plan_properties;
    /// No answer is worse than a placement that was known before.
    mod starts;
}
/// Placements as pages and pictures: well-formed, true, and safe with any name.
mod page;
/// The README's blocks are what the program prints.
mod readme;
/// llama.cpp: which type each tensor gets at each level.
/// From one placement to the next: the fewest bytes, an order of moves, plans that say what is so.
mod rebalance;
mod recipes;
/// Checkpoints against what is predicted for them.
mod reconciles;
/// Every kind of bad input gets one clear message, and nothing worse happens.
mod refusals;
mod remedies;
/// Routing statistics: published ones are read, what cannot be is refused.
mod routing;
/// What each runtime adds to the weights, against what runtimes report.
mod runtimes;
/// From the words of the user to the problem: pins, forbidden places, what lives together.
mod scenarios;
/// Schemas of file formats, the files there are, and the readers.
mod schemas;
/// Completions, manual pages and colour.
mod shell;
/// A load before there is a device: allocators, what asks them, what the command says.
mod simulate;
/// The law of times beside the mean of simulated steps.
mod simulated;
mod support;
mod verify;
mod verify_properties;
/// Every remedy an infeasible answer offers is tried.
mod ways_out;
/// What can be wished for beside pins: headroom, fewer devices, sends per device, fewer moves.
mod wishes;
