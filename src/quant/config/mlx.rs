//! MLX's `quantization`: a mode for all, and other ones by module.

use serde_json::Value;

use super::fields::{Fields, plain};
use super::skip;
use crate::error::Error;
use crate::quant::Scheme;
use crate::quant::format::Format;
use crate::quant::matrix::Quantizer;
use crate::quant::mlx::Mlx;

/// Keys of the object itself; the others are modules.
const OWN: [&str; 4] = ["group_size", "bits", "mode", "quant_method"];
pub(super) fn scheme(fields: &Fields<'_>) -> Result<Scheme, Error> {
    let scheme = plain(Format::Mlx(mode(fields)?));
    let modules = fields.object().iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
    let mut own = Vec::new();
    for (module, stated) in modules {
        let kind = match stated {
            Value::Bool(false) => "skip".to_owned(),
            // As the rest: nothing departs.
            Value::Bool(true) => continue,
            _ => match fields.inner(module)? {
                Some(inner) => mode(&inner)?.name(),
                None => continue,
            },
        };
        own.push((module.as_str(), kind));
    }
    let own = fields.by_layers(&own).into_iter();
    let patterns: Vec<_> = own.map(|(module, kind)| (pattern(&module), kind)).collect();
    skip::departing(scheme, &patterns)
}

fn mode(fields: &Fields<'_>) -> Result<Mlx, Error> {
    if fields.flag("global_scale")? {
        return Err(fields.unsupported("global_scale", "no scale above those of groups"));
    }
    let (mode, group, bits) = match fields.text("mode")?.unwrap_or("affine") {
        "affine" => {
            let bits = fields.size("bits", Some(4))?;
            let group = fields.size("group_size", Some(64))?;
            return Mlx::affine(bits, group).ok_or_else(|| {
                fields.unsupported("bits", "2, 3, 4, 5, 6 or 8 in groups of 32, 64 or 128")
            });
        }
        "mxfp4" => (Mlx::Mxfp4, 32, 4),
        "nvfp4" => (Mlx::Nvfp4, 16, 4),
        "mxfp8" => (Mlx::Mxfp8, 32, 8),
        _ => return Err(fields.unsupported("mode", "affine, mxfp4, nvfp4 or mxfp8")),
    };
    if fields.size("group_size", Some(group))? != group {
        return Err(fields.unsupported("group_size", &group.to_string()));
    }
    if fields.size("bits", Some(bits))? != bits {
        return Err(fields.unsupported("bits", &bits.to_string()));
    }
    Ok(mode)
}

/// A pattern for the tensors of a pattern for modules; MLX holds experts in one, under names of its own.
fn pattern(module: &str) -> String {
    match module.split_once(".switch_mlp.") {
        Some((block, "gate_proj")) => format!("{block}.experts.*.{{gate_proj,w1}}.weight"),
        Some((block, "up_proj")) => format!("{block}.experts.*.{{up_proj,w3}}.weight"),
        Some((block, "down_proj")) => format!("{block}.experts.*.{{down_proj,w2}}.weight"),
        _ => format!("{module}.weight"),
    }
}
