//! The scheme that most likely made a GGUF file, from what the file says of itself and what it holds.
//!
//! Files name their mix, sometimes, and never the version of the quantizer that made them. So every way
//! of making one that rules or converters knew is tried, and the one that differs least is the answer.

use super::Scheme;
use super::format::Format;
use super::gguf::{FileTensors, Gguf, facts};
use super::llama_cpp::{Era, FileType, Recipe};
use crate::checkpoint::{Checkpoint, Format as FileFormat};
use crate::dtype::{Dtype, GgmlType};
use crate::error::Error;
use crate::model::{Layout, Model, Tensor};

/// Set in `general.file_type` when it was guessed from the tensors.
const GUESSED: u32 = 1024;

/// What quantized files can be made from, the most common first; what is not quantized stays so.
const SOURCES: [GgmlType; 3] = [GgmlType::F16, GgmlType::Bf16, GgmlType::F32];

/// A tensor of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundType<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dimensions, outermost first.
    pub shape: &'a [u64],
    /// How it is stored.
    pub kind: GgmlType,
}

/// A scheme that explains a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The scheme.
    pub scheme: Scheme,
    /// Tensors that only the file or only a file made by the scheme has, or that differ in shape or type.
    pub differences: usize,
}

/// The scheme that best explains the GGUF file of a model; `None` for a checkpoint of another format and
/// a model of no known family.
pub fn explain_gguf(model: &Model, checkpoint: &Checkpoint) -> Option<Explanation> {
    if checkpoint.format != FileFormat::Gguf {
        return None;
    }
    let found: Vec<FoundType<'_>> = checkpoint
        .tensors
        .iter()
        .filter_map(|tensor| match tensor.dtype {
            Dtype::Ggml(kind) => Some(FoundType { name: &tensor.name, shape: &tensor.shape, kind }),
            Dtype::Safe(_) => None,
        })
        .collect();
    let number = checkpoint.metadata.u64("general.file_type");
    let has_imatrix =
        checkpoint.metadata.iter().any(|(key, _)| key.starts_with("quantize.imatrix."));
    explain(model, &found, number.and_then(|number| u32::try_from(number).ok()), has_imatrix)
}

/// The scheme that best explains the tensors found; `file_type` is `general.file_type` if there is one,
/// `has_imatrix` whether an importance matrix is mentioned (older quantizers did not mention theirs).
///
/// Of several that differ equally little: with the fewest options, then of the latest era, then without an
/// importance matrix. `None` when nothing can be predicted for the model.
pub fn explain(
    model: &Model,
    found: &[FoundType<'_>],
    file_type: Option<u32>,
    has_imatrix: bool,
) -> Option<Explanation> {
    let mut found = found.to_vec();
    found.sort_unstable();
    let file_types = file_types(file_type, &found);
    let mut best: Option<Guess> = None;
    for era in eras(model) {
        let Ok(tensors) = model.layout(Layout::Gguf(era.number())) else { continue };
        let candidate = Candidate::new(&tensors, &found);
        for (rank, options) in Options::of(&found).into_iter().enumerate() {
            // Guesses come in the order of preference but for the options.
            let is_beaten =
                |best: &Guess, count| (best.differences, best.options_rank) <= (count, rank);
            for recipe in recipes(&file_types, era, options, has_imatrix) {
                if best.as_ref().is_some_and(|best| is_beaten(best, candidate.unmatched)) {
                    break;
                }
                let Ok(differences) = candidate.differences(model, &recipe) else { continue };
                if !best.as_ref().is_some_and(|best| is_beaten(best, differences)) {
                    best = Some(Guess { differences, options_rank: rank, recipe });
                }
            }
        }
    }
    best.map(|Guess { differences, recipe, .. }| {
        let scheme = Scheme { format: Format::Gguf(Gguf { recipe }), overrides: Vec::new() };
        Explanation { scheme, differences }
    })
}

/// The best so far.
struct Guess {
    differences: usize,
    options_rank: usize,
    recipe: Recipe,
}

/// The tensors of one era beside those found.
struct Candidate<'a> {
    files: FileTensors<'a>,
    /// For each of them the one found of the same name and shape.
    found: Vec<Option<FoundType<'a>>>,
    /// Names that only one side has, or both with other shapes: differences whatever the types are.
    unmatched: usize,
}

impl<'a> Candidate<'a> {
    /// `all` is sorted.
    fn new(tensors: &'a [Tensor], all: &[FoundType<'a>]) -> Self {
        let files = FileTensors::of(tensors);
        let (mut found, mut names, mut shapes) = (Vec::new(), 0, 0);
        for row in files.rows() {
            let at = all.binary_search_by(|tensor| tensor.name.cmp(row.name)).ok();
            let same_name = at.and_then(|at| all.get(at));
            let same = same_name.filter(|tensor| tensor.shape == row.shape);
            names += usize::from(same_name.is_some());
            shapes += usize::from(same.is_some());
            found.push(same.copied());
        }
        let missing = found.len() - shapes;
        Self { files, found, unmatched: missing + all.len().saturating_sub(names) }
    }

    fn differences(&self, model: &Model, recipe: &Recipe) -> Result<usize, Error> {
        let types = recipe.types(&facts(model, recipe.era), &self.files.rows())?;
        let wrong = |(found, kind): &(&Option<FoundType<'_>>, GgmlType)| {
            found.is_some_and(|tensor| tensor.kind != *kind)
        };
        Ok(self.unmatched + self.found.iter().zip(types).filter(wrong).count())
    }
}

/// The last day first, then every day since when something was different from the day before.
fn eras(model: &Model) -> Vec<Era> {
    let mut eras: Vec<Era> = Era::CHANGES.to_vec();
    eras.extend(model.gguf_layout_days().into_iter().map(Era::from_number));
    eras.sort_unstable();
    eras.dedup();
    // The rules since the last change are today's.
    eras.pop();
    eras.push(Era::default());
    eras.reverse();
    eras
}

/// The mix the file names; when it names none, those whose types are the most common in it.
fn file_types(number: Option<u32>, found: &[FoundType<'_>]) -> Vec<FileType> {
    if let Some(known) = number.and_then(|number| FileType::from_number(number & !GUESSED)) {
        return vec![known];
    }
    let matrices = || found.iter().filter(|tensor| tensor.shape.len() > 1);
    let count = |kind: GgmlType| matrices().filter(|tensor| tensor.kind == kind).count();
    let mut kinds: Vec<(usize, GgmlType)> =
        GgmlType::ALL.into_iter().map(|kind| (count(kind), kind)).collect();
    kinds.sort_unstable_by(|a, b| b.cmp(a));
    kinds.retain(|row| row.0 > 0);
    kinds.truncate(3);
    let is_common =
        |file_type: &FileType| kinds.iter().any(|row| row.1 == file_type.default_type());
    FileType::ALL.into_iter().filter(is_common).collect()
}

/// Options of the quantizer that show in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    output_type: Option<GgmlType>,
    token_embedding_type: Option<GgmlType>,
    pure: bool,
}

impl Options {
    /// None, then those that give the output matrix or the embedding or both the types they have, then
    /// `pure`.
    fn of(found: &[FoundType<'_>]) -> Vec<Self> {
        let kind = |name: &str| {
            let at = found.binary_search_by(|tensor| tensor.name.cmp(name)).ok()?;
            found.get(at).map(|tensor| tensor.kind)
        };
        let (output_type, token_embedding_type) =
            (kind("output.weight"), kind("token_embd.weight"));
        let none = Self::default();
        let mut all = vec![
            none,
            Self { output_type, ..none },
            Self { token_embedding_type, ..none },
            Self { output_type, token_embedding_type, pure: false },
            Self { pure: true, ..none },
        ];
        // Without an output matrix, say, asking for its type is no option.
        all.dedup();
        all
    }
}

fn recipes(
    file_types: &[FileType],
    era: Era,
    options: Options,
    has_imatrix: bool,
) -> impl Iterator<Item = Recipe> {
    let of_type = move |file_type: FileType| {
        let plain = Recipe {
            era,
            output_type: options.output_type,
            token_embedding_type: options.token_embedding_type,
            pure: options.pure,
            ..Recipe::new(file_type)
        };
        let first = has_imatrix || plain.imatrix;
        let with_imatrix = move |imatrix: bool| {
            SOURCES.into_iter().map(move |source| Recipe { imatrix, source, ..plain })
        };
        let other = (!first).then_some(true);
        std::iter::once(first).chain(other).flat_map(with_imatrix)
    };
    file_types.iter().copied().flat_map(of_type)
}
