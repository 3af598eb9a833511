//! What `fit` found, and what is proven about the amounts beyond it.

use serde_json::{Value, json};

use super::{Align, Table, plural};
use crate::memory::Load;
use crate::sweep::{Edge, Gpus, Trial};
use crate::units::{bits_per_weight, format_bytes};

/// What was looked for and found.
#[derive(Clone, Debug)]
pub enum Sought {
    /// The longest context.
    Context {
        /// In tokens.
        edge: Edge,
        /// Contexts are multiples of it.
        step: u64,
        /// The longest that was looked for.
        most: u64,
    },
    /// The best quantization.
    Quant {
        /// Every candidate, heaviest first.
        trials: Vec<Trial>,
        /// Index of the heaviest that fits.
        best: Option<usize>,
    },
    /// The fewest GPUs.
    Gpus(Gpus),
}

impl Sought {
    /// Whether there is an answer.
    pub fn found(&self) -> bool {
        match self {
            Self::Context { edge, .. } | Self::Gpus(Gpus { edge, .. }) => edge.fits.is_some(),
            Self::Quant { best, .. } => best.is_some(),
        }
    }

    /// Whether everything better is proven not to fit, or was not asked for.
    pub fn proven(&self) -> bool {
        match self {
            Self::Context { edge, step, most } => match edge.misses {
                Some(misses) => misses - edge.fits.unwrap_or(0) == *step,
                None => edge.fits == Some(most - most % step),
            },
            Self::Quant { trials, best } => {
                let better = &trials[..best.unwrap_or(trials.len())];
                better.iter().all(|trial| trial.fits == Some(false))
            }
            Self::Gpus(Gpus { edge, most, .. }) => match (edge.fits, edge.misses) {
                (Some(fits), misses) => misses.is_none_or(|misses| misses + 1 == fits),
                (None, misses) => misses == Some(*most),
            },
        }
    }
}

/// The answer in words; the placement there is printed below it.
pub fn text(sought: &Sought) -> String {
    match sought {
        Sought::Context { edge, step, most } => context(*edge, *step, *most),
        Sought::Quant { trials, best } => quantizations(trials, *best),
        Sought::Gpus(gpus) => fewest(gpus, sought.proven()),
    }
}

fn context(edge: Edge, step: u64, most: u64) -> String {
    let last = most - most % step;
    let open = |from: u64, to: u64| match to.saturating_sub(from) / step {
        0 => format!("{from} is undecided within the limits"),
        _ => format!("{from} to {to} are undecided within the limits"),
    };
    let found = match edge.fits {
        Some(tokens) => format!("longest context: {}", plural(tokens, "token")),
        None => "no context fits".to_owned(),
    };
    let next = edge.fits.unwrap_or(0) + step;
    let beyond = match edge.misses {
        Some(misses) if misses == next => format!("; {misses} proven not to fit"),
        Some(misses) => format!("; {}, {misses} proven not to fit", open(next, misses - step)),
        None if next <= last => format!("; {}", open(next, last)),
        None if most == Load::CONTEXT_MAX => ", the longest that can be asked for".to_owned(),
        None => ", the longest that was looked for".to_owned(),
    };
    format!("{found}{beyond}\n")
}

fn quantizations(trials: &[Trial], best: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("quantization", Align::Left),
        ("bits/weight", Align::Right),
        ("weights", Align::Right),
        ("fits", Align::Left),
    ]);
    for trial in trials {
        let fits = match trial.fits {
            Some(true) => "yes",
            Some(false) => "no",
            None => "undecided within the limits",
        };
        table.row([
            trial.scheme.name(),
            bits_per_weight(trial.weights_bytes, trial.elements),
            format_bytes(trial.weights_bytes),
            fits.to_owned(),
        ]);
    }
    let head = match best.and_then(|best| trials.get(best)) {
        Some(trial) => format!(
            "best quantization: {}, {} bits per weight",
            trial.scheme.name(),
            bits_per_weight(trial.weights_bytes, trial.elements)
        ),
        None => "no quantization fits".to_owned(),
    };
    format!("{head}\n\n{}", table.render())
}

fn fewest(gpus: &Gpus, proven: bool) -> String {
    let Gpus { edge, most, .. } = gpus;
    match (edge.fits, edge.misses) {
        (Some(fits), None) => format!("fewest GPUs: {fits}, the fewest that can be asked for\n"),
        (Some(fits), Some(misses)) if proven => {
            format!("fewest GPUs: {fits}; {misses} proven not to be enough\n")
        }
        (Some(fits), Some(misses)) => format!(
            "fewest GPUs: {fits}; {} to {} are undecided within the limits, {misses} proven not to be \
             enough\n",
            misses + 1,
            fits - 1
        ),
        (None, Some(_)) => format!("no number of GPUs up to {most} is enough\n"),
        (None, None) => format!("no number of GPUs up to {most} is known to be enough\n"),
    }
}

/// The same as an object; `at`, what came of solving there, is the caller's to add.
pub fn json(sought: &Sought) -> Value {
    let (found, proven) = (sought.found(), sought.proven());
    match sought {
        Sought::Context { edge, step, most } => json!({
            "find": "context",
            "found": found,
            "context": edge.fits,
            "infeasible_context": edge.misses,
            "step": step,
            "max_context": most,
            "proven": proven,
        }),
        Sought::Quant { trials, best } => json!({
            "find": "quant",
            "found": found,
            "quantization": best.and_then(|best| trials.get(best)).map(|t| t.scheme.name()),
            "proven": proven,
            "tried": trials.iter().map(|trial| json!({
                "quantization": trial.scheme.name(),
                "weights_bytes": trial.weights_bytes,
                "elements": trial.elements,
                "bits_per_weight": super::decimals(&bits_per_weight(trial.weights_bytes, trial.elements)),
                "fits": trial.fits,
            })).collect::<Vec<_>>(),
        }),
        Sought::Gpus(Gpus { edge, most, .. }) => json!({
            "find": "gpus",
            "found": found,
            "gpus": edge.fits,
            "infeasible_gpus": edge.misses,
            "max_gpus": most,
            "proven": proven,
        }),
    }
}
