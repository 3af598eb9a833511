//! What steps take on a machine: from bytes, speeds and links to the plain numbers of a [`Timing`].
//!
//! # A step of decoding
//!
//! One token of each of `batch` sequences passes the model. A component's visit reads its weights, each
//! type at the speed at which the device reads it, and an attention its KV cache as far as `context`
//! fills it; of the embedding only the tokens' rows are read. A step visits an expert with probability
//! `1 - (1 - p)^batch` and then brings it `batch x p` over that many tokens.
//!
//! # Reading a prompt
//!
//! `batch x context` tokens pass in chunks of the runtime's micro-batch. A component's weights are read
//! once per chunk, or its arithmetic takes longer: two operations per weight and token, for an expert
//! with its share of the tokens, for attention also scores and values,
//! `2 x heads x (key + value width)` for each earlier token in sight, half the context on average. Every chunk
//! is taken to visit every expert, and devices that work at the same time to meet at their expected times: with
//! many tokens per expert there is little left to chance.
//!
//! # Matrices of all experts
//!
//! Of a matrix that holds its part of every expert a step of decoding reads the parts of the experts that it
//! visits, in expectation; experts of a layer are taken to be as large as each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Scenario;
use crate::error::Error;
use crate::hardware::{Hardware, Link, Speed};
use crate::memory::Demand;
use crate::model::{ComponentId, ComponentKind};
use crate::problem::{Component, Draw, ObjectiveKind, Timing};
use crate::routing::draws;
use crate::units::time_at;

/// One kind of step, and what it is made of.
struct Step<'a> {
    scenario: &'a Scenario,
    /// Tokens of all sequences.
    tokens: u64,
    /// How often weights are read and latencies paid.
    chunks: u64,
    /// Whether arithmetic counts.
    prefill: bool,
}

/// What one component's visit reads and computes.
#[derive(Clone, Debug, Default)]
struct Work {
    /// Bytes by type.
    bytes: Vec<(&'static str, u64)>,
    /// Read at the device's plain speed.
    cache_bytes: u128,
    flops: u128,
}

impl Scenario {
    /// What steps of decoding and of reading a prompt take: each where the machine's speeds are known, and
    /// where an objective asks for it or nothing is wrong.
    pub(super) fn timings(
        &self,
        demand: &Demand,
        components: &[Component],
    ) -> Result<[Option<Arc<Timing>>; 2], Error> {
        let timing = |kind, prefill| {
            let asked = self.objectives.iter().any(|objective| objective.kind == kind);
            if !asked && self.hardware.network.speeds.is_empty() {
                return Ok(None);
            }
            match Step::of(self, prefill).timing(demand, components) {
                Ok(timing) => Ok(Some(Arc::new(timing))),
                Err(error) if asked => Err(error),
                Err(_) => Ok(None),
            }
        };
        Ok([
            timing(ObjectiveKind::DecodeLatency, false)?,
            timing(ObjectiveKind::PrefillTime, true)?,
        ])
    }
}

impl<'a> Step<'a> {
    fn of(scenario: &'a Scenario, prefill: bool) -> Self {
        let load = &scenario.load;
        if !prefill {
            return Self { scenario, tokens: load.batch, chunks: 1, prefill };
        }
        let chunks = load.chunks();
        Self { scenario, tokens: load.batch.saturating_mul(load.context), chunks, prefill }
    }

    fn timing(&self, demand: &Demand, components: &[Component]) -> Result<Timing, Error> {
        let Scenario { hardware, limits, load, .. } = self.scenario;
        let chances = self.chances();
        let works = self.works(demand, components, &chances);
        let devices = 0..hardware.devices.len();
        let speeds: Vec<&Speed> =
            devices.map(|device| hardware.speed(device)).collect::<Result<_, _>>()?;
        if let Some(slow) = speeds.iter().position(|speed| self.prefill && speed.flops.is_none()) {
            return Err(Error::new("price time")
                .object(format!("device `{}`", hardware.devices[slow].id))
                .expected("its compute, to price the reading of prompts")
                .found("none")
                .hint("give it in --hardware FILE, e.g. `compute: 100TFLOPS`"));
        }
        let rules = load.runtime.rules();
        let token_bytes =
            self.scenario.model.geometry.hidden.saturating_mul(rules.activation_bytes);
        let milli = |tokens: u64| tokens.saturating_mul(1000);
        Ok(Timing {
            visit_ps: works.iter().map(|work| self.visits(work, &speeds)).collect(),
            latency_ps: between(hardware, |link| link.latency_ps.saturating_mul(self.chunks))?,
            token_ps: between(hardware, |link| time_at(token_bytes.into(), link.bytes_per_second))?,
            tokens_milli: milli(self.tokens),
            expert_tokens_milli: components
                .iter()
                .map(|component| self.expert_tokens_milli(component.demand.id, &chances))
                .collect(),
            sends: limits.sends.unwrap_or(rules.sends),
            devices: limits.layer_devices.unwrap_or(rules.layer_devices),
            draws: self.draws()?,
        })
    }

    fn visits(&self, work: &Work, speeds: &[&Speed]) -> Vec<u64> {
        let on = |speed: &&Speed| {
            let weights = work.bytes.iter().map(|&(kind, bytes)| {
                time_at(u128::from(bytes) * u128::from(self.chunks), speed.reading(kind))
            });
            let reading = weights
                .fold(time_at(work.cache_bytes, speed.bytes_per_second), u64::saturating_add);
            match speed.flops {
                Some(flops) if self.prefill => reading.max(time_at(work.flops, flops)),
                _ => reading,
            }
        };
        speeds.iter().map(on).map(|ps| ps.min(Timing::PS_MAX)).collect()
    }

    /// Per layer, per expert: the chance that a token chooses it, as a fraction; the mean over several sets
    /// of statistics.
    fn chances(&self) -> Chances {
        let Scenario { model, limits, .. } = self.scenario;
        let geometry = &model.geometry;
        let even = (u64::from(geometry.experts_per_token), u64::from(geometry.experts).max(1));
        Chances { even, measured: limits.routing.clone() }
    }

    fn draws(&self) -> Result<Vec<Vec<Draw>>, Error> {
        let Scenario { model, limits, load, .. } = self.scenario;
        let geometry = &model.geometry;
        let drawn = |experts: u32| match experts {
            0 => Draw::Even(Vec::new()),
            _ if self.prefill => Draw::Sets(vec![((0..experts).collect(), 1)]),
            _ => draws::uniform(experts, geometry.experts_per_token, load.batch),
        };
        if self.scenario.by_matrix() {
            return Ok(vec![vec![Draw::Even(Vec::new()); model.experts_by_layer().len()]]);
        }
        if self.prefill || limits.routing.is_empty() {
            // Layers have the same experts or none.
            let layers = model.experts_by_layer();
            let sizes: BTreeSet<u32> = layers.iter().copied().collect();
            let kinds: BTreeMap<u32, Draw> = sizes.into_iter().map(|e| (e, drawn(e))).collect();
            return Ok(vec![layers.iter().map(|experts| kinds[experts].clone()).collect()]);
        }
        limits.routing.iter().map(|statistics| draws::measured(statistics, load.batch)).collect()
    }

    /// Tokens brought to an expert that is visited.
    fn expert_tokens_milli(&self, id: ComponentId, chances: &Chances) -> u64 {
        if let ComponentId::ExpertMatrix(_, matrix) = id {
            return self.scenario.handed_on(matrix, self.tokens.saturating_mul(1000));
        }
        let ComponentId::Expert(layer, expert) = id else { return 0 };
        let (chosen, of) = chances.of(layer, expert);
        let tokens = u128::from(self.tokens) * 1000;
        let mean = (tokens * u128::from(chosen)).div_ceil(u128::from(of.max(1)));
        let tokens_milli = if self.prefill {
            mean
        } else {
            // At least one token where there is a visit at all.
            mean * u128::from(CHANCE_ONE) / u128::from(visited(chosen, of, self.tokens).max(1))
        };
        u64::try_from(tokens_milli.clamp(1000, tokens.max(1000))).unwrap_or(u64::MAX)
    }

    fn works(&self, demand: &Demand, components: &[Component], chances: &Chances) -> Vec<Work> {
        let mut works = vec![Work::default(); components.len()];
        let at = |id: ComponentId| components.binary_search_by(|c| c.demand.id.cmp(&id)).ok();
        for (tensor, stored) in demand.storage.tensors.iter().zip(&demand.storage.stored) {
            let mut add = |id: ComponentId, bytes: u64| {
                let Some(index) = at(id) else { return };
                let read = self.read(id, bytes, chances);
                works[index].bytes.push((stored.type_name, read));
                works[index].flops +=
                    2 * u128::from(tensor.elements()) * self.computed(id, chances);
            };
            let id = tensor.component;
            if id != ComponentId::Embedding {
                add(id, stored.bytes);
                continue;
            }
            // Rows are looked up; the matrix is read where it is the head.
            let head = if demand.tied_head { id } else { ComponentId::OutputHead };
            if demand.tied_head || self.scenario.model.geometry.tied_head {
                add(head, stored.bytes);
            }
            let rows = u128::from(stored.bytes) * u128::from(self.tokens);
            let rows = rows.div_ceil(u128::from(self.scenario.model.geometry.vocab.max(1)));
            if let Some(index) = at(id) {
                works[index].cache_bytes += rows;
            }
        }
        for (component, work) in components.iter().zip(&mut works) {
            self.add_cache(component, work);
        }
        works
    }

    /// Bytes of a tensor that a visit of its component reads.
    fn read(&self, id: ComponentId, bytes: u64, chances: &Chances) -> u64 {
        let ComponentId::ExpertMatrix(layer, _) = id else { return bytes };
        if self.prefill {
            return bytes;
        }
        let experts = self.scenario.model.geometry.experts;
        let touched = (0..experts).map(|expert| {
            let (chosen, of) = chances.of(layer, expert);
            u128::from(visited(chosen, of, self.tokens))
        });
        let all = u128::from(CHANCE_ONE) * u128::from(experts.max(1));
        let read = (u128::from(bytes) * touched.sum::<u128>()).div_ceil(all);
        u64::try_from(read).unwrap_or(bytes).min(bytes)
    }

    /// Tokens that a component's matrices are multiplied with.
    fn computed(&self, id: ComponentId, chances: &Chances) -> u128 {
        let tokens = u128::from(self.tokens);
        match id {
            ComponentId::Expert(layer, expert) => {
                let (chosen, of) = chances.of(layer, expert);
                (tokens * u128::from(chosen)).div_ceil(u128::from(of.max(1)))
            }
            // Of all its experts' parts each token passes those it chooses.
            ComponentId::ExpertMatrix(..) => {
                let (chosen, of) = chances.even;
                (tokens * u128::from(chosen)).div_ceil(u128::from(of.max(1)))
            }
            ComponentId::OutputHead | ComponentId::Embedding => {
                let logits = self.scenario.load.runtime.rules().logits_tokens;
                u128::from(self.scenario.load.batch)
                    * u128::from(logits.min(self.scenario.load.context))
            }
            _ => tokens,
        }
    }

    /// What attention reads of what it remembers, and what it computes with it.
    fn add_cache(&self, component: &Component, work: &mut Work) {
        let id = component.demand.id;
        if id.kind() != ComponentKind::Attention {
            return;
        }
        let reads = if self.prefill { self.chunks.div_ceil(2).max(1) } else { 1 };
        work.cache_bytes += u128::from(component.demand.kv_cache_bytes) * u128::from(reads);
        let layer = id.layer().and_then(|layer| usize::try_from(layer).ok());
        let Some(cache) = layer.and_then(|layer| self.scenario.model.cache.get(layer)) else {
            return;
        };
        let context = self.scenario.load.context;
        let seen = cache.window.unwrap_or(context).min(context.div_ceil(2));
        let geometry = &self.scenario.model.geometry;
        let widths = cache.expanded.key_width.saturating_add(cache.expanded.value_width);
        let each = 2 * u128::from(geometry.heads) * u128::from(widths);
        work.flops += u128::from(self.tokens) * u128::from(seen) * each;
    }
}

/// A number of the link between every two devices, none from a device to itself.
fn between(hardware: &Hardware, what: impl Fn(Link) -> u64) -> Result<Vec<Vec<u64>>, Error> {
    let devices = hardware.devices.len();
    let of = |from: usize, to: usize| {
        if from == to {
            return Ok(0);
        }
        Ok(what(hardware.link(from, to)?).min(Timing::PS_MAX))
    };
    (0..devices).map(|from| (0..devices).map(|to| of(from, to)).collect()).collect()
}

/// One as a fixed-point chance.
const CHANCE_ONE: u64 = 1 << 32;

/// The chance that any of `tokens` tokens chooses what one of them chooses with `chosen / of`.
fn visited(chosen: u64, of: u64, tokens: u64) -> u64 {
    let of = u128::from(of.max(1));
    let missed = (of - u128::from(chosen).min(of)) * u128::from(CHANCE_ONE) / of;
    let mut power = u128::from(CHANCE_ONE);
    let (mut base, mut left) = (missed, tokens);
    while left > 0 {
        if left & 1 == 1 {
            power = (power * base) >> 32;
        }
        base = (base * base) >> 32;
        left >>= 1;
    }
    CHANCE_ONE - u64::try_from(power).unwrap_or(CHANCE_ONE).min(CHANCE_ONE)
}

/// How likely a token chooses an expert.
struct Chances {
    even: (u64, u64),
    measured: Vec<Arc<crate::routing::Statistics>>,
}

impl Chances {
    /// Chosen tokens of all tokens; the sum over several sets of statistics.
    fn of(&self, layer: u32, expert: u32) -> (u64, u64) {
        if self.measured.is_empty() {
            return self.even;
        }
        let counted = |statistics: &Arc<crate::routing::Statistics>| {
            let row = statistics.counts.get(usize::try_from(layer).ok()?)?;
            let count = row.get(usize::try_from(expert).ok()?)?;
            Some((*count, statistics.tokens))
        };
        let counts = self.measured.iter().filter_map(counted);
        counts.fold((0, 0), |(chosen, of), (count, tokens)| {
            (chosen.saturating_add(count), of.saturating_add(tokens))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 (1 - 0.75^B): 2, 5.47, 7.2, 7.92 distinct experts of Mixtral for 1, 4, 8, 16 tokens.
    #[test]
    fn a_batch_touches_more_experts() {
        let touched = |tokens| visited(1, 4, tokens) * 800 / CHANCE_ONE;
        assert_eq!([1, 4, 8, 16].map(touched), [200, 546, 719, 791]);
        assert_eq!(visited(0, 4, 9), 0);
        assert_eq!(visited(4, 4, 9), CHANCE_ONE);
    }
}
