//! GGUF files as a scheme: a recipe of llama.cpp's quantizer, by name and options.
//!
//! `q4_k_m` is what `llama-quantize` makes today; `q4_0:imatrix`, `q2_k:era=2023-12-20`,
//! `q4_k_m:output=q8_0,embedding=q8_0` are other ways of making a file. Files of floats are called
//! `gguf-f16` and so on, because the plain names are those of published checkpoints, which keep more in
//! 16 bit.

use std::fmt::Write as _;

use super::StoredTensor;
use super::llama_cpp::{Era, Facts, FileType, Recipe, Row};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::model::{Model, Tensor};

const OPERATION: &str = "read the quantization";

/// The prefix that tells files of floats from published checkpoints.
const FLOAT_PREFIX: &str = "gguf-";

/// How a GGUF file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gguf {
    pub(super) recipe: Recipe,
}

impl Gguf {
    pub(super) fn new(file_type: FileType) -> Self {
        Self { recipe: Recipe::new(file_type) }
    }

    /// Every file type without options, widest first as far as names tell.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        ORDER.into_iter().map(Self::new)
    }

    /// Reads a name in lower case and with `_`, and its options; `None` for a name that is no file type.
    pub(super) fn parse(base: &str, options: &[&str]) -> Result<Option<Self>, Error> {
        let float = base.strip_prefix("gguf_");
        let Ok(file_type) = FileType::parse(float.unwrap_or(base)) else { return Ok(None) };
        if file_type.is_float() != float.is_some() {
            return Ok(None);
        }
        let mut gguf = Self::new(file_type);
        for option in options {
            gguf.set(option)?;
        }
        Ok(Some(gguf))
    }

    fn set(&mut self, option: &str) -> Result<(), Error> {
        let recipe = &mut self.recipe;
        let kind = |name: &str| {
            GgmlType::from_name(&name.replace('-', "_")).ok_or_else(|| {
                Error::new(OPERATION)
                    .object(option)
                    .expected(format!("one of {}", GgmlType::ALL.map(GgmlType::name).join(", ")))
                    .found("another type")
            })
        };
        match option.split_once('=') {
            None if option == "imatrix" => recipe.imatrix = true,
            None if option == "no-imatrix" => recipe.imatrix = false,
            None if option == "pure" => recipe.pure = true,
            None if option == "leave-output" => recipe.leave_output = true,
            Some(("era", day)) => recipe.era = Era::parse(day)?,
            Some(("source", name)) => recipe.source = kind(name)?,
            Some(("output", name)) => recipe.output_type = Some(kind(name)?),
            Some(("embedding", name)) => recipe.token_embedding_type = Some(kind(name)?),
            _ => {
                return Err(Error::new(OPERATION)
                    .object(option)
                    .expected(
                        "imatrix, no-imatrix, pure, leave-output, era=DAY, source=TYPE, output=TYPE or embedding=TYPE",
                    )
                    .found("another option of a GGUF file"));
            }
        }
        Ok(())
    }

    /// The name with the options that differ from today's defaults.
    pub(super) fn name(self) -> String {
        let recipe = self.recipe;
        let plain = Recipe::new(recipe.file_type);
        let mut options = Vec::new();
        if recipe.imatrix != plain.imatrix {
            options.push(if recipe.imatrix { "imatrix" } else { "no-imatrix" }.to_owned());
        }
        if recipe.pure {
            options.push("pure".to_owned());
        }
        if recipe.leave_output {
            options.push("leave-output".to_owned());
        }
        if recipe.era != plain.era {
            options.push(format!("era={}", recipe.era));
        }
        if recipe.source != plain.source {
            options.push(format!("source={}", recipe.source.name()));
        }
        let types = [("output", recipe.output_type), ("embedding", recipe.token_embedding_type)];
        for (key, kind) in types {
            options.extend(kind.map(|kind| format!("{key}={}", kind.name())));
        }
        let mut name = String::new();
        if recipe.file_type.is_float() {
            name.push_str(FLOAT_PREFIX);
        }
        name.push_str(recipe.file_type.name());
        if !options.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(name, ":{}", options.join(","));
        }
        name
    }

    pub(super) fn description(self) -> String {
        let matrix = if self.recipe.imatrix { ", with importance matrix" } else { "" };
        format!("GGUF: {}{matrix}", self.recipe.file_type.description())
    }

    /// What each tensor of a GGUF layout takes.
    pub(super) fn store(
        self,
        model: &Model,
        tensors: &[Tensor],
    ) -> Result<Vec<StoredTensor>, Error> {
        let kinds = self.types(model, tensors)?;
        tensors
            .iter()
            .zip(kinds)
            .map(|(tensor, kind)| {
                let bytes = kind.bytes(tensor.elements()).ok_or_else(|| {
                    Error::new("store")
                        .object(&tensor.name)
                        .expected(format!("whole blocks of {}", kind.name()))
                        .found(format!("{} elements", tensor.elements()))
                })?;
                Ok(StoredTensor { type_name: kind.name(), bytes, staged_bytes: 0 })
            })
            .collect()
    }

    /// The type of each tensor; the parts of a merged one have one type, because files do.
    fn types(self, model: &Model, tensors: &[Tensor]) -> Result<Vec<GgmlType>, Error> {
        let files = FileTensors::of(tensors);
        let facts = facts(model, self.recipe.era);
        let chosen = self.recipe.types(&facts, &files.rows()).map_err(|e| e.place(&*model.name))?;
        // Experts of a layer are alike, so those after the first repeat its tensors in their order.
        let mut kinds = Vec::with_capacity(tensors.len());
        let mut of_layer: Vec<(&str, GgmlType)> = Vec::new();
        let mut chosen = chosen.into_iter();
        for tensor in tensors {
            if tensor.is_first_part() {
                let kind = chosen.next().unwrap_or(GgmlType::F32);
                if tensor.merged.is_some() {
                    if of_layer.first().is_some_and(|(name, _)| !same_layer(name, &tensor.name)) {
                        of_layer.clear();
                    }
                    of_layer.push((&tensor.name, kind));
                }
                kinds.push(kind);
            } else {
                let known = of_layer.iter().find(|(name, _)| *name == tensor.name);
                kinds.push(known.map_or(GgmlType::F32, |row| row.1));
            }
        }
        Ok(kinds)
    }
}

/// The tensors of a layout as a file lists them: the parts of a merged one together.
pub(super) struct FileTensors<'a> {
    names: Vec<&'a str>,
    shapes: Vec<Vec<u64>>,
}

impl<'a> FileTensors<'a> {
    pub(super) fn of(tensors: &'a [Tensor]) -> Self {
        let first = || tensors.iter().filter(|tensor| tensor.is_first_part());
        Self {
            names: first().map(|tensor| tensor.name.as_str()).collect(),
            shapes: first().map(Tensor::file_shape).collect(),
        }
    }

    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let pairs = self.names.iter().zip(&self.shapes);
        pairs.map(|(name, shape)| Row { name, shape }).collect()
    }
}

/// Whether two names begin with the same `blk.N.`.
fn same_layer(one: &str, other: &str) -> bool {
    one.split('.').nth(1) == other.split('.').nth(1)
}

/// What the rules ask about a model, of a file made on a day.
pub(super) fn facts(model: &Model, era: Era) -> Facts<'_> {
    Facts {
        architecture: model.gguf_architecture(),
        layers: model.gguf_counts.layers,
        experts: model.geometry.experts,
        heads: model.geometry.heads,
        kv_heads: model.gguf_counts.kv_heads_on(era.number()),
        source_experts_mxfp4: model.publishes_mxfp4_experts(),
    }
}

/// The order for people: floats, then by bits, the families of one width together.
const ORDER: [FileType; 35] = [
    FileType::F32,
    FileType::F16,
    FileType::Bf16,
    FileType::Q8_0,
    FileType::Q6K,
    FileType::Q5KM,
    FileType::Q5KS,
    FileType::Q5_1,
    FileType::Q5_0,
    FileType::Q4KM,
    FileType::Q4KS,
    FileType::Q4_1,
    FileType::Q4_0,
    FileType::Iq4Nl,
    FileType::Iq4Xs,
    FileType::Mxfp4Moe,
    FileType::Q3KL,
    FileType::Q3KM,
    FileType::Q3KS,
    FileType::Iq3M,
    FileType::Iq3S,
    FileType::Iq3Xs,
    FileType::Iq3Xxs,
    FileType::Q2K,
    FileType::Q2KS,
    FileType::Q2_0,
    FileType::Iq2M,
    FileType::Iq2S,
    FileType::Iq2Xs,
    FileType::Iq2Xxs,
    FileType::Tq2_0,
    FileType::Tq1_0,
    FileType::Iq1M,
    FileType::Iq1S,
    FileType::Q1_0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_type_is_in_the_order_once() {
        let mut order: Vec<FileType> = ORDER.to_vec();
        order.sort_unstable();
        let mut all = FileType::ALL.to_vec();
        all.sort_unstable();
        assert_eq!(order, all);
    }

    #[test]
    fn options_are_said_only_where_they_differ() {
        let name =
            |base: &str, options: &[&str]| Gguf::parse(base, options).unwrap().map(Gguf::name);
        assert_eq!(name("q4_0", &[]).as_deref(), Some("q4_0"));
        assert_eq!(name("q4_0", &["imatrix"]).as_deref(), Some("q4_0:imatrix"));
        assert_eq!(name("iq1_m", &["imatrix"]).as_deref(), Some("iq1_m"));
        assert_eq!(name("gguf_bf16", &[]).as_deref(), Some("gguf-bf16"));
        assert_eq!(
            name("q2_k", &["embedding=q8_0", "era=2023-12-20", "output=q8_0"]).as_deref(),
            Some("q2_k:era=2023-12-20,output=q8_0,embedding=q8_0")
        );
        assert_eq!(name("f16", &[]), None);
        assert_eq!(name("gguf_q4_0", &[]), None);
        assert!(Gguf::parse("q4_0", &["output=q9_0"]).is_err());
        assert!(Gguf::parse("q4_0", &["era=2023"]).is_err());
        assert!(Gguf::parse("q4_0", &["fast"]).is_err());
    }
}
