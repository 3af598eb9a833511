//! The tensors of a plan: what each is to the decoder, and the type and bytes it is to have.

use std::collections::BTreeMap;

use super::{OPERATION, Slot};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::hardware::Hardware;
use crate::model::ComponentId;
use crate::quant::Storage;
use crate::scenario::{Granularity, Scenario};

/// The types weights can be held in: those candle multiplies with on every device.
pub const HELD_TYPES: [GgmlType; 13] = [
    GgmlType::F32,
    GgmlType::F16,
    GgmlType::Bf16,
    GgmlType::Q4_0,
    GgmlType::Q4_1,
    GgmlType::Q5_0,
    GgmlType::Q5_1,
    GgmlType::Q8_0,
    GgmlType::Q2K,
    GgmlType::Q3K,
    GgmlType::Q4K,
    GgmlType::Q5K,
    GgmlType::Q6K,
];

/// One tensor as the plan has it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) component: ComponentId,
    pub(super) slot: Slot,
    /// Its name in the plan's layout, for messages.
    pub(super) name: String,
    pub(super) held: GgmlType,
    /// One for vectors.
    pub(super) rows: u64,
    pub(super) columns: u64,
    pub(super) bytes: u64,
}

/// What the plan's scheme makes of the plan's model, all of which can be held.
pub(super) fn storage(scenario: &Scenario) -> Result<Storage, Error> {
    if scenario.limits.granularity == Granularity::FusedMatrix {
        return Err(Error::new("load weights as planned")
            .object("granularity fused-matrix")
            .expected("whole experts, which the decoder works with")
            .found("a placement of matrices that hold a part of every expert")
            .hint("solve again with --granularity expert, experts or layer"));
    }
    let storage = scenario.scheme.store(&scenario.model)?;
    let mut refused: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    for (tensor, stored) in storage.tensors.iter().zip(&storage.stored) {
        if held(stored.type_name).is_none() {
            refused.entry(stored.type_name).or_insert((&tensor.name, 0)).1 += 1;
        }
    }
    if refused.is_empty() {
        return Ok(storage);
    }
    let found = refused
        .iter()
        .map(|(name, (first, count))| format!("`{name}` for {count} tensors, `{first}` first"));
    Err(Error::new("load weights as planned")
        .object(scenario.scheme.name())
        .expected(format!("types that can be held here: {}", HELD_TYPES.map(GgmlType::name).join(", ")))
        .found(found.collect::<Vec<_>>().join("; "))
        .hint("solve again with --quant f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q4_0 or another mixture of these types"))
}

/// The type of that name, if weights can be held in it.
fn held(name: &str) -> Option<GgmlType> {
    GgmlType::from_name(name).filter(|kind| HELD_TYPES.contains(kind))
}

/// Every tensor of the plan, in component order.
pub(super) fn of(scenario: &Scenario, storage: &Storage) -> Result<Vec<Wanted>, Error> {
    let mut wanted = Vec::with_capacity(storage.tensors.len());
    let mut useless = Vec::new();
    for (tensor, stored) in storage.tensors.iter().zip(&storage.stored) {
        let slot = Slot::of(tensor.component, &tensor.name);
        let (Some(slot), Some(held)) = (slot, held(stored.type_name)) else {
            useless.push(tensor.name.as_str());
            continue;
        };
        let (rows, columns) = rows_and_columns(&tensor.shape).unwrap_or((0, 0));
        if held.bytes(columns).and_then(|row| row.checked_mul(rows)) != Some(stored.bytes) {
            return Err(Error::new(OPERATION)
                .place(format!("planned tensor `{}`", tensor.name))
                .expected(format!("whole rows of {}, {rows} of {columns} elements", held.name()))
                .found(format!("{} bytes", stored.bytes)));
        }
        let (component, name) = (tensor.component, tensor.name.clone());
        wanted.push(Wanted { component, slot, name, held, rows, columns, bytes: stored.bytes });
    }
    match useless.first() {
        None => Ok(wanted),
        Some(_) => Err(Error::new("run the model")
            .object(&scenario.model.name)
            .expected("only tensors that the decoder has a use for")
            .found(some_of(&useless))),
    }
}

/// Where a component lives.
pub(super) fn home(
    homes: &BTreeMap<ComponentId, usize>,
    component: ComponentId,
    hardware: &Hardware,
) -> Result<usize, Error> {
    let refuse = || {
        Error::new(OPERATION)
            .place(component.to_string())
            .expected("a device of the placement that holds it")
    };
    let device = homes.get(&component).copied().ok_or_else(|| {
        refuse().found("none").hint(
            "the placement keeps it outside its devices; solve with a CPU or with another --runtime",
        )
    })?;
    if device < hardware.devices.len() {
        return Ok(device);
    }
    Err(refuse().found(format!("device {device} of {}", hardware.devices.len())))
}

/// A matrix's rows, and the elements of each; a vector is one row. `None` beyond 64 bits.
pub(super) fn rows_and_columns(shape: &[u64]) -> Option<(u64, u64)> {
    let Some((&columns, outer)) = shape.split_last() else { return Some((1, 1)) };
    let rows = outer.iter().try_fold(1_u64, |rows, &size| rows.checked_mul(size))?;
    Some((rows, columns))
}

/// The first three of some names, and how many more there are.
pub(super) fn some_of(names: &[&str]) -> String {
    let first: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    let listed = first.join(", ");
    match names.len().saturating_sub(3) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}
