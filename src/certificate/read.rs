//! Reads a certificate file as hostile input.
//!
//! What comes out is well formed and speaks of the problem's components and devices; whether it proves
//! anything is for [`crate::verify::prove`] to say.

use serde::Deserialize;

use super::write::{VERSION, WHAT};
use super::{Certificate, Prices, Proof, StageProof, Tree};
use crate::error::Error;
use crate::model::ComponentId;
use crate::objective::ALL;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem};
use crate::scenario::fingerprint;
use crate::units::Ratio;
use crate::yaml::{self, StrictMap};

const OPERATION: &str = "read the certificate";
const DEPTH_MAX: usize = 64;
const LEAVES_MAX: usize = 10_000;

/// Only what says that the rest can be read, so that another version or another file is named as such.
#[derive(Deserialize)]
#[serde(expecting = "the keys of a certificate file")]
struct HeadEntry {
    apportion: String,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a certificate file")]
struct FileEntry {
    #[expect(dead_code, reason = "checked through `HeadEntry` before the rest is read")]
    apportion: String,
    #[expect(dead_code, reason = "checked through `HeadEntry` before the rest is read")]
    version: u64,
    problem: String,
    stages: Vec<StageEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a stage")]
struct StageEntry {
    objective: String,
    bound: ExactEntry,
    cap: ExactEntry,
    #[serde(default)]
    zones: Vec<u32>,
    proof: ProofEntry,
    tree: Option<TreeEntry>,
    single_runs: Option<TreeEntry>,
    others: Option<TreeEntry>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProofEntry {
    Zero,
    Search,
    Relaxation,
    Walks,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an integer or a fraction such as `3/4`")]
enum ExactEntry {
    Whole(u64),
    Fraction(String),
}

/// A split or a leaf: which one, its keys say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a split or of prices")]
struct TreeEntry {
    device: Option<String>,
    class: Option<String>,
    at: Option<u64>,
    least: Option<Box<TreeEntry>>,
    most: Option<Box<TreeEntry>>,
    weights: Option<StrictMap<i64>>,
    #[serde(default)]
    tracked: Vec<String>,
    #[serde(default)]
    fractional: Vec<String>,
    #[serde(default)]
    prices: StrictMap<i64>,
}

impl Certificate {
    /// Reads the text of a certificate file; `source` names it in messages, `problem` is the one it must be
    /// about.
    ///
    /// # Errors
    /// Text that is not such a file, and where; a certificate of another problem; names of components and
    /// devices that the problem does not have; trees that are too deep or have too many leaves.
    pub fn from_yaml(text: &str, source: &str, problem: &Problem) -> Result<Self, Error> {
        let head: HeadEntry = yaml::from_str(text, OPERATION, source)?;
        let refuse = |place: &str| Error::new(OPERATION).object(source).place(place);
        if head.apportion != WHAT {
            return Err(refuse("apportion").expected(WHAT).found(head.apportion));
        }
        if head.version != VERSION {
            let version = head.version.to_string();
            return Err(refuse("version").expected(VERSION.to_string()).found(version));
        }
        let file: FileEntry = yaml::from_str(text, OPERATION, source)?;
        let stated = fingerprint(problem);
        if file.problem != stated {
            let hint = "it was made for another problem; solve again with --certificate";
            return Err(refuse("problem").expected(stated).found(file.problem).hint(hint));
        }
        let mut reader = Reader { problem, leaves_left: LEAVES_MAX };
        let stages = file.stages.into_iter().map(|stage| reader.stage(stage));
        let stages = stages.collect::<Result<_, _>>().map_err(|error| error.object(source))?;
        Ok(Self { problem: file.problem, stages })
    }
}

struct Reader<'a> {
    problem: &'a Problem,
    leaves_left: usize,
}

impl Reader<'_> {
    fn stage(&mut self, entry: StageEntry) -> Result<StageProof, Error> {
        let kind = kind_of(&entry.objective)?;
        let place = |key: &str| format!("stages, {}, {key}", kind.name());
        let value = |entry, key| exact(kind, entry).ok_or_else(|| refuse(&place(key), EXACT));
        let (bound, cap) = (value(entry.bound, "bound")?, value(entry.cap, "cap")?);
        let proof = match (entry.proof, entry.tree, entry.single_runs, entry.others) {
            (ProofEntry::Zero, None, None, None) => Proof::Zero,
            (ProofEntry::Search, None, None, None) => Proof::Search,
            (ProofEntry::Relaxation, Some(tree), None, None) => {
                Proof::Relaxation(self.tree(tree, 0)?)
            }
            (ProofEntry::Walks, None, Some(single_runs), Some(others)) => Proof::Walks {
                single_runs: self.tree(single_runs, 0)?,
                others: self.tree(others, 0)?,
            },
            _ => {
                let keys =
                    "`tree` for a relaxation, `single_runs` and `others` for walks, and no other";
                return Err(refuse(&place("proof"), keys));
            }
        };
        Ok(StageProof { kind, bound, cap, zones: entry.zones, proof })
    }

    fn tree(&mut self, entry: TreeEntry, depth: usize) -> Result<Tree, Error> {
        if depth > DEPTH_MAX {
            return Err(refuse("tree", &format!("at most {DEPTH_MAX} splits below each other")));
        }
        let has_prices =
            !entry.tracked.is_empty() || !entry.fractional.is_empty() || !entry.prices.is_empty();
        match entry {
            TreeEntry {
                device: Some(device),
                class: Some(class),
                at: Some(at),
                least: Some(least),
                most: Some(most),
                weights: None,
                ..
            } if !has_prices => Ok(Tree::Split {
                device: self.device(&device)?,
                class: self.component(&class)?,
                at,
                least: Box::new(self.tree(*least, depth + 1)?),
                most: Box::new(self.tree(*most, depth + 1)?),
            }),
            TreeEntry {
                device: None,
                class: None,
                at: None,
                least: None,
                most: None,
                weights: Some(weights),
                tracked,
                fractional,
                prices,
            } => self.prices(&weights, &tracked, &fractional, &prices).map(Tree::Leaf),
            _ => {
                let keys = "`device`, `class`, `at`, `least` and `most` of a split, or `weights` of a leaf";
                Err(refuse("tree", keys))
            }
        }
    }

    fn prices(
        &mut self,
        weights: &StrictMap<i64>,
        tracked: &[String],
        fractional: &[String],
        prices: &StrictMap<i64>,
    ) -> Result<Prices, Error> {
        let Some(left) = self.leaves_left.checked_sub(1) else {
            return Err(refuse("tree", &format!("at most {LEAVES_MAX} leaves")));
        };
        self.leaves_left = left;
        let weights = weights.iter().map(|(name, weight)| Ok((kind_of(name)?, *weight)));
        let mut weights = weights.collect::<Result<Vec<_>, Error>>()?;
        weights.sort_unstable();
        let of_each = prices.iter().map(|(name, price)| Ok((self.component(name)?, *price)));
        let mut of_each = of_each.collect::<Result<Vec<_>, Error>>()?;
        of_each.sort_unstable();
        let named = |names: &[String]| {
            names.iter().map(|name| self.component(name)).collect::<Result<Vec<_>, _>>()
        };
        let (tracked, fractional) = (named(tracked)?, named(fractional)?);
        Ok(Prices { weights, tracked, prices: of_each, fractional })
    }

    fn device(&self, id: &str) -> Result<usize, Error> {
        let found = self.problem.devices.iter().position(|device| device.id == id);
        found.ok_or_else(|| refuse("device", "a device of the problem").found(format!("`{id}`")))
    }

    fn component(&self, name: &str) -> Result<ComponentId, Error> {
        let id: ComponentId = name.parse()?;
        let known = self.problem.index_of(id).map(|_| id);
        known.ok_or_else(|| {
            refuse("a class", "a component of the problem").found(format!("`{name}`"))
        })
    }
}

const EXACT: &str = "bytes, a count, or a fraction such as `3/4`, as the objective is measured";

fn exact(kind: ObjectiveKind, entry: ExactEntry) -> Option<ObjectiveValue> {
    match (kind, entry) {
        (ObjectiveKind::SpillBytes | ObjectiveKind::Migration, ExactEntry::Whole(bytes)) => {
            Some(ObjectiveValue::Bytes(bytes))
        }
        (ObjectiveKind::DevicesUsed, ExactEntry::Whole(count)) => {
            Some(ObjectiveValue::Count(count))
        }
        (ObjectiveKind::DecodeLatency | ObjectiveKind::PrefillTime, ExactEntry::Whole(ps)) => {
            Some(ObjectiveValue::Time(ps))
        }
        (
            ObjectiveKind::PeakUtilization | ObjectiveKind::Traffic | ObjectiveKind::Crossings,
            ExactEntry::Fraction(text),
        ) => Ratio::from_fraction(&text).map(ObjectiveValue::Ratio),
        _ => None,
    }
}

fn kind_of(name: &str) -> Result<ObjectiveKind, Error> {
    let found = ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| refuse("objective", "the name of an objective").found(format!("`{name}`")))
}

fn refuse(place: &str, expected: &str) -> Error {
    Error::new(OPERATION).place(place).expected(expected)
}
