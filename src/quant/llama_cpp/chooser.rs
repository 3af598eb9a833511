//! The walk over a file's tensors: who is kept, who is overridden, what the rules count.

mod rules;

use super::kept::{converted, is_kept};
use super::tensor::Category;
use super::{Facts, Recipe, Row, fallback};
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
    let categories: Vec<Category> = tensors.iter().map(|row| Category::of(row.name)).collect();
    let mut chooser = Chooser::new(recipe, facts, &categories);
    let mut types = vec![GgmlType::F32; tensors.len()];
    for index in visiting_order(tensors) {
        types[index] = chooser.choose(&tensors[index], categories[index])?;
    }
    Ok(types)
}

/// By layer, then by name; tensors of no layer come first.
fn visiting_order(tensors: &[Row<'_>]) -> Vec<usize> {
    let layers: Vec<Option<u32>> = tensors.iter().map(Row::layer).collect();
    let key = |index: usize| (layers[index], tensors[index].name);
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by(|&a, &b| key(a).cmp(&key(b)));
    order
}

impl<'a> Chooser<'a> {
    fn new(recipe: &'a Recipe, facts: &'a Facts<'a>, categories: &[Category]) -> Self {
        let values = categories.iter().filter(|category| category.has_values()).count();
        Self {
            recipe,
            facts,
            is_tied: !categories.contains(&Category::Output),
            values_total: u32::try_from(values).unwrap_or(u32::MAX),
            ffn_down_total: facts.layers,
            values_seen: 0,
            ffn_down_seen: 0,
            ffn_gate_seen: 0,
            ffn_up_seen: 0,
        }
    }

    fn choose(&mut self, row: &Row<'_>, category: Category) -> Result<GgmlType, Error> {
        let recipe = self.recipe;
        let is_float = recipe.file_type.is_float();
        let default = recipe.file_type.default_type();
        let matrices = if is_float { default } else { recipe.source };
        let converted = converted(row, matrices, self.facts, recipe.era);
        if is_kept(row, recipe, self.facts) {
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

    /// The layer a rule about layers goes by: the one in the name where there are experts, else how
    /// many such tensors came before.
    fn layer_of(&self, row: &Row<'_>, seen: u32) -> Result<u32, Error> {
        if self.facts.experts <= 1 {
            return Ok(seen);
        }
        row.layer().filter(|&layer| layer < self.facts.layers).ok_or_else(|| {
            refusal(row)
                .expected(format!("a layer below {}", self.facts.layers))
                .found("none or another")
        })
    }
}

fn refusal(row: &Row<'_>) -> Error {
    Error::new("choose the type of the tensor").object(row.name)
}
