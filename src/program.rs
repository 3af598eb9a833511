//! An integer program in exact numbers: named variables, named rows, one linear objective to minimise.
//!
//! It is a value. Formulations build it, a [`solver`](crate::plan::solver) solves it, and its `Display` is the
//! CPLEX LP format that any other solver reads. No solver type and no floating point occurs in it.

use std::fmt;

/// A variable of a [`Program`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var(pub(crate) usize);

impl Var {
    /// Its place in [`Program::variables`] and in the values of a [`Run`](crate::plan::solver::Run).
    pub fn index(self) -> usize {
        self.0
    }
}

/// Which side of a row its right-hand side bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// `terms <= rhs`
    Le,
    /// `terms = rhs`
    Eq,
}

/// What is known of a variable beforehand.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Readable and unique, without spaces.
    pub name: String,
    /// Smallest value.
    pub lower: i32,
    /// Largest value; `None` is unbounded.
    pub upper: Option<i32>,
    /// Whether only whole numbers count.
    pub integer: bool,
}

/// One constraint.
#[derive(Clone, Debug)]
pub struct Row {
    /// The constraint's name and what it is about, e.g. `capacity_gpu0`.
    pub name: String,
    /// Variables with their coefficients, each variable at most once.
    pub terms: Vec<(Var, i64)>,
    /// Less-or-equal or equal.
    pub sense: Sense,
    /// The constant side.
    pub rhs: i64,
}

/// Minimise `objective` over the variables subject to the rows.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// All variables; a [`Var`] is an index into them.
    pub variables: Vec<Variable>,
    /// All rows.
    pub rows: Vec<Row>,
    /// What is minimised, up to `objective_constant`.
    pub objective: Vec<(Var, i64)>,
    /// Added to the objective's value.
    pub objective_constant: i64,
}

impl Program {
    /// A whole number between `0` and `upper`.
    pub(crate) fn integer(&mut self, name: String, upper: usize) -> Var {
        let upper = i32::try_from(upper).unwrap_or(i32::MAX);
        self.push(Variable { name, lower: 0, upper: Some(upper), integer: true })
    }

    /// 0 or 1.
    pub(crate) fn binary(&mut self, name: String) -> Var {
        self.integer(name, 1)
    }

    /// Any number from 0 up.
    pub(crate) fn continuous(&mut self, name: String, upper: Option<i32>) -> Var {
        self.push(Variable { name, lower: 0, upper, integer: false })
    }

    fn push(&mut self, variable: Variable) -> Var {
        self.variables.push(variable);
        Var(self.variables.len() - 1)
    }

    /// Adds `terms <= rhs`.
    pub(crate) fn at_most(&mut self, name: String, terms: Vec<(Var, i64)>, rhs: i64) {
        self.row(name, terms, Sense::Le, rhs);
    }

    /// Adds `terms = rhs`.
    pub(crate) fn equal(&mut self, name: String, terms: Vec<(Var, i64)>, rhs: i64) {
        self.row(name, terms, Sense::Eq, rhs);
    }

    fn row(&mut self, name: String, terms: Vec<(Var, i64)>, sense: Sense, rhs: i64) {
        let terms = merged(terms);
        self.rows.push(Row { name, terms, sense, rhs });
    }

    /// Fixes a variable.
    pub(crate) fn fix(&mut self, var: Var, value: i32) {
        let variable = &mut self.variables[var.0];
        variable.lower = value;
        variable.upper = Some(value);
    }
}

/// Each variable once, zero coefficients dropped, in variable order.
pub(crate) fn merged(mut terms: Vec<(Var, i64)>) -> Vec<(Var, i64)> {
    terms.sort_by_key(|(var, _)| var.0);
    let mut out: Vec<(Var, i64)> = Vec::with_capacity(terms.len());
    for (var, coefficient) in terms {
        match out.last_mut() {
            Some((last, sum)) if *last == var => *sum += coefficient,
            _ => out.push((var, coefficient)),
        }
    }
    out.retain(|&(_, coefficient)| coefficient != 0);
    out
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\\ objective constant {}", self.objective_constant)?;
        write!(f, "Minimize\n objective:")?;
        self.write_terms(f, &self.objective)?;
        writeln!(f, "\nSubject To")?;
        for row in &self.rows {
            write!(f, " {}:", row.name)?;
            self.write_terms(f, &row.terms)?;
            let sense = if row.sense == Sense::Le { "<=" } else { "=" };
            writeln!(f, " {sense} {}", row.rhs)?;
        }
        writeln!(f, "Bounds")?;
        for v in &self.variables {
            match v.upper {
                Some(upper) => writeln!(f, " {} <= {} <= {upper}", v.lower, v.name)?,
                None => writeln!(f, " {} >= {}", v.name, v.lower)?,
            }
        }
        writeln!(f, "General")?;
        for v in self.variables.iter().filter(|v| v.integer) {
            writeln!(f, " {}", v.name)?;
        }
        writeln!(f, "End")
    }
}

impl Program {
    fn write_terms(&self, f: &mut fmt::Formatter<'_>, terms: &[(Var, i64)]) -> fmt::Result {
        if terms.is_empty() {
            // The format wants at least one term.
            return self.variables.first().map_or(Ok(()), |v| write!(f, " 0 {}", v.name));
        }
        for (index, (var, coefficient)) in terms.iter().enumerate() {
            let sign = if *coefficient < 0 { "-" } else { "+" };
            // Long lines are legal but some readers cut them.
            let lead = if index > 0 && index % 12 == 0 { "\n  " } else { " " };
            write!(
                f,
                "{lead}{sign} {} {}",
                coefficient.unsigned_abs(),
                self.variables[var.0].name
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_an_lp_file() {
        let mut program = Program::default();
        let x = program.integer("x".to_owned(), 3);
        let y = program.continuous("y".to_owned(), None);
        program.at_most("c1".to_owned(), vec![(x, 2), (y, -1), (x, 1)], 5);
        program.objective = vec![(y, 1)];
        assert_eq!(
            program.to_string(),
            "\\ objective constant 0\nMinimize\n objective: + 1 y\nSubject To\n \
             c1: + 3 x - 1 y <= 5\nBounds\n 0 <= x <= 3\n y >= 0\nGeneral\n x\nEnd\n"
        );
    }
}
