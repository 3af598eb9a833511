//! One layer: attention where the cache is, then the feed-forward part wherever that is.

use candle_core::Tensor;

use super::attend::{Turn, attend};
use super::cache::Cache;
use super::choose::{Choice, Observer, choose};
use super::experts::{experts, scores};
use super::fabric::{Activation, Fabric};
use super::parts::Part;
use super::rope::Angles;
use super::{Mode, home};
use crate::error::Error;
use crate::load::manifest::{Architecture, Slot};
use crate::load::{Placed, failed};
use crate::model::ComponentId;

/// Where the parts of a layer are.
#[derive(Debug)]
pub(super) struct LayerPlan {
    pub(super) layer: u32,
    /// Of attention and cache.
    pub(super) home: usize,
    feed_forward: FeedForward,
}

/// What comes after attention.
#[derive(Debug)]
enum FeedForward {
    /// One part for every token, on a device.
    Dense(usize),
    /// Some of many; the device of the router, which placements keep beside attention and moves may take away
    /// from it for a while, and each expert's.
    Experts { router: usize, homes: Vec<usize> },
}

impl LayerPlan {
    pub(super) fn new(placed: &Placed, layer: u32) -> Result<Self, Error> {
        let attention = home(placed, ComponentId::Attention(layer))?;
        let feed_forward = if let Ok(at) = home(placed, ComponentId::Mlp(layer)) {
            FeedForward::Dense(at)
        } else {
            let experts = u32::try_from(placed.architecture.experts).unwrap_or(u32::MAX);
            let homes = (0..experts).map(|e| home(placed, ComponentId::Expert(layer, e)));
            let router = home(placed, ComponentId::Router(layer))?;
            FeedForward::Experts { router, homes: homes.collect::<Result<_, Error>>()? }
        };
        Ok(Self { layer, home: attention, feed_forward })
    }
}

/// The model and the ways between its parts.
pub(super) struct Run<'a> {
    pub(super) placed: &'a Placed,
    pub(super) fabric: &'a Fabric,
    pub(super) mode: Mode,
}

/// What leaves attention: the residual stream, and what the feed-forward part gets of it.
struct Attended {
    stream: Tensor,
    normalized: Tensor,
}

impl Run<'_> {
    /// The residual stream after the layer, on the layer's home.
    pub(super) fn layer(
        &self,
        plan: &LayerPlan,
        x: &Activation,
        cache: &mut Cache,
        angles: &Angles,
        first: usize,
        observer: Option<&mut (dyn Observer + 'static)>,
    ) -> Result<Activation, Error> {
        let home = self.fabric.device(plan.home)?;
        let x = x.on(plan.home)?;
        let attended = home.run(|| self.attention(plan, x, cache, angles, first))?;
        let normalized = Activation::new(attended.normalized, plan.home);
        let added = match &plan.feed_forward {
            FeedForward::Experts { router, homes } => {
                let scores = self.scores(plan, *router, &normalized)?;
                let architecture = &self.placed.architecture;
                let choices: Vec<Vec<Choice>> =
                    scores.iter().map(|scores| choose(scores, architecture)).collect();
                if let Some(observer) = observer {
                    observer.chosen(plan.layer, &names(&choices));
                }
                let layer = plan.layer;
                experts(self.placed, self.fabric, self.mode, layer, homes, &normalized, &choices)?
            }
            FeedForward::Dense(at) => self.dense(plan, *at, &normalized)?,
        };
        let added = added.on(plan.home)?;
        let sum = home.run(|| &attended.stream + added).map_err(failed("add a layer's answer"))?;
        Ok(Activation::new(sum, plan.home))
    }

    /// The router's scores of every token, in host memory.
    fn scores(&self, plan: &LayerPlan, at: usize, x: &Activation) -> Result<Vec<Vec<f32>>, Error> {
        let there = self.fabric.send(x, at)?;
        let tensor = there.on(at)?;
        let router = Part::on(self.placed, ComponentId::Router(plan.layer), at)?;
        self.fabric.device(at)?.run(|| {
            let logits = router.apply(Slot::Router, tensor)?;
            scores(&logits).map_err(router.failed())
        })
    }

    /// A feed-forward part that every token passes: there and back.
    fn dense(&self, plan: &LayerPlan, at: usize, x: &Activation) -> Result<Activation, Error> {
        let there = self.fabric.send(x, at)?;
        let tensor = there.on(at)?;
        let part = Part::on(self.placed, ComponentId::Mlp(plan.layer), at)?;
        let y = self.fabric.device(at)?.run(|| part.feed_forward(tensor))?;
        self.fabric.send(&Activation::new(y, at), plan.home)
    }

    /// Attention with its residual, and the norm after it.
    fn attention(
        &self,
        plan: &LayerPlan,
        x: &Tensor,
        cache: &mut Cache,
        angles: &Angles,
        first: usize,
    ) -> Result<Attended, Error> {
        let part = Part::on(self.placed, ComponentId::Attention(plan.layer), plan.home)?;
        let h = part.normalize(Slot::AttentionNorm, x)?;
        let architecture = &self.placed.architecture;
        let queries = heads(part, &h, Projection::QUERY, architecture.heads, architecture)?;
        let keys = heads(part, &h, Projection::KEY, architecture.kv_heads, architecture)?;
        let values = heads(part, &h, Projection::VALUE, architecture.kv_heads, architecture)?;
        let mut mix = || {
            let (queries, keys) = (angles.turn(&queries)?, angles.turn(&keys)?);
            let values = values.to_dtype(candle_core::DType::F32)?;
            let window = architecture.window.unwrap_or(usize::MAX);
            let turn = Turn { queries: &queries, keys: &keys, values: &values, first, window };
            attend(cache, &turn)?.to_dtype(h.dtype())
        };
        let mixed = mix().map_err(part.failed())?;
        let out = part.apply_with(Slot::Output, Slot::OutputBias, &mixed)?;
        let stream = (x + out).map_err(part.failed())?;
        let normalized = part.normalize(Slot::FeedForwardNorm, &stream)?;
        Ok(Attended { stream, normalized })
    }
}

/// Which matrix, bias and norm make queries, keys or values.
#[derive(Clone, Copy)]
struct Projection {
    matrix: Slot,
    bias: Slot,
    norm: Option<Slot>,
}

impl Projection {
    const QUERY: Self =
        Self { matrix: Slot::Query, bias: Slot::QueryBias, norm: Some(Slot::QueryNorm) };
    const KEY: Self = Self { matrix: Slot::Key, bias: Slot::KeyBias, norm: Some(Slot::KeyNorm) };
    const VALUE: Self = Self { matrix: Slot::Value, bias: Slot::ValueBias, norm: None };
}

/// Queries, keys or values, `[tokens, heads, head width]`.
fn heads(
    part: Part<'_>,
    x: &Tensor,
    of: Projection,
    heads: usize,
    architecture: &Architecture,
) -> Result<Tensor, Error> {
    let y = part.apply_with(of.matrix, of.bias, x)?;
    let shape = |y: &Tensor| y.reshape((y.dim(0)?, heads, architecture.head_width));
    let y = shape(&y).map_err(part.failed())?;
    match of.norm.filter(|norm| part.has(*norm)) {
        Some(norm) => part.normalize(norm, &y),
        None => Ok(y),
    }
}

fn names(choices: &[Vec<Choice>]) -> Vec<Vec<u32>> {
    let name = |choice: &Choice| u32::try_from(choice.expert).unwrap_or(u32::MAX);
    choices.iter().map(|choices| choices.iter().map(name).collect()).collect()
}
