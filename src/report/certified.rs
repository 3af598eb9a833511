//! What is proven of each objective, and by whom.

use super::{Align, Table, objective_value};
use crate::verify::Certified;

/// One line per objective: its bound, and whether that was verified here or is the word of who solved.
pub fn certified(bounds: &[Certified]) -> String {
    let mut table =
        Table::new(&[("objective", Align::Left), ("bound", Align::Right), ("proof", Align::Left)]);
    for bound in bounds {
        let proof = if bound.proven.is_some() { "certified" } else { "proven by search only" };
        table.row([
            bound.kind.name().to_owned(),
            objective_value(bound.kind, bound.claimed),
            proof.to_owned(),
        ]);
    }
    table.render()
}
