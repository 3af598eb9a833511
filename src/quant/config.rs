//! What a config.json says about how its checkpoint is quantized.
//!
//! Fields and their defaults are those of transformers 5.23 (`utils/quantization_config.py`), of
//! compressed-tensors 0.20 (`quantization/quant_config.py`) and of mlx-lm 0.32 (`utils.py`). Modules that
//! are to be skipped become overrides that may match nothing: lists name modules that only some models
//! have.

mod compressed;
mod fields;
mod methods;
mod mlx;
mod skip;

use serde_json::{Map, Value};

use super::Scheme;
use crate::error::Error;
use crate::nearest::did_you_mean;

use fields::Fields;

const OPERATION: &str = "read how the checkpoint is quantized";

type Reader = fn(&Fields<'_>) -> Result<Scheme, Error>;

/// Methods by the names in `quant_method`.
const METHODS: [(&str, Reader); 8] = [
    ("bitsandbytes", methods::bitsandbytes),
    ("gptq", methods::gptq),
    ("awq", methods::awq),
    ("hqq", methods::hqq),
    ("fp8", methods::fp8),
    ("mxfp4", methods::mxfp4),
    ("compressed-tensors", compressed::scheme),
    ("mlx", mlx::scheme),
];

/// The scheme that a config states, with what it skips; `None` when it states none.
///
/// # Errors
/// A method, an option or a combination that this crate does not size, by its name.
///
/// ```
/// use apportion::quant::from_config;
/// let config = serde_json::json!({ "quantization_config": { "quant_method": "gptq", "bits": 4,
///     "group_size": 128 } });
/// let scheme = from_config(config.as_object().unwrap()).unwrap().unwrap();
/// assert_eq!(scheme.name(), "gptq-4bit-g128");
/// ```
pub fn from_config(config: &Map<String, Value>) -> Result<Option<Scheme>, Error> {
    // MLX writes its own key and, for the hub's search, the same again under the other.
    if let Some(stated) = present(config, "quantization") {
        return mlx::scheme(&Fields::new(stated, config, "quantization")?).map(Some);
    }
    let text = config.get("text_config").and_then(Value::as_object);
    let nested = || text.and_then(|text| present(text, "quantization_config"));
    let Some(stated) = present(config, "quantization_config").or_else(nested) else {
        return Ok(None);
    };
    let fields = Fields::new(stated, config, "quantization_config")?;
    let method = match fields.text("quant_method")? {
        Some(method) => method,
        // Before the key existed there was only one method.
        None if fields.flag("load_in_4bit")? || fields.flag("load_in_8bit")? => "bitsandbytes",
        None if fields.has("bits") && fields.has("mode") => "mlx",
        None => return Err(fields.refuse("quant_method").expected("the name of a method")),
    };
    let known = METHODS.iter().find(|row| row.0 == method);
    match known {
        Some((_, read)) => read(&fields).map(Some),
        None => Err(unknown(&fields, method)),
    }
}

fn present<'a>(config: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    config.get(key).filter(|value| !value.is_null())
}

fn unknown(fields: &Fields<'_>, method: &str) -> Error {
    let names = METHODS.map(|row| row.0);
    let error = fields
        .refuse("quant_method")
        .expected(format!("one of {}", names.join(", ")))
        .found(format!("`{method}`"));
    match did_you_mean(method, names) {
        Some(hint) => error.hint(hint),
        None => error.hint("--quant NAME says it instead"),
    }
}

#[cfg(test)]
mod tests;
