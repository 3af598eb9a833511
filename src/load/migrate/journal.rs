//! What has moved, on the disk: whatever ends the program, the next one knows where it was.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use crate::error::Error;
use crate::files::{Appended, Tail, is_missing};
use crate::migrate::Plan;

const OPERATION: &str = "read the journal";
const WHAT: &str = "migration-journal";
const VERSION: u64 = 1;

/// A longer journal is refused, in lines: no plan has so many steps.
const LINES_MAX: usize = 1 << 20;

/// How far a journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Steps that are done.
    pub done: usize,
    /// Whether the next one had begun: its program ended on the way.
    pub begun: bool,
}

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    file: Appended,
    /// Steps that are done and written down.
    written: usize,
    /// Whether the last line may be there in part.
    torn: bool,
}

impl Journal {
    /// Opens the journal of a plan whose first `done` steps are done, or begins it.
    ///
    /// # Errors
    /// A journal of another plan or of another position, by name; what [`Position::read`] refuses; what the file
    /// system refuses.
    pub fn open(path: &Path, plan: &Plan, done: usize) -> Result<Self, Error> {
        let lines = if is_missing(path) { Lines::default() } else { Lines::read(path)? };
        let position = lines.position(path, plan)?;
        if position.done != done {
            return Err(Error::new("apply the migration plan")
                .object(path.display().to_string())
                .expected(format!("a model that {} are done of, as the journal says", steps(position.done)))
                .found(format!("one that {} are done of", steps(done)))
                .hint("load with --plan and this --journal to go on from there, or begin another journal"));
        }
        let mut file = Appended::open(path)?;
        if lines.cut {
            // Ends the line that was cut off; the next one says that this is so.
            file.line("")?;
        }
        let first = if lines.head(plan).1 { json!({"resume": done}) } else { head(plan) };
        let mut journal = Self { file, written: done, torn: false };
        journal.write(&first)?;
        Ok(journal)
    }

    /// The step behind so many is about to be taken.
    pub(super) fn begin(&mut self, done: usize, line: &str) -> Result<(), Error> {
        self.write(&json!({"begin": done + 1, "move": line}))
    }

    /// So many steps are done.
    pub(super) fn done(&mut self, done: usize, plan: &Plan) -> Result<(), Error> {
        // After a failure the file says where it went on, and a step that is done had begun.
        let begin = self.torn.then(|| plan.steps.get(self.written)).flatten();
        if let Some(step) = begin {
            self.begin(self.written, &plan.line(step))?;
        }
        self.write(&json!({"done": done}))?;
        self.written = done;
        Ok(())
    }

    fn write(&mut self, line: &serde_json::Value) -> Result<(), Error> {
        if self.torn {
            self.file.line("")?;
            self.file.line(&json!({"resume": self.written}).to_string())?;
        }
        self.torn = true;
        self.file.line(&line.to_string())?;
        self.file.sync()?;
        self.torn = false;
        Ok(())
    }
}

impl Position {
    /// Where a journal says that a plan is.
    ///
    /// # Errors
    /// A file that is no such journal, one of another plan, one that contradicts itself; a last line that was cut off
    /// is none of that.
    pub fn read(path: &Path, plan: &Plan) -> Result<Self, Error> {
        Lines::read(path)?.position(path, plan)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    apportion: String,
    version: u64,
    plan: String,
    steps: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    begin: Option<usize>,
    #[serde(rename = "move")]
    moves: Option<String>,
    done: Option<usize>,
    resume: Option<usize>,
}

/// The text of a journal.
#[derive(Default)]
struct Lines {
    whole: Vec<String>,
    /// Whether the last one has no end.
    cut: bool,
}

impl Lines {
    fn read(path: &Path) -> Result<Self, Error> {
        let mut tail = Tail::open(path, OPERATION)?;
        let mut whole: Vec<String> = Vec::new();
        loop {
            let more = tail.lines()?;
            if more.is_empty() {
                // All of a line but its end is a line: it says what it says.
                let rest = std::str::from_utf8(tail.rest()).unwrap_or_default();
                if serde_json::from_str::<serde_json::Value>(rest).is_ok() {
                    whole.push(rest.to_owned());
                }
                return Ok(Self { whole, cut: tail.is_cut() });
            }
            whole.extend(more);
            if whole.len() > LINES_MAX {
                let most = format!("at most {LINES_MAX} lines");
                return Err(tail.refuse().expected(most).found("more"));
            }
        }
    }

    /// How many lines are the head of this plan's journal, or pieces of it: whoever writes it may be ended and begin
    /// again. And whether one of them is whole.
    fn head(&self, plan: &Plan) -> (usize, bool) {
        let own = head(plan).to_string();
        let heads = self.whole.iter().take_while(|line| own.starts_with(line.as_str()));
        (heads.clone().count(), heads.clone().any(|line| *line == own))
    }

    fn position(&self, path: &Path, plan: &Plan) -> Result<Position, Error> {
        let refuse = || Error::new(OPERATION).object(path.display().to_string());
        let (heads, whole) = self.head(plan);
        if let (false, Some(line)) = (whole, self.whole.get(heads)) {
            return Err(not_the_head(line, plan, refuse().place(format!("line {}", heads + 1))));
        }
        // The head is on the disk before anything moves.
        let mut position = Position::default();
        for (index, line) in self.whole.iter().enumerate().skip(heads) {
            let place = || refuse().place(format!("line {}", index + 1));
            match serde_json::from_str::<Entry>(line) {
                Ok(entry) => {
                    position = position
                        .follow(&entry, plan)
                        .map_err(|found| place().expected("what can come next").found(found))?;
                }
                Err(_) if self.resumes(index + 1) => {}
                Err(error) => {
                    return Err(place().expected("a whole line").found(error.to_string()));
                }
            }
        }
        Ok(position)
    }

    /// Whether the next whole line from there on says that another program went on, or there is none.
    fn resumes(&self, index: usize) -> bool {
        // Whoever says so may have been ended on that very line, and so may the next one.
        let mut rest = self.whole.iter().skip(index);
        let entry = rest.find_map(|line| serde_json::from_str::<Entry>(line).ok());
        entry.is_none_or(|entry| entry.resume.is_some())
    }
}

impl Position {
    /// Where the journal is after one more line, or what is wrong with that.
    fn follow(self, entry: &Entry, plan: &Plan) -> Result<Self, String> {
        let next = self.done + 1;
        match (entry.begin, &entry.moves, entry.done, entry.resume) {
            (Some(begin), Some(moves), None, None) if begin == next => {
                match plan.steps.get(self.done).map(|step| plan.line(step)) {
                    Some(line) if line == *moves => Ok(Self { begun: true, ..self }),
                    Some(line) => Err(format!("`{moves}` where the plan has `{line}`")),
                    None => Err(format!("step {next} of {}", plan.steps.len())),
                }
            }
            (None, None, Some(done), None) if done == next && self.begun => {
                Ok(Self { done, begun: false })
            }
            (None, None, None, Some(resume)) if resume == self.done => {
                Ok(Self { begun: false, ..self })
            }
            _ => Err(format!("something else after {}", steps(self.done))),
        }
    }
}

/// What is wrong with a line that should be the head.
fn not_the_head(line: &str, plan: &Plan, refuse: Error) -> Error {
    let Ok(head) = serde_json::from_str::<Head>(line) else {
        return refuse.expected("the head of a migration journal").found("another line");
    };
    if head.apportion != WHAT || head.version != VERSION {
        return refuse
            .expected(format!("`{WHAT}`, version {VERSION}"))
            .found(format!("`{}`, version {}", head.apportion, head.version));
    }
    let of = |plan: &str, steps: usize| format!("plan {plan} of {steps} steps");
    refuse
        .expected(format!(
            "the journal of this plan, {}",
            of(&plan.fingerprint(), plan.steps.len())
        ))
        .found(format!("that of {}", of(&head.plan, head.steps)))
        .hint("each plan has a journal of its own")
}

/// The first line of the journal of a plan.
fn head(plan: &Plan) -> serde_json::Value {
    let (plan, steps) = (plan.fingerprint(), plan.steps.len());
    json!({"apportion": WHAT, "version": VERSION, "plan": plan, "steps": steps})
}

/// `1 step`, `2 steps`.
fn steps(count: usize) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}
