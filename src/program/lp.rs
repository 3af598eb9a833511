//! A program in the LP format of CPLEX, as far as all readers agree on it.
//!
//! Names are kept where every reader takes them, and made legal where one would not: letters, digits, `_`
//! and `.` only, a letter first, no number in disguise (`e5`), no keyword, well below 255 characters. The
//! objective's constant is a variable fixed at 1, because readers disagree about a bare number there. Sources:
//! the descriptions of the format by IBM (CPLEX), Gurobi, SCIP, GLPK and HiGHS, of which this is the common
//! part.

use std::collections::BTreeMap;
use std::fmt;

use super::{Program, Sense, Var};

/// Carries the objective's constant; fixed at 1.
const CONSTANT: &str = "objective_constant";

/// The objective's own name.
const OBJECTIVE: &str = "objective";

/// Longer names are cut; what makes a cut name unique again comes on top.
const NAME_MAX: usize = 200;

/// Terms per line: long lines are legal, but some readers cut them.
const TERMS_PER_LINE: usize = 12;

/// Words that begin a section or mean a number, in any case; as names they would be misread.
const KEYWORDS: [&str; 34] = [
    "bin", "binaries", "binary", "bound", "bounds", "end", "free", "gen", "general", "generals",
    "inf", "infinity", "int", "integer", "integers", "lazy", "max", "maximise", "maximize",
    "maximum", "min", "minimise", "minimize", "minimum", "nan", "s.t.", "sec", "semi", "semis",
    "sin", "sos", "st", "st.", "subject",
];

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = legal_names(self.variables.iter().map(|v| v.name.as_str()), CONSTANT);
        let rows = legal_names(self.rows.iter().map(|row| row.name.as_str()), OBJECTIVE);
        writeln!(f, "\\ objective constant {}", self.objective_constant)?;
        write!(f, "Minimize\n {OBJECTIVE}:")?;
        if self.objective_constant == 0 || !self.objective.is_empty() {
            write_terms(f, &self.objective, &names)?;
        }
        if self.objective_constant != 0 {
            write!(f, " {} {CONSTANT}", signed(self.objective_constant))?;
        }
        writeln!(f, "\nSubject To")?;
        for (row, name) in self.rows.iter().zip(rows) {
            write!(f, " {name}:")?;
            write_terms(f, &row.terms, &names)?;
            let sense = if row.sense == Sense::Le { "<=" } else { "=" };
            writeln!(f, " {sense} {}", row.rhs)?;
        }
        self.write_bounds(f, &names)?;
        if self.variables.iter().any(|v| v.integer) {
            writeln!(f, "General")?;
        }
        for (_, name) in self.variables.iter().zip(&names).filter(|(v, _)| v.integer) {
            writeln!(f, " {name}")?;
        }
        writeln!(f, "End")
    }
}

impl Program {
    fn write_bounds(&self, f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
        writeln!(f, "Bounds")?;
        for (v, name) in self.variables.iter().zip(names) {
            match v.upper {
                Some(upper) if upper == v.lower => writeln!(f, " {name} = {upper}")?,
                Some(upper) => writeln!(f, " {} <= {name} <= {upper}", v.lower)?,
                None => writeln!(f, " {name} >= {}", v.lower)?,
            }
        }
        if self.objective_constant != 0 {
            writeln!(f, " {CONSTANT} = 1")?;
        }
        Ok(())
    }
}

fn write_terms(f: &mut fmt::Formatter<'_>, terms: &[(Var, i64)], names: &[String]) -> fmt::Result {
    if terms.is_empty() {
        // The format wants at least one term.
        return names.first().map_or(Ok(()), |name| write!(f, " 0 {name}"));
    }
    for (index, &(var, coefficient)) in terms.iter().enumerate() {
        let lead = if index > 0 && index % TERMS_PER_LINE == 0 { "\n  " } else { " " };
        write!(f, "{lead}{} {}", signed(coefficient), names[var.0])?;
    }
    Ok(())
}

/// `+ 3` or `- 3`.
fn signed(number: i64) -> String {
    format!("{} {}", if number < 0 { '-' } else { '+' }, number.unsigned_abs())
}

/// Every name as a legal one, no two the same and none equal to `taken`.
fn legal_names<'a>(names: impl Iterator<Item = &'a str>, taken: &str) -> Vec<String> {
    // How often each was given out, so that many equal names are not counted up from 1 each.
    let mut given = BTreeMap::from([(taken.to_owned(), 1_usize)]);
    let unique = |name: &str| {
        let name = legal(name);
        let mut candidate = name.clone();
        while let Some(&times) = given.get(&candidate) {
            let next = given.get(&name).copied().unwrap_or(times) + 1;
            given.insert(name.clone(), next);
            candidate = format!("{name}_{next}");
        }
        given.insert(candidate.clone(), 1);
        candidate
    };
    names.map(unique).collect()
}

/// The name itself when every reader takes it, else one like it.
fn legal(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let tame = |c: char| if allowed(c) { c } else { '_' };
    let tamed: String = name.chars().take(NAME_MAX).map(tame).collect();
    let keyword = KEYWORDS.contains(&tamed.to_ascii_lowercase().as_str());
    if keyword || !tamed.starts_with(|c: char| c.is_ascii_alphabetic()) || is_exponent(&tamed) {
        format!("n_{tamed}")
    } else {
        tamed
    }
}

/// Whether a reader may take it for the end of a number, as in `3 e5`.
fn is_exponent(name: &str) -> bool {
    let rest = name.strip_prefix(['e', 'E']);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> (Program, Var, Var) {
        let mut program = Program::default();
        let x = program.integer("x".to_owned(), 3);
        let y = program.continuous("y".to_owned(), None);
        program.at_most("c1".to_owned(), vec![(x, 2), (y, -1), (x, 1)], 5);
        program.objective = vec![(y, 1)];
        (program, x, y)
    }

    #[test]
    fn prints_as_an_lp_file() {
        assert_eq!(
            small().0.to_string(),
            "\\ objective constant 0\nMinimize\n objective: + 1 y\nSubject To\n \
             c1: + 3 x - 1 y <= 5\nBounds\n 0 <= x <= 3\n y >= 0\nGeneral\n x\nEnd\n"
        );
    }

    #[test]
    fn a_constant_is_a_fixed_variable() {
        let (mut program, x, _) = small();
        program.objective_constant = -7;
        program.fix(x, 2);
        assert_eq!(
            program.to_string(),
            "\\ objective constant -7\nMinimize\n objective: + 1 y - 7 objective_constant\n\
             Subject To\n c1: + 3 x - 1 y <= 5\nBounds\n x = 2\n y >= 0\n objective_constant = 1\n\
             General\n x\nEnd\n"
        );
    }

    #[test]
    fn names_that_a_reader_would_misread_are_changed() {
        for (name, expected) in [
            ("layers.3.experts.5.gpu0", "layers.3.experts.5.gpu0"),
            ("embedding_gpu0", "embedding_gpu0"),
            ("home0_my gpu: 2 <= 3", "home0_my_gpu__2____3"),
            ("e5", "n_e5"),
            ("E.1", "n_E.1"),
            ("e", "n_e"),
            ("7gpu", "n_7gpu"),
            (".x", "n_.x"),
            ("Free", "n_Free"),
            ("", "n_"),
            ("h\u{e9}\n\\", "h___"),
        ] {
            assert_eq!(legal(name), expected);
        }
        assert_eq!(legal(&"a".repeat(1000)).len(), NAME_MAX);
    }

    #[test]
    fn names_that_become_equal_are_told_apart() {
        let names = ["a b", "a-b", "a_b_2", "a_b", "objective"];
        let expected = ["a_b", "a_b_2", "a_b_2_2", "a_b_3", "objective_2"];
        assert_eq!(legal_names(names.into_iter(), OBJECTIVE), expected);
    }
}
