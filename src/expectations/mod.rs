//! What is held fixed: questions with the answers they had, asked again, and what moved where they differ.
//!
//! A file of expectations has cases. Each is a question in the words of `apportion solve`, or a placement
//! file, with what must hold of the answer. [`Expectations::run`] asks all of them side by side; what no
//! longer holds is explained from the facts that were recorded with the answer: the estimate changed, a
//! constraint changed, the objective changed, or, of the same problem, a tie was broken otherwise, the
//! search went another way, a bound is weaker. [`Expectations::update`] writes what holds now in place of
//! what did, and touches nothing else of the file.
//!
//! The format, with examples: [`crate::documentation::ci`].

mod ask;
mod edit;
mod facts;
mod fields;
mod judge;
mod lines;
mod moves;
mod question;
mod read;
mod spans;
mod stated;
mod update;
mod values;
mod wanted;
mod why;

pub use ask::{Broken, Now, Outcome, Verdict};
pub use judge::{Amount, Difference, Relation};
pub use read::Expectations;
pub use update::{Updated, Written};
pub use why::{Class, Reason};

/// The most cases one file may have.
pub const CASES_MAX: usize = 10_000;
