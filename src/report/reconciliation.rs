//! What `reconcile` prints: how much agrees, and what does not.

use super::{Align, Table};
use crate::error::printable;
use crate::model::Model;
use crate::reconcile::{Difference, Entry, Reconciliation};
use crate::units::{format_bytes, grouped};

/// The totals, then a line per difference.
pub fn reconciliation(model: &Model, outcome: &Reconciliation) -> String {
    let Reconciliation { scheme, equal, differences, predicted_bytes, found_bytes, left_out } =
        outcome;
    let side = |bytes: u64| format!("{} ({} bytes)", format_bytes(bytes), grouped(bytes));
    let mut text = format!(
        "{} ({}), predicted as {scheme}\n\
         predicted  {}\n\
         found      {}\n\
         {} tensors as predicted, {} not\n",
        printable(&model.name),
        model.family,
        side(*predicted_bytes),
        side(*found_bytes),
        grouped(*equal),
        grouped(differences.len() as u64),
    );
    if !left_out.is_empty() {
        let bytes = left_out.iter().fold(0_u64, |sum, tensor| sum.saturating_add(tensor.bytes));
        let others = grouped(left_out.len() as u64);
        text.push_str(&others);
        text.push_str(" tensors of the files are not part of the model that runs: ");
        text.push_str(&format_bytes(bytes));
        text.push('\n');
    }
    if !differences.is_empty() {
        text.push('\n');
        text.push_str(&table(differences));
    }
    text
}

fn table(differences: &[Difference]) -> String {
    let mut table = Table::new(&[
        ("tensor", Align::Left),
        ("predicted", Align::Left),
        ("found", Align::Left),
        ("bytes", Align::Right),
    ]);
    for difference in differences {
        let (predicted, found) = (difference.predicted.as_ref(), difference.found.as_ref());
        table.row([
            printable(&difference.name),
            predicted.map_or_else(|| "-".to_owned(), shown),
            found.map_or_else(|| "-".to_owned(), shown),
            change(predicted, found),
        ]);
    }
    table.render()
}

fn shown(entry: &Entry) -> String {
    let shape: Vec<String> = entry.shape.iter().map(u64::to_string).collect();
    format!("{} {}", entry.type_name, shape.join("x"))
}

/// How many bytes more or fewer were found.
fn change(predicted: Option<&Entry>, found: Option<&Entry>) -> String {
    let bytes = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.bytes);
    let (predicted, found) = (bytes(predicted), bytes(found));
    if found >= predicted {
        format!("+{}", grouped(found - predicted))
    } else {
        format!("-{}", grouped(predicted - found))
    }
}
