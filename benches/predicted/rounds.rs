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
    /// Seconds for a token: the mean over tokens, each the median of its rounds.
    pub seconds: [f64; 2],
    /// The slowest round beside the fastest one, less one.
    pub spreads: [f64; 2],
    /// Cores that others used meanwhile, the most of any round.
    pub others: f64,
}

/// A run is done again while others use more of a core than this, ...
pub const OTHERS_MAX: f64 = 0.12;

/// ... so often at most; then the least disturbed one counts.
const TRIES_MAX: usize = 12;

/// Does it when the machine is quiet, as far as it ever is; how many cores others used meanwhile.
pub fn undisturbed<T>(
    mut work: impl FnMut() -> Result<T, Failure>,
) -> Result<(f64, T), Failure> {
    let mut best: Option<(f64, T)> = None;
    for _ in 0..TRIES_MAX {
        let watch = Watch::begin();
        let result = work()?;
        let others = watch.others().unwrap_or(0.0);
        if best.as_ref().is_none_or(|best| others < best.0) {
            best = Some((others, result));
        }
        if others <= OTHERS_MAX {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    best.ok_or_else(|| "it is done at least once".into())
}

/// Whoever disturbs may be done after it.
const PAUSE: Duration = Duration::from_millis(700);

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
    // By placement, by way of working, by round: a time per token.
    let mut times = vec![[vec![], vec![]]; maps.len()];
    let mut others = vec![0.0_f64; maps.len()];
    let mut chosen: Option<Sets> = None;
    for _ in 0..rounds {
        case.calibrate()?;
        for ((map, times), others) in maps.iter().zip(&mut times).zip(&mut others) {
            let mut decoder = Decoder::new(case.load(map)?, Mode::Sequential)?;
            for (mode, times) in MODES.into_iter().zip(times) {
                decoder.set_mode(mode);
                let (disturbed, (seconds, sets)) =
                    undisturbed(|| tokens(&mut decoder, case.tokens))?;
                times.push(seconds);
                *others = others.max(disturbed);
                if *chosen.get_or_insert_with(|| sets.clone()) != sets {
                    return Err(format!("`{}` chooses other experts", map.name).into());
                }
            }
        }
    }
    let sets = chosen.unwrap_or_default().into_values();
    case.draws = sets.map(|sets| Draw::Sets(counted(&sets[WARM..]))).collect();
    Ok(times.iter().zip(others).map(|(times, others)| summed_up(times, others)).collect())
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

/// Seconds of each measured token, and what all tokens chose.
fn tokens(decoder: &mut Decoder, count: usize) -> Result<(Vec<f64>, Sets), Failure> {
    let heard = Arc::new(Mutex::new(Chosen::default()));
    decoder.observe(Some(Box::new(Arc::clone(&heard))));
    decoder.reset(0);
    let mut times = Vec::with_capacity(count);
    let prompt = (0..u32::MAX).map(|i| (i * 7919 + 13) % 8192);
    for (step, token) in prompt.take(WARM + count).enumerate() {
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

fn summed_up(times: &[Vec<Vec<f64>>; 2], others: f64) -> Measured {
    let mean = |times: &[f64]| times.iter().sum::<f64>() / f64::from(u32::try_from(times.len()).unwrap_or(1));
    let seconds = times.each_ref().map(|rounds| {
        let tokens = rounds.first().map_or(0, Vec::len);
        let of = |token: usize| median(rounds.iter().map(|round| round[token]).collect());
        mean(&(0..tokens).map(of).collect::<Vec<_>>())
    });
    let spreads = times.each_ref().map(|rounds| {
        let rounds: Vec<f64> = rounds.iter().map(|round| mean(round)).collect();
        let largest = rounds.iter().copied().fold(0.0, f64::max);
        largest / rounds.iter().copied().fold(f64::INFINITY, f64::min) - 1.0
    });
    Measured { seconds, spreads, others }
}
