//! A tensor of a file as the part of it that each component has.

use super::{Belongs, Place};
use crate::checkpoint::FoundTensor;
use crate::error::Error;
use crate::model::{ComponentId, Merged, Tensor, TensorRole};

/// One component's tensor, or its part of one.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) component: ComponentId,
    pub(super) type_name: &'static str,
    pub(super) bytes: u64,
    tensor: &'a FoundTensor,
    role: TensorRole,
    shape: Vec<u64>,
    merged: Option<Merged>,
}

impl Piece<'_> {
    pub(super) fn into_tensor(self) -> Tensor {
        Tensor {
            name: self.tensor.name.clone(),
            linear: self.merged.is_none() && self.role.is_layer_matrix() && self.shape.len() == 2,
            shape: self.shape,
            role: self.role,
            component: self.component,
            merged: self.merged,
            published_f32: false,
        }
    }
}

/// Adds the tensor, cut into its experts' parts if it holds all of them.
pub(super) fn add<'a>(
    pieces: &mut Vec<Piece<'a>>,
    tensor: &'a FoundTensor,
    belongs: Belongs,
    experts: u32,
) -> Result<(), Error> {
    let whole = |component| Piece {
        component,
        type_name: tensor.dtype.name(),
        bytes: tensor.bytes,
        tensor,
        role: belongs.role,
        shape: tensor.shape.clone(),
        merged: None,
    };
    let (layer, as_rows) = match belongs.place {
        Place::One(component) => {
            pieces.push(whole(component));
            return Ok(());
        }
        Place::AllExperts { layer, as_rows } => (layer, as_rows),
    };
    let Some(shape) = part_shape(&tensor.shape, u64::from(experts), as_rows) else {
        // A scale of all experts at once cannot be cut; it goes where the layer chooses among them.
        if tensor.shape.iter().product::<u64>() <= 1 {
            pieces.push(whole(ComponentId::Router(layer)));
            return Ok(());
        }
        return Err(Error::new("group the tensors of the checkpoint")
            .object(&tensor.name)
            .expected(format!("a tensor of the {experts} experts of its layer"))
            .found(format!("shape {:?}", tensor.shape)));
    };
    let merged = Some(Merged { parts: experts, as_rows });
    for expert in 0..experts {
        pieces.push(Piece {
            component: ComponentId::Expert(layer, expert),
            // Blocks run along rows and every expert has the same rows.
            bytes: tensor.bytes / u64::from(experts),
            shape: shape.clone(),
            merged,
            ..whole(ComponentId::Router(layer))
        });
    }
    Ok(())
}

/// The dimensions of one expert's part, if the tensor can be cut into equal ones.
fn part_shape(shape: &[u64], experts: u64, as_rows: bool) -> Option<Vec<u64>> {
    let (&first, rest) = shape.split_first()?;
    if experts == 0 || !first.is_multiple_of(experts) {
        return None;
    }
    if first == experts && !as_rows {
        return Some(if rest.is_empty() { vec![1] } else { rest.to_vec() });
    }
    as_rows.then(|| std::iter::once(first / experts).chain(rest.iter().copied()).collect())
}
