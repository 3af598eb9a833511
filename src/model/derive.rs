//! A family's template filled in with one config's values: geometry, tensors, fingerprint.

mod cache;
mod fingerprint;

use super::config::{Values, to_json};
use super::expression::{Expression, Scope};
use super::family::Family;
use super::template::{Day, ELSEWHERE, GeometryTemplate, Merge, TensorTemplate};
use super::{
    ComponentId, ComponentKind, Geometry, GgufCounts, Layout, Merged, Model, Tensor, TensorRole,
};
use crate::error::Error;

const LAYERS_MAX: u32 = 1000;
const EXPERTS_MAX: u32 = 4096;
/// Layers times experts; the largest published models have about 23 thousand.
const EXPERTS_IN_ALL_MAX: u64 = 100_000;
/// Every byte count of a model fits in 2^60 below this.
const PARAMETERS_MAX: u64 = 1 << 50;

/// Derives the model; `source` names the config in messages.
pub(super) fn model(
    family: &Family,
    values: &Values,
    name: String,
    source: &str,
) -> Result<Model, Error> {
    let refuse = |why| refusal(family, source, why);
    let mut geometry = geometry(family, values, source)?;
    let tensors = tensors(family, values, &geometry, Layout::Published).map_err(refuse)?;
    let cache = cache::layers(family, values, &geometry).map_err(refuse)?;
    let gguf_counts = gguf_counts(family, values, &geometry).map_err(refuse)?;
    let unpublished = unpublished(family, values, &geometry).map_err(refuse)?;
    settle(&mut geometry, &tensors);
    let mut model = Model {
        name,
        family: family.family.clone(),
        config: to_json(values),
        geometry,
        cache,
        gguf_counts,
        tensors: tensors.into(),
        fingerprint: String::new(),
        found: None,
        published_quantization: serde_json::Map::new(),
        notices: Vec::new(),
    };
    model.fingerprint = fingerprint::of(&model, &unpublished);
    Ok(model)
}

fn refusal(family: &Family, source: &str, why: String) -> Error {
    Error::new("derive the model")
        .object(source)
        .place(format!("family `{}`", family.family))
        .found(why)
}

/// The tensors of a layout.
pub(super) fn layout(
    family: &Family,
    values: &Values,
    layout: Layout,
    source: &str,
) -> Result<Vec<Tensor>, Error> {
    let geometry = geometry(family, values, source)?;
    tensors(family, values, &geometry, layout).map_err(|why| refusal(family, source, why))
}

fn tensors(
    family: &Family,
    values: &Values,
    geometry: &Geometry,
    layout: Layout,
) -> Result<Vec<Tensor>, String> {
    let mut builder =
        Builder { values, layout, unpublished_only: false, tensors: Vec::new(), elements: 0 };
    builder.build(family, geometry)?;
    Ok(builder.tensors)
}

/// The tensors that only GGUF files have: part of what a model is, though no checkpoint shows them.
fn unpublished(
    family: &Family,
    values: &Values,
    geometry: &Geometry,
) -> Result<Vec<Tensor>, String> {
    let layout = Layout::Gguf(u32::MAX);
    let mut builder =
        Builder { values, layout, unpublished_only: true, tensors: Vec::new(), elements: 0 };
    builder.build(family, geometry)?;
    Ok(builder.tensors)
}

/// The sizes as the config states them, before it is known which layers have experts.
pub(super) fn geometry(family: &Family, values: &Values, source: &str) -> Result<Geometry, Error> {
    evaluate_geometry(&family.geometry, Scope { keys: values, layer: None })
        .and_then(|geometry| check_geometry(&geometry).map(|()| geometry))
        .map_err(|why| refusal(family, source, why))
}

fn evaluate_geometry(template: &GeometryTemplate, scope: Scope<'_>) -> Result<Geometry, String> {
    let size = |expression: &Expression| size(expression, scope);
    let count = |expression: &Expression, what: &str, max: u32| {
        let value = size(expression)?;
        u32::try_from(value).ok().filter(|&v| v <= max).ok_or(format!("{value} {what}, over {max}"))
    };
    Ok(Geometry {
        layers: count(&template.layers, "layers", LAYERS_MAX)?,
        hidden: size(&template.hidden)?,
        heads: size(&template.heads)?,
        kv_heads: size(&template.kv_heads)?,
        head_dim: size(&template.head_dim)?,
        vocab: size(&template.vocab)?,
        experts: count(&template.experts, "experts", EXPERTS_MAX)?,
        experts_per_token: count(&template.experts_per_token, "experts per token", EXPERTS_MAX)?,
        expert_width: size(&template.expert_width)?,
        dense_width: size(&template.dense_width)?,
        tied_head: template.tied_head.boolean(scope)?,
    })
}

fn size(expression: &Expression, scope: Scope<'_>) -> Result<u64, String> {
    let value = expression.integer(scope)?;
    u64::try_from(value).map_err(|_| format!("a size of {value}"))
}

fn check_geometry(geometry: &Geometry) -> Result<(), String> {
    let Geometry { layers, heads, kv_heads, experts, experts_per_token, .. } = *geometry;
    let essential = [u64::from(layers), geometry.hidden, heads, kv_heads, geometry.vocab];
    if essential.contains(&0) || geometry.head_dim == 0 || geometry.expert_width == 0 {
        return Err("a size of 0".to_owned());
    }
    if heads % kv_heads != 0 {
        return Err(format!(
            "{heads} attention heads do not share {kv_heads} key-value heads evenly"
        ));
    }
    if experts > 0 && !(1..=experts).contains(&experts_per_token) {
        return Err(format!("{experts_per_token} of {experts} experts per token"));
    }
    if u64::from(layers) * u64::from(experts) > EXPERTS_IN_ALL_MAX {
        return Err(format!(
            "{layers} layers of {experts} experts, over {EXPERTS_IN_ALL_MAX} in all"
        ));
    }
    Ok(())
}

struct Builder<'a> {
    values: &'a Values,
    layout: Layout,
    unpublished_only: bool,
    tensors: Vec<Tensor>,
    elements: u64,
}

impl Builder<'_> {
    fn build(&mut self, family: &Family, geometry: &Geometry) -> Result<(), String> {
        let parts = &family.components;
        self.add(&parts.embedding, &[ComponentId::Embedding])?;
        for layer in 0..geometry.layers {
            self.add(&parts.attention, &[ComponentId::Attention(layer)])?;
            if family.moe_layer.boolean(self.scope(Some(layer)))? {
                if geometry.experts == 0 {
                    return Err(format!("layer {layer} is made of experts but there are none"));
                }
                self.add(&parts.router, &[ComponentId::Router(layer)])?;
                self.add(&parts.shared_expert, &[ComponentId::SharedExpert(layer)])?;
                let experts: Vec<ComponentId> =
                    (0..geometry.experts).map(|e| ComponentId::Expert(layer, e)).collect();
                self.add(&parts.expert, &experts)?;
            } else {
                self.add(&parts.mlp, &[ComponentId::Mlp(layer)])?;
            }
        }
        self.add(&parts.final_norm, &[ComponentId::FinalNorm])?;
        self.add(&parts.output_head, &[ComponentId::OutputHead])
    }

    fn scope(&self, layer: Option<u32>) -> Scope<'_> {
        Scope { keys: self.values, layer }
    }

    /// Adds the tensors of one component, or of each of a layer's experts, which are all alike.
    fn add(&mut self, templates: &[TensorTemplate], ids: &[ComponentId]) -> Result<(), String> {
        let layer = ids.first().and_then(|id| id.layer());
        let mut present = Vec::new();
        for template in templates {
            let Some(name) = template.name_in(self.layout) else { continue };
            if self.unpublished_only && template.name.is_some() {
                continue;
            }
            let scope = self.scope(layer);
            if template.when.as_ref().map_or(Ok(true), |when| when.boolean(scope))? {
                let shape = shape(template, scope).map_err(|w| format!("`{name}`: {w}"))?;
                present.push((template, name, shape));
            }
        }
        let parts = u32::try_from(ids.len()).map_err(|_| "too many experts".to_owned())?;
        for &id in ids {
            for (template, name, shape) in &present {
                self.push(template, name, shape.clone(), id, parts)?;
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        template: &TensorTemplate,
        name: &str,
        shape: Vec<u64>,
        id: ComponentId,
        parts: u32,
    ) -> Result<(), String> {
        let split = self.layout.splits_experts().then(|| name.replace("_exps.", ".{expert}."));
        let name = split.as_deref().unwrap_or(name);
        let merged = id.expert().is_some() && !name.contains("{expert}");
        let tensor = Tensor {
            name: filled(name, id),
            shape,
            role: template.role,
            component: id,
            merged: merged.then_some(Merged { parts, as_rows: template.merged == Merge::Rows }),
            linear: !merged && template.is_linear(self.layout),
            published_f32: template.published_f32,
        };
        // Each dimension product was bounded by `shape`, so this sum cannot overflow.
        self.elements += tensor.elements();
        if self.elements > PARAMETERS_MAX {
            return Err("more than 2^50 parameters".to_owned());
        }
        self.tensors.push(tensor);
        Ok(())
    }
}

impl Layout {
    /// GGUF files had a tensor per expert, `ffn_down.3`, before converters merged them (llama.cpp PR 6387).
    fn splits_experts(self) -> bool {
        const MERGED_SINCE: u32 = 20_240_403;
        matches!(self, Self::Gguf(day) if day < MERGED_SINCE)
    }
}

fn filled(name: &str, id: ComponentId) -> String {
    let mut name = name.to_owned();
    if let Some(layer) = id.layer() {
        name = name.replacen("{layer}", &layer.to_string(), 1);
    }
    if let Some(expert) = id.expert() {
        name = name.replacen("{expert}", &expert.to_string(), 1);
    }
    name
}

impl TensorTemplate {
    /// Its name in a layout, if it is there.
    pub(super) fn name_in(&self, layout: Layout) -> Option<&str> {
        match layout {
            Layout::Published => self.name.as_deref(),
            Layout::Transformers5 => {
                let own = self.transformers5.as_deref().or(self.name.as_deref());
                own.filter(|name| *name != ELSEWHERE)
            }
            Layout::Gguf(day) => {
                let since = self.gguf_since.is_none_or(|since| since <= Day(day));
                let until = self.gguf_until.is_none_or(|until| Day(day) < until);
                self.gguf.as_deref().filter(|_| since && until)
            }
        }
    }

    /// By role, unless said: transformers 5 makes most routers bare parameters. Merged experts are so
    /// everywhere.
    fn is_linear(&self, layout: Layout) -> bool {
        let bare = layout == Layout::Transformers5 && self.role == TensorRole::Router;
        self.linear.unwrap_or(self.role.is_layer_matrix() && !bare)
    }
}

fn shape(template: &TensorTemplate, scope: Scope<'_>) -> Result<Vec<u64>, String> {
    let mut elements = 1_u64;
    let mut shape = Vec::with_capacity(template.shape.len());
    for expression in &template.shape {
        let dimension = size(expression, scope)?;
        elements = elements
            .checked_mul(dimension)
            .filter(|&e| e > 0 && e <= PARAMETERS_MAX)
            .ok_or_else(|| format!("a dimension of {dimension}"))?;
        shape.push(dimension);
    }
    Ok(shape)
}

/// What the tensors say about the sizes: a width without a component to have it does not count.
fn settle(geometry: &mut Geometry, tensors: &[Tensor]) {
    let has = |kinds: &[ComponentKind]| tensors.iter().any(|t| kinds.contains(&t.component.kind()));
    if !has(&[ComponentKind::Mlp, ComponentKind::SharedExpert]) {
        geometry.dense_width = 0;
    }
    if !has(&[ComponentKind::Expert]) {
        geometry.experts = 0;
        geometry.experts_per_token = 0;
        geometry.expert_width = geometry.dense_width;
    }
}

fn gguf_counts(
    family: &Family,
    values: &Values,
    geometry: &Geometry,
) -> Result<GgufCounts, String> {
    let scope = Scope { keys: values, layer: None };
    let template = &family.geometry;
    let or = |expression: &Option<Expression>, otherwise| {
        expression.as_ref().map_or(Ok(otherwise), |expression| size(expression, scope))
    };
    let layers = or(&template.gguf_layers, u64::from(geometry.layers))?;
    let before = |Day(day)| (day, geometry.kv_heads);
    Ok(GgufCounts {
        layers: u32::try_from(layers)
            .ok()
            .filter(|&layers| layers <= 2 * LAYERS_MAX)
            .ok_or_else(|| format!("{layers} layers in GGUF files"))?,
        kv_heads: or(&template.gguf_kv_heads, geometry.kv_heads)?,
        kv_heads_before: template.gguf_kv_heads_since.map(before),
    })
}
