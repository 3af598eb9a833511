//! Tensors as a file has them: what experts share stands once.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};

use crate::error::Error;
use crate::memory::Demand;
use crate::model::ComponentId;

/// Which components' tensors are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter(Option<(String, GlobMatcher)>);

impl Filter {
    /// Those whose names match a glob over component names; `*` also crosses dots. All without one.
    ///
    /// # Errors
    /// No glob, or one of more than 256 characters.
    pub fn new(glob: Option<&str>) -> Result<Self, Error> {
        const CHARS_MAX: usize = 256;
        let Some(text) = glob else { return Ok(Self(None)) };
        let refuse = || Error::new("use the pattern").object(text).place("--component");
        if text.len() > CHARS_MAX {
            return Err(refuse().expected(format!("at most {CHARS_MAX} characters")));
        }
        let glob = Glob::new(text).map_err(|e| refuse().found(e.kind().to_string()))?;
        Ok(Self(Some((text.to_owned(), glob.compile_matcher()))))
    }

    fn matches(&self, id: ComponentId) -> bool {
        self.0.as_ref().is_none_or(|(_, matcher)| matcher.is_match(id.to_string()))
    }
}

/// A tensor of a file, or those of its parts that are meant.
#[derive(Clone, Debug)]
pub(super) struct Listed<'a> {
    pub(super) name: &'a str,
    /// Of the whole tensor.
    pub(super) shape: Vec<u64>,
    pub(super) type_name: &'static str,
    /// Of the parts that are meant.
    pub(super) bytes: u64,
    pub(super) parts: u32,
    /// How many parts the tensor has.
    pub(super) of: u32,
}

/// The tensors of the components that match, in component order.
///
/// # Errors
/// A filter that matches no component.
pub(super) fn listed<'a>(demand: &'a Demand, filter: &Filter) -> Result<Vec<Listed<'a>>, Error> {
    let mut list: Vec<Listed<'a>> = Vec::new();
    let mut merged: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut matched: Option<(ComponentId, bool)> = None;
    for (tensor, stored) in demand.storage.tensors.iter().zip(&demand.storage.stored) {
        // A component's tensors are next to each other, so its name is matched once.
        let wanted = match matched {
            Some((id, wanted)) if id == tensor.component => wanted,
            _ => filter.matches(tensor.component),
        };
        matched = Some((tensor.component, wanted));
        if !wanted {
            continue;
        }
        let shared = tensor.merged.map(|_| (tensor.name.as_str(), stored.type_name));
        if let Some(one) = shared.and_then(|key| merged.get(&key)).and_then(|&at| list.get_mut(at))
        {
            one.bytes = one.bytes.saturating_add(stored.bytes);
            one.parts += 1;
            continue;
        }
        if let Some(key) = shared {
            merged.insert(key, list.len());
        }
        list.push(Listed {
            name: &tensor.name,
            shape: tensor.file_shape(),
            type_name: stored.type_name,
            bytes: stored.bytes,
            parts: 1,
            of: tensor.merged.map_or(1, |merged| merged.parts),
        });
    }
    match &filter.0 {
        Some((glob, _)) if list.is_empty() => Err(Error::new("list the tensors of")
            .object(glob)
            .expected("a pattern that matches a component, as `layers.3.*`")
            .found("no match")),
        _ => Ok(list),
    }
}

/// The largest tensors, larger first, earlier first among equals.
pub(super) fn largest(demand: &Demand, count: usize) -> Vec<Listed<'_>> {
    let mut all = listed(demand, &Filter::default()).unwrap_or_default();
    // Stable: among equals the order of components stays.
    all.sort_by_key(|tensor| Reverse(tensor.bytes));
    all.truncate(count);
    all
}
