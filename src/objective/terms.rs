//! What a linear form may be made of: the vocabulary that every formulation speaks.
//!
//! A formulation knows which of its variables say where something is; an objective knows what that costs.
//! A finished placement speaks it too, with numbers for variables, and then the form is its own value.

use crate::problem::Problem;
use crate::program::{Var, merged};

/// How many of something there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// As many as the variable says.
    Variable(Var),
    /// So many.
    Known(i64),
}

/// `sum of coefficient * variable + constant`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linear {
    /// Variables with their coefficients.
    pub terms: Vec<(Var, i64)>,
    /// What does not depend on a variable.
    pub constant: i64,
}

impl Linear {
    /// Adds `coefficient` times an amount.
    pub fn add(&mut self, amount: Amount, coefficient: i64) {
        match amount {
            Amount::Variable(_) if coefficient == 0 => {}
            Amount::Variable(var) => self.terms.push((var, coefficient)),
            Amount::Known(number) => {
                let product = number.saturating_mul(coefficient);
                self.constant = self.constant.saturating_add(product);
            }
        }
    }

    /// Adds `factor` times another form.
    pub fn add_form(&mut self, other: &Self, factor: i64) {
        let terms = other.terms.iter().map(|&(var, n)| (var, n.saturating_mul(factor)));
        self.terms.extend(terms);
        self.add(Amount::Known(other.constant), factor);
    }

    /// The same with each variable once.
    #[must_use]
    pub fn merged(self) -> Self {
        Self { terms: merged(self.terms), constant: self.constant }
    }
}

/// Some units of one kind on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// How many.
    pub amount: Amount,
    /// Where.
    pub device: usize,
    /// Weights as allocated and KV cache of one of them.
    pub held_bytes: u64,
    /// Weights of one of them that the current placement has on other devices; 0 without one.
    pub moved_bytes: u64,
}

/// A formulation, as an objective sees it. Methods that need variables or rows of their own add them.
pub trait Terms {
    /// What is formulated.
    fn problem(&self) -> &Problem;

    /// Visits everything that is placed, on every device where it may be.
    fn placed(&mut self, visit: &mut dyn FnMut(Placed));

    /// 1 when a component lives on the device, else 0.
    fn hosts(&mut self, device: usize) -> Linear;

    /// At least the largest share that a GPU's requirements are of its capacity.
    fn peak(&mut self) -> Linear;

    /// Changes of device along the chain of embedding, layers and head.
    fn hand_overs(&mut self) -> Linear;

    /// What tokens cost there and back between their layers' homes and the feed-forward parts elsewhere,
    /// in units of one over the traffic denominator.
    fn sends(&mut self) -> Linear;
}
