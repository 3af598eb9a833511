//! The methods that transformers knows by `quant_method`.

use super::fields::{Fields, plain};
use super::skip::Matching;
use crate::error::Error;
use crate::quant::Scheme;
use crate::quant::awq::Awq;
use crate::quant::bitsandbytes::{Bitsandbytes, Form};
use crate::quant::format::Format;
use crate::quant::fp8::{Fp8, Scaling};
use crate::quant::gptq::Gptq;
use crate::quant::group::Group;
use crate::quant::hqq::Hqq;
use crate::quant::mxfp4::Mxfp4;

/// `load_in_4bit`, `bnb_4bit_quant_type`, `bnb_4bit_use_double_quant`, `llm_int8_skip_modules`.
pub(super) fn bitsandbytes(fields: &Fields<'_>) -> Result<Scheme, Error> {
    let kind = fields.text("bnb_4bit_quant_type")?.unwrap_or("fp4");
    let double = fields.flag("bnb_4bit_use_double_quant")?;
    let four = fields.flag("load_in_4bit")?;
    let eight = fields.flag("load_in_8bit")?;
    let form = match (four, eight, kind, double) {
        (false, true, ..) => Form::Int8,
        (true, false, "nf4", false) => Form::Nf4,
        (true, false, "nf4", true) => Form::Nf4Dq,
        (true, false, "fp4", false) => Form::Fp4,
        (true, false, "fp4", true) => Form::Fp4Dq,
        (true, false, ..) => {
            return Err(fields.unsupported("bnb_4bit_quant_type", "nf4 or fp4"));
        }
        _ => return Err(fields.refuse("load_in_4bit").expected("either 4 or 8 bit")),
    };
    let scheme = plain(Format::Bitsandbytes(Bitsandbytes::new(form)));
    // The head is skipped unless a list says otherwise; the format never takes it.
    fields.skipping(scheme, &fields.texts("llm_int8_skip_modules")?, Matching::Ends)
}

pub(super) fn gptq(fields: &Fields<'_>) -> Result<Scheme, Error> {
    let bits = fields.size("bits", None)?;
    let gptq = Gptq::new(bits, group(fields, 128)?)
        .ok_or_else(|| fields.unsupported("bits", "2, 3, 4 or 8 bits in groups GPTQ has"))?;
    if fields.flag("lm_head")? {
        return Err(fields.unsupported("lm_head", "a head in 16 bit"));
    }
    if fields.object().get("dynamic").is_some_and(|v| v.as_object().is_some_and(|o| !o.is_empty()))
    {
        return Err(fields.unsupported("dynamic", "the same bits for every layer"));
    }
    let scheme = plain(Format::Gptq(gptq));
    fields.skipping(scheme, &fields.texts("modules_to_not_convert")?, Matching::Ends)
}

/// `version` is the layout; transformers also writes `gemm` where AutoAWQ wrote `GEMM`.
pub(super) fn awq(fields: &Fields<'_>) -> Result<Scheme, Error> {
    let version = fields.text("version")?.or(fields.text("format")?).unwrap_or("gemm");
    let gemv = match version.to_lowercase().as_str() {
        "gemm" => false,
        "gemv" => true,
        _ => return Err(fields.unsupported("version", "gemm or gemv")),
    };
    let key = if fields.has("bits") { "bits" } else { "w_bit" };
    let bits = fields.size(key, Some(4))?;
    let awq = Awq::new(bits, group(fields, 128)?, gemv)
        .ok_or_else(|| fields.unsupported(key, "4 bits in groups of 32, 64, 128 or a row"))?;
    let scheme = plain(Format::Awq(awq));
    fields.skipping(scheme, &fields.texts("modules_to_not_convert")?, Matching::Anywhere)
}

fn group(fields: &Fields<'_>, default: u64) -> Result<Group, Error> {
    let key = if fields.has("q_group_size") { "q_group_size" } else { "group_size" };
    if fields.integer(key)? == Some(-1) {
        return Ok(Group::Row);
    }
    fields.size(key, Some(default)).map(Group::Of)
}

/// Sizes are in `quant_config.weight_quant_params`.
pub(super) fn hqq(fields: &Fields<'_>) -> Result<Scheme, Error> {
    let outer = fields.inner("quant_config")?;
    let outer = outer.as_ref().unwrap_or(fields);
    let Some(weights) = outer.inner("weight_quant_params")? else {
        return Err(outer.unsupported("weight_quant_params", "one setting for all layers"));
    };
    for key in ["scale_quant_params", "zero_quant_params"] {
        if outer.has(key) {
            return Err(outer.unsupported(key, "scales and zeros that are not quantized"));
        }
    }
    let bits = weights.size("nbits", None)?;
    let hqq = Hqq::new(bits, weights.size("group_size", Some(64))?)
        .ok_or_else(|| weights.unsupported("nbits", "1, 2, 3, 4 or 8 bits in groups of eights"))?;
    let scheme = plain(Format::Hqq(hqq));
    fields.skipping(scheme, &fields.texts("skip_modules")?, Matching::Ends)
}

/// `weight_block_size` (null for one scale per matrix), `scale_fmt`, `activation_scheme`.
pub(super) fn fp8(fields: &Fields<'_>) -> Result<Scheme, Error> {
    if fields.text("expert_dtype")?.is_some_and(|kind| kind != "fp8") {
        return Err(fields.unsupported("expert_dtype", "fp8"));
    }
    if !fields.texts("modules_to_convert")?.is_empty() {
        return Err(fields.unsupported("modules_to_convert", "embeddings in 16 bit"));
    }
    let ue8m0 = match fields.text("scale_fmt")? {
        None | Some("float") => false,
        Some("ue8m0") => true,
        Some(_) => return Err(fields.unsupported("scale_fmt", "float or ue8m0")),
    };
    let scaling = match fields.object().get("weight_block_size") {
        None => Scaling::Block { rows: 128, columns: 128, ue8m0 },
        Some(value) if value.is_null() => Scaling::Tensor,
        Some(value) => {
            let sides = value.as_array().map(|sides| {
                sides.iter().filter_map(serde_json::Value::as_u64).collect::<Vec<_>>()
            });
            match sides.as_deref() {
                Some(&[rows @ 1..=65_536, columns @ 1..=65_536]) => {
                    Scaling::Block { rows, columns, ue8m0 }
                }
                _ => return Err(fields.unsupported("weight_block_size", "two sizes of a block")),
            }
        }
    };
    let static_activations = fields.text("activation_scheme")? == Some("static");
    let scheme = plain(Format::Fp8(Fp8 { scaling, static_activations }));
    let key = if fields.has("modules_to_not_convert") {
        "modules_to_not_convert"
    } else {
        "ignored_layers"
    };
    fields.skipping(scheme, &fields.texts(key)?, Matching::Ends)
}

/// gpt-oss lists all that is not an expert; nothing else is quantized anyway.
pub(super) fn mxfp4(fields: &Fields<'_>) -> Result<Scheme, Error> {
    let scheme = plain(Format::Mxfp4(Mxfp4));
    fields.skipping(scheme, &fields.texts("modules_to_not_convert")?, Matching::Ends)
}
