//! The solvers of this build, by name.

#[cfg(feature = "highs")]
use super::Highs;
use super::{Backend, Limits, Microlp, Run};
use crate::error::Error;
use crate::plan::program::Program;

/// A solver that this build has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SolverKind {
    /// The embedded one; the default.
    #[default]
    Microlp,
    /// HiGHS.
    #[cfg(feature = "highs")]
    Highs,
}

/// Solvers there are, and the features that bring those which are not always there.
const OPTIONAL: [(&str, &str); 1] = [("highs", "highs")];

impl SolverKind {
    /// Every solver of this build, the default first.
    pub const ALL: &'static [Self] = &[
        Self::Microlp,
        #[cfg(feature = "highs")]
        Self::Highs,
    ];

    /// Finds it by its name.
    ///
    /// # Errors
    /// An unknown name, or that of a solver which was not built in: then how to build it.
    pub fn parse(name: &str) -> Result<Self, Error> {
        if let Some(&kind) = Self::ALL.iter().find(|kind| kind.name() == name) {
            return Ok(kind);
        }
        let known: Vec<&str> = Self::ALL.iter().map(Self::name).collect();
        let error = Error::new("choose the solver").object(name);
        match OPTIONAL.iter().find(|(solver, _)| *solver == name) {
            Some((_, feature)) => Err(error
                .expected(known.join(" or "))
                .found("a solver that this program was built without")
                .hint(format!("build it with `cargo build --release --features {feature}`"))),
            None => Err(error.expected(known.join(" or ")).found("another name")),
        }
    }

    fn backend(self) -> &'static dyn Backend {
        match self {
            Self::Microlp => &Microlp,
            #[cfg(feature = "highs")]
            Self::Highs => &Highs,
        }
    }
}

impl Backend for SolverKind {
    fn name(&self) -> &'static str {
        self.backend().name()
    }

    fn run(&self, program: &Program, limits: &Limits) -> Result<Run, Error> {
        self.backend().run(program, limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solver_is_found_by_its_name_or_the_error_says_how_to_get_it() {
        for &kind in SolverKind::ALL {
            assert_eq!(SolverKind::parse(kind.name()).unwrap(), kind);
        }
        assert_eq!(SolverKind::ALL[0], SolverKind::default());
        let error = SolverKind::parse("cplex").unwrap_err();
        assert!(error.to_string().contains("microlp"), "{error}");
    }

    #[test]
    #[cfg(not(feature = "highs"))]
    fn a_solver_that_was_not_built_in_says_so() {
        let error = SolverKind::parse("highs").unwrap_err();
        assert!(error.hint_text().unwrap().contains("--features highs"), "{error}");
    }
}
