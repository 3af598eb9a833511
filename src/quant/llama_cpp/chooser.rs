//! The walk over a file's tensors: who is kept, who is overridden, what the rules count.

mod rules;

use super::kept::converted;
use super::tensor::{Category, Traits, traits};
use super::{Era, Facts, Recipe, Row, fallback};
use crate::dtype::GgmlType;
use crate::error::Error;

/// What is known of the file before the first tensor is visited, and what is counted on the way.
#[derive(Debug)]
struct Chooser<'a> {
    recipe: &'a Recipe,
    facts: &'a Facts<'a>,
    /// Without an output matrix the embedding is used for both and is typed like one.
    is_tied: bool,
    /// Tensors that hold values.
    values_total: u32,
    /// Down projections, for the rules that compare with how many were visited.
    ffn_down_total: u32,
    values_seen: u32,
    ffn_down_seen: u32,
    ffn_gate_seen: u32,
    ffn_up_seen: u32,
}

pub(super) fn types(
    recipe: &Recipe,
    facts: &Facts<'_>,
    tensors: &[Row<'_>],
) -> Result<Vec<GgmlType>, Error> {
    let traits = traits(tensors, facts);
    let mut chooser = Chooser::new(recipe, facts, &traits);
    let mut types = vec![GgmlType::F32; tensors.len()];
    for index in visiting_order(recipe.era, tensors) {
        types[index] = chooser.choose(&tensors[index], traits[index])?;
    }
    Ok(types)
}

/// By layer, then by name; tensors of no layer come first. Formerly as given.
fn visiting_order(era: Era, tensors: &[Row<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    if era < Era::VISITED_BY_LAYER {
        return order;
    }
    let layers: Vec<Option<u32>> = tensors.iter().map(Row::layer).collect();
    let key = |index: usize| (layers[index], tensors[index].name);
    order.sort_by(|&a, &b| key(a).cmp(&key(b)));
    order
}

impl<'a> Chooser<'a> {
    fn new(recipe: &'a Recipe, facts: &'a Facts<'a>, traits: &[Traits]) -> Self {
        let count = |wanted: fn(Category) -> bool| {
            let found = traits.iter().filter(|traits| wanted(traits.category)).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        let merged = recipe.era >= Era::MERGED_EXPERTS;
        Self {
            recipe,
            facts,
            is_tied: count(|c| c == Category::Output) == 0,
            values_total: count(Category::has_values),
            ffn_down_total: if merged { facts.layers } else { count(|c| c == Category::FfnDown) },
            values_seen: 0,
            ffn_down_seen: 0,
            ffn_gate_seen: 0,
            ffn_up_seen: 0,
        }
    }

    fn choose(&mut self, row: &Row<'_>, traits: Traits) -> Result<GgmlType, Error> {
        let recipe = self.recipe;
        let is_float = recipe.file_type.is_float();
        let default = recipe.file_type.default_type();
        let matrices = if is_float { default } else { recipe.source };
        let converted = converted(row, traits, matrices, self.facts, recipe.era);
        let category = traits.category;
        let is_left = recipe.leave_output && category == Category::Output;
        if !row.is_matrix() || traits.is_kept || is_left {
            return Ok(converted);
        }
        let overridden = match category {
            Category::TokenEmbedding => recipe.token_embedding_type,
            Category::Output => recipe.output_type,
            _ => None,
        };
        let (wanted, instead) = match overridden {
            // What is asked for by name is never replaced.
            Some(wanted) => (wanted, fallback::exact(wanted, row.row_elements())),
            None if is_float => return Ok(converted),
            None => {
                let wanted = if recipe.pure { default } else { self.by_rules(row, category)? };
                (wanted, fallback::fitting(wanted, row.row_elements(), recipe.era))
            }
        };
        instead.ok_or_else(|| {
            let (kind, block) = (wanted.name(), wanted.block_elements());
            refusal(row)
                .expected(format!("rows of whole blocks of {block}, as {kind} has"))
                .found(format!("rows of {}, and nothing to fall back to", row.row_elements()))
        })
    }

    /// The layer a rule about layers goes by, and of how many: the one in the name where there are
    /// experts, else how many such matrices came before.
    fn layer_of(&self, row: &Row<'_>, seen: u32) -> Result<(u32, u32), Error> {
        if self.facts.experts <= 1 {
            return Ok((seen, self.facts.layers));
        }
        if self.recipe.era < Era::LAYER_FROM_NAME {
            return Ok((seen, self.ffn_down_total));
        }
        let layer = row.layer().filter(|&layer| layer < self.facts.layers).ok_or_else(|| {
            refusal(row)
                .expected(format!("a layer below {}", self.facts.layers))
                .found("none or another")
        })?;
        Ok((layer, self.facts.layers))
    }
}

fn refusal(row: &Row<'_>) -> Error {
    Error::new("choose the type of the tensor").object(row.name)
}
