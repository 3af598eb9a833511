//! `quant_method: compressed-tensors`.

use super::fields::{Fields, plain};
use super::skip::Matching;
use crate::error::Error;
use crate::quant::Scheme;
use crate::quant::compressed_tensors::{CompressedTensors, Float8};
use crate::quant::format::Format;
use crate::quant::group::Group;

/// One group for all linear layers, and the modules it ignores.
pub(super) fn scheme(fields: &Fields<'_>) -> Result<Scheme, Error> {
    if let Some(sparsity) = fields.inner("sparsity_config")?
        && sparsity.text("format")?.is_some_and(|format| format != "dense")
    {
        return Err(sparsity.unsupported("format", "dense"));
    }
    let groups = fields.inner("config_groups")?;
    let Some(groups) = groups.filter(|groups| groups.object().len() == 1) else {
        return Err(fields.refuse("config_groups").expected("one group of layers"));
    };
    let name = groups.object().keys().next().map_or("", String::as_str);
    let Some(group) = groups.inner(name)? else {
        return Err(groups.refuse(name).expected("an object"));
    };
    if group.texts("targets")?.iter().any(|&target| target != "Linear") {
        return Err(group.unsupported("targets", "[\"Linear\"]"));
    }
    let format = group.text("format")?.or(fields.text("format")?);
    let packing = packing(&group, format)?;
    let scheme = plain(Format::CompressedTensors(packing));
    fields.skipping(scheme, &fields.texts("ignore")?, Matching::Whole)
}

fn packing(group: &Fields<'_>, format: Option<&str>) -> Result<CompressedTensors, Error> {
    let Some(weights) = group.inner("weights")? else {
        return Err(group.refuse("weights").expected("how weights are quantized"));
    };
    let bits = weights.size("num_bits", Some(8))?;
    let float = weights.text("type")?.unwrap_or("int") == "float";
    let strategy = weights.text("strategy")?;
    let symmetric = weights.get("symmetric").is_none() || weights.flag("symmetric")?;
    let activations = group.inner("input_activations")?;
    let group_size = weights.integer("group_size")?;
    let refuse = || weights.unsupported("strategy", "bits and a strategy that is packed");
    let found = match (float, bits, strategy, format) {
        (false, _, _, Some("pack-quantized")) | (false, 1..=7, _, None) => {
            let group = match group_size {
                None | Some(-1) => Group::Row,
                Some(size) => {
                    Group::Of(u64::try_from(size).ok().filter(|&s| s > 0).ok_or_else(refuse)?)
                }
            };
            CompressedTensors::packed(bits, group, symmetric)
        }
        (false, 8, Some("channel"), _) if symmetric => Some(CompressedTensors::Int8),
        (true, 8, Some("tensor"), _) => {
            let fixed = match &activations {
                Some(activations) => !activations.flag("dynamic")?,
                None => false,
            };
            fixed.then_some(CompressedTensors::Float8(Float8::Tensor))
        }
        (true, 8, Some("channel"), _) => Some(CompressedTensors::Float8(Float8::Channel)),
        (true, 8, Some("block"), _) => {
            let sides = weights.get("block_structure").map(ToString::to_string);
            let usual = sides.is_some_and(|sides| sides == "[128,128]");
            usual.then_some(CompressedTensors::Float8(Float8::Block))
        }
        (true, 4, Some("tensor_group"), _) if group_size == Some(16) => {
            Some(CompressedTensors::Nvfp4 { activations: activations.is_some() })
        }
        (true, 4, Some("group"), _) if group_size == Some(32) => Some(CompressedTensors::Mxfp4),
        (true, 8, Some("group"), _) if group_size == Some(32) => Some(CompressedTensors::Mxfp8),
        _ => None,
    };
    found.ok_or_else(refuse)
}
