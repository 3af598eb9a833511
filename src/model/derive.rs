//! A family's template filled in with one config's values: geometry, tensors, fingerprint.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::config::{Values, to_json};
use super::expression::{Expression, Scope};
use super::family::{Family, GeometryTemplate, TensorTemplate};
use super::{ComponentId, ComponentKind, Geometry, Model, Tensor, TensorRole};
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
    let refuse = |why: String| {
        Error::new("derive the model")
            .object(source)
            .place(format!("family `{}`", family.family))
            .found(why)
    };
    let mut geometry = geometry(family, values, source)?;
    let mut builder = Builder { values, tensors: Vec::new(), elements: 0 };
    builder.build(family, &geometry).map_err(refuse)?;
    let tensors = builder.tensors;
    settle(&mut geometry, &tensors);
    let fingerprint = fingerprint(family, &geometry, &tensors);
    let config = to_json(values);
    Ok(Model { name, family: family.family.clone(), config, geometry, tensors, fingerprint })
}

/// The sizes as the config states them, before it is known which layers have experts.
pub(super) fn geometry(family: &Family, values: &Values, source: &str) -> Result<Geometry, Error> {
    evaluate_geometry(&family.geometry, Scope { keys: values, layer: None })
        .and_then(|geometry| check_geometry(&geometry).map(|()| geometry))
        .map_err(|why| {
            Error::new("derive the model")
                .object(source)
                .place(format!("family `{}`", family.family))
                .found(why)
        })
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
            let scope = self.scope(layer);
            if template.when.as_ref().map_or(Ok(true), |when| when.boolean(scope))? {
                let shape =
                    shape(template, scope).map_err(|w| format!("`{}`: {w}", template.name))?;
                present.push((template, shape));
            }
        }
        for &id in ids {
            for (template, shape) in &present {
                self.push(template, shape.clone(), id)?;
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        template: &TensorTemplate,
        shape: Vec<u64>,
        id: ComponentId,
    ) -> Result<(), String> {
        let mut name = template.name.clone();
        if let Some(layer) = id.layer() {
            name = name.replacen("{layer}", &layer.to_string(), 1);
        }
        if let Some(expert) = id.expert() {
            name = name.replacen("{expert}", &expert.to_string(), 1);
        }
        let tensor = Tensor { name, shape, role: template.role, component: id };
        // Each dimension product was bounded by `shape`, so this sum cannot overflow.
        self.elements += tensor.elements();
        if self.elements > PARAMETERS_MAX {
            return Err("more than 2^50 parameters".to_owned());
        }
        self.tensors.push(tensor);
        Ok(())
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

/// SHA-256 in hex over a text with one fact per line.
fn fingerprint(family: &Family, geometry: &Geometry, tensors: &[Tensor]) -> String {
    let mut hash = Sha256::new();
    let Geometry { layers, hidden, heads, kv_heads, head_dim, vocab, .. } = geometry;
    hash.update(format!(
        "apportion model 1\n{}\n{layers} {hidden} {heads} {kv_heads} {head_dim} {vocab}\n{} {} {} {} {}\n",
        family.family,
        geometry.experts,
        geometry.experts_per_token,
        geometry.expert_width,
        geometry.dense_width,
        geometry.tied_head,
    ));
    for Tensor { name, shape, role, component } in tensors {
        hash.update(format!("{name} {shape:?} {} {component}\n", role.name()));
    }
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
    }
    hex
}

/// The parameters of a published checkpoint: tensors only GGUF files have do not count.
pub(super) fn parameters(tensors: &[Tensor]) -> u64 {
    let published = |t: &&Tensor| t.role != TensorRole::RopeFrequencies;
    tensors.iter().filter(published).map(Tensor::elements).sum()
}
