//! Names of a family's templates, in every layout, against names in files.

use std::collections::BTreeMap;

use super::{Belongs, Place};
use crate::model::family::Family;
use crate::model::naming::{unwrapped, weights_of};
use crate::model::template::{Merge, TensorTemplate};
use crate::model::{ComponentId, ComponentKind, TensorRole};

/// What a tensor of some pattern is.
#[derive(Clone, Copy, Debug)]
struct Row {
    kind: ComponentKind,
    role: TensorRole,
    as_rows: bool,
}

/// The templates of a family by pattern: their names with `#` where numbers go.
#[derive(Debug)]
pub(super) struct Matcher {
    rows: BTreeMap<String, Row>,
}

impl Matcher {
    pub(super) fn new(family: &Family) -> Self {
        let mut rows = BTreeMap::new();
        for (part, _, _, templates) in family.components.all() {
            let Some(kind) = KINDS.iter().find(|(name, _)| *name == part).map(|row| row.1) else {
                continue;
            };
            for template in templates {
                let row =
                    Row { kind, role: template.role, as_rows: template.merged == Merge::Rows };
                for name in template.names() {
                    rows.entry(pattern_of_template(name)).or_insert(row);
                    if let Some(split) = split_name(name, template, kind) {
                        rows.entry(split).or_insert(row);
                    }
                }
            }
        }
        Self { rows }
    }

    /// Where the tensor belongs, if a template has it or the weight it is about.
    pub(super) fn find(&self, name: &str) -> Option<Belongs> {
        self.exact(name).or_else(|| self.exact(&unwrapped(name)))
    }

    /// By the name itself, or by that of the weight whose statistics it holds.
    fn exact(&self, name: &str) -> Option<Belongs> {
        let (pattern, numbers) = pattern_of(name);
        if let Some(row) = self.rows.get(&pattern) {
            return place(*row, &numbers);
        }
        let statistic = |row: &Row| place(Row { role: TensorRole::Parameter, ..*row }, &numbers);
        let row = weights_of(&pattern).find_map(|weight| self.rows.get(&weight));
        row.and_then(statistic)
    }
}

const KINDS: [(&str, ComponentKind); 8] = [
    ("embedding", ComponentKind::Embedding),
    ("attention", ComponentKind::Attention),
    ("router", ComponentKind::Router),
    ("mlp", ComponentKind::Mlp),
    ("shared_expert", ComponentKind::SharedExpert),
    ("expert", ComponentKind::Expert),
    ("final_norm", ComponentKind::FinalNorm),
    ("output_head", ComponentKind::OutputHead),
];

fn pattern_of_template(name: &str) -> String {
    name.replace("{layer}", "#").replace("{expert}", "#")
}

/// The pattern of the expert's own tensor in GGUF files from before experts were merged.
fn split_name(name: &str, template: &TensorTemplate, kind: ComponentKind) -> Option<String> {
    let merged = kind == ComponentKind::Expert && template.gguf.as_deref() == Some(name);
    merged.then(|| pattern_of_template(&name.replace("_exps.", ".{expert}.")))
}

/// A name with `#` for every part that is a number, and the numbers.
fn pattern_of(name: &str) -> (String, Vec<u32>) {
    let mut pattern = String::with_capacity(name.len());
    let mut numbers = Vec::with_capacity(2);
    for (at, part) in name.split('.').enumerate() {
        if at > 0 {
            pattern.push('.');
        }
        let canonical = part == "0" || !part.starts_with(['0', '+']);
        match part.parse::<u32>().ok().filter(|_| canonical) {
            Some(number) => {
                numbers.push(number);
                pattern.push('#');
            }
            None => pattern.push_str(part),
        }
    }
    (pattern, numbers)
}

fn place(row: Row, numbers: &[u32]) -> Option<Belongs> {
    let one = |id| Some(Place::One(id));
    let place = match (row.kind, numbers) {
        (ComponentKind::Embedding, []) => one(ComponentId::Embedding),
        (ComponentKind::FinalNorm, []) => one(ComponentId::FinalNorm),
        (ComponentKind::OutputHead, []) => one(ComponentId::OutputHead),
        (ComponentKind::Attention, &[layer]) => one(ComponentId::Attention(layer)),
        (ComponentKind::Router, &[layer]) => one(ComponentId::Router(layer)),
        (ComponentKind::Mlp, &[layer]) => one(ComponentId::Mlp(layer)),
        (ComponentKind::SharedExpert, &[layer]) => one(ComponentId::SharedExpert(layer)),
        (ComponentKind::Expert, &[layer, expert]) => one(ComponentId::Expert(layer, expert)),
        (ComponentKind::Expert, &[layer]) => {
            Some(Place::AllExperts { layer, as_rows: row.as_rows })
        }
        _ => None,
    };
    place.map(|place| Belongs { place, role: row.role })
}
