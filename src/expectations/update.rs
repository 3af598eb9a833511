//! Writes what holds now in place of what did.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ask::{Outcome, Rewrite, Verdict};
use super::edit::rewrite;
use super::read::Expectations;
use crate::error::Error;
use crate::files::write_atomically;

/// What an update comes to; nothing is written yet.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The new text of the file of expectations; `None` where it is right as it is.
    pub text: Option<String>,
    /// Placement files with their new texts.
    pub placements: Vec<(PathBuf, String)>,
    /// One per outcome, in their order: whether something is written for it.
    pub written: Vec<Written>,
}

/// What was done about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it is as it was.
    Kept,
    /// What it expects, or its facts, are others now.
    Changed,
    /// It could not be asked, so there is nothing to write.
    Left,
    /// It does not hold, and nothing that could be written would make it hold: a placement file whose question
    /// has no answer any more, or whose case demands another model.
    Unwritable,
}

impl Expectations {
    /// The text in which every case that was asked expects what is so, with everything else as it stands:
    /// comments, order, quotes, blank lines. Bounds that hold stay, and values that are equal in another
    /// spelling.
    ///
    /// # Errors
    /// A text in which a value cannot be changed without touching something else, with the line.
    pub fn update(&self, outcomes: &[Outcome]) -> Result<Updated, Error> {
        let mut root = self.root.clone();
        let mut placements = Vec::new();
        let mut written = Vec::new();
        for outcome in outcomes {
            written.push(match &outcome.wanted {
                None if outcome.now.is_none() => Written::Left,
                None if matches!(outcome.verdict, Verdict::Holds) => Written::Kept,
                None => Written::Unwritable,
                Some(Rewrite::Placement(path, text)) => {
                    placements.push((path.clone(), text.clone()));
                    Written::Changed
                }
                Some(Rewrite::Expect(wanted)) => {
                    let case = root.get_mut("cases").and_then(|cases| cases.get_mut(outcome.index));
                    let expect = case.and_then(|case| case.get_mut("expect"));
                    let wanted = Value::Object(wanted.clone());
                    match expect {
                        Some(expect) if *expect != wanted => {
                            *expect = wanted;
                            Written::Changed
                        }
                        _ => Written::Kept,
                    }
                }
            });
        }
        let text = rewrite(&self.text, &self.source, &self.root, &root)?;
        let text = (text != self.text).then_some(text);
        Ok(Updated { text, placements, written })
    }
}

impl Updated {
    /// Writes the files that change, each so that a reader sees the old one or the whole new one.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        for (placement, text) in &self.placements {
            write_atomically(placement, text)?;
        }
        self.text.as_deref().map_or(Ok(()), |text| write_atomically(path, text))
    }
}
