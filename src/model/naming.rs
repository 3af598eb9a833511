//! How names in files relate to those of a model: wrapped in larger models, beside a weight as statistics.

/// What models inside larger ones are called; their names are then those of the family.
const WRAPPERS: [&str; 3] = ["language_model", "text_model", "llm"];

/// How statistics of merged experts are called: after their matrix.
const MERGED_STATISTICS: [&str; 4] = ["_blocks", "_scales", "_scale_inv", "_scale"];

/// The name a tensor has in the model itself, when a larger one is wrapped around that.
pub(crate) fn unwrapped(name: &str) -> String {
    let bare: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    let bare = bare.join(".");
    let inner = bare.strip_prefix("model.").filter(|rest| rest.starts_with("model."));
    inner.map_or(bare.clone(), str::to_owned)
}

/// The weights whose statistics a tensor of that name may be, the likeliest first:
/// `q_proj.weight_scale_inv`, `q_proj.weight.absmax` and `q_proj.qweight` are all of `q_proj.weight`.
pub(crate) fn weights_of(name: &str) -> impl Iterator<Item = String> {
    let merged = MERGED_STATISTICS.iter().filter_map(|ending| name.strip_suffix(ending));
    let stems = std::iter::successors(shorter(name), |stem| shorter(stem));
    let of_stem = |stem: &str| [stem.to_owned(), format!("{stem}.weight")];
    merged.map(str::to_owned).chain(stems.flat_map(of_stem))
}

/// The name without its last part.
fn shorter(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|parts| parts.0)
}
