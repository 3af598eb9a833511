//! Placement after placement, round after round, so that whatever else the machine does meets all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apportion::load::decoder::{Decoder, Mode, Observer, Wanted};
use apportion::problem::Draw;

use super::case::{Case, WARM};
use super::maps::Map;
use super::statistics::median;
use super::support::quiet::Watch;
use super::{Failure, MODES};

/// What one placement took, taking turns and at once.
pub struct Measured {
    /// Seconds for a token: the mean over tokens, each the median of the runs that count.
    pub seconds: [f64; 2],
    /// The slowest run that counts beside the fastest one, less one.
    pub spreads: [f64; 2],
    /// Cores that others used meanwhile, the most of any run that counts.
    pub others: f64,
}

/// A run meanwhile others used more of a core than this counts only where there is no better one.
pub const OTHERS_MAX: f64 = 0.12;

/// One run of all tokens: how many cores others used meanwhile, and seconds of each.
type Run = (f64, Vec<f64>);

/// The runs that nobody disturbed; without any the one that was disturbed least.
fn quiet(runs: &[Run]) -> Vec<&Run> {
    let least = runs.iter().map(|run| run.0).fold(f64::INFINITY, f64::min).max(OTHERS_MAX);
    runs.iter().filter(|run| run.0 <= least).collect()
}

/// The sets of experts that were chosen, by layer, in the order of tokens.
#[derive(Default)]
struct Chosen(Sets);

impl Observer for Chosen {
    fn chosen(&mut self, layer: u32, experts: &[Vec<u32>]) {
        let sorted = experts.iter().map(|set| {
            let mut set = set.clone();
            set.sort_unstable();
            set
        });
        self.0.entry(layer).or_default().extend(sorted);
    }
}

/// Measures all placements and the devices; the case then has the routing and the speeds.
///
/// # Errors
/// Placements that choose other experts than the first one: then one count could not stand for all.
pub fn measure(case: &mut Case, maps: &[Map], rounds: usize) -> Result<Vec<Measured>, Failure> {
    // By placement, by way of working, by round.
    let mut times = vec![[vec![], vec![]]; maps.len()];
    let mut chosen: Option<Sets> = None;
    for _ in 0..rounds {
        case.calibrate()?;
        for (map, times) in maps.iter().zip(&mut times) {
            let mut decoder = Decoder::new(case.load(map)?, Mode::Sequential)?;
            for (mode, times) in MODES.into_iter().zip(times) {
                decoder.set_mode(mode);
                let watch = Watch::begin();
                let (seconds, sets) = tokens(&mut decoder, case.tokens)?;
                times.push((watch.others().unwrap_or(0.0), seconds));
                if *chosen.get_or_insert_with(|| sets.clone()) != sets {
                    return Err(format!("`{}` chooses other experts", map.name).into());
                }
            }
        }
    }
    let sets = chosen.unwrap_or_default().into_values();
    case.draws = sets.map(|sets| Draw::Sets(counted(&sets[WARM..]))).collect();
    Ok(times.iter().map(summed_up).collect())
}

/// Every set once, with how often it was chosen.
fn counted(sets: &[Vec<u32>]) -> Vec<(Vec<u32>, u64)> {
    let mut counts: BTreeMap<&Vec<u32>, u64> = BTreeMap::new();
    for set in sets {
        *counts.entry(set).or_default() += 1;
    }
    counts.into_iter().map(|(set, count)| (set.clone(), count)).collect()
}

/// What is chosen, by layer and token.
type Sets = BTreeMap<u32, Vec<Vec<u32>>>;

/// Always the same tokens.
pub fn prompt() -> impl Iterator<Item = u32> {
    (0..u32::MAX).map(|i| i.wrapping_mul(7919).wrapping_add(13) % 8192)
}

/// Seconds of each measured token, and what all tokens chose.
fn tokens(decoder: &mut Decoder, count: usize) -> Result<(Vec<f64>, Sets), Failure> {
    let heard = Arc::new(Mutex::new(Chosen::default()));
    decoder.observe(Some(Box::new(Arc::clone(&heard))));
    decoder.reset(0);
    let mut times = Vec::with_capacity(count);
    for (step, token) in prompt().take(WARM + count).enumerate() {
        let started = Instant::now();
        let logits = decoder.forward(0, &[token], Wanted::Last)?;
        let took: Duration = started.elapsed();
        if logits.concat().iter().any(|logit| !logit.is_finite()) {
            return Err("a logit is no number".into());
        }
        if step >= WARM {
            times.push(took.as_secs_f64());
        }
    }
    let sets = std::mem::take(&mut heard.lock().unwrap_or_else(PoisonError::into_inner).0);
    Ok((times, sets))
}

fn summed_up(times: &[Vec<Run>; 2]) -> Measured {
    let mean = |times: &[f64]| {
        times.iter().sum::<f64>() / f64::from(u32::try_from(times.len()).unwrap_or(1))
    };
    let chosen = times.each_ref().map(|runs| quiet(runs));
    let seconds = chosen.each_ref().map(|runs| {
        let tokens = runs.first().map_or(0, |run| run.1.len());
        let of = |token: usize| median(runs.iter().map(|run| run.1[token]).collect());
        mean(&(0..tokens).map(of).collect::<Vec<_>>())
    });
    let spreads = chosen.each_ref().map(|runs| {
        let runs: Vec<f64> = runs.iter().map(|run| mean(&run.1)).collect();
        let largest = runs.iter().copied().fold(0.0, f64::max);
        largest / runs.iter().copied().fold(f64::INFINITY, f64::min) - 1.0
    });
    let others = chosen.iter().flatten().map(|run| run.0).fold(0.0, f64::max);
    Measured { seconds, spreads, others }
}
