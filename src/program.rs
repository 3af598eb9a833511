//! An integer program in exact numbers: named variables, named rows, one linear objective to minimise.
//!
//! It is a value. Formulations build it, a [`solver`](crate::plan::solver) solves it, and its `Display` is the
//! LP format that any other solver reads. No solver type and no floating point occurs in it.

mod lp;

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
    /// Readable and unique.
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
