//! The weights of a component, for work on the device where they are.

use candle_core::{DType, Tensor};

use crate::error::Error;
use crate::load::manifest::Slot;
use crate::load::weights::{Weight, activation_type};
use crate::load::{Placed, failed};
use crate::model::ComponentId;

/// One component, on its device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    placed: &'a Placed,
    component: ComponentId,
}

impl<'a> Part<'a> {
    /// The component for work on a device.
    ///
    /// # Errors
    /// Another device than the map's.
    pub(super) fn on(
        placed: &'a Placed,
        component: ComponentId,
        device: usize,
    ) -> Result<Self, Error> {
        let home = placed.homes.get(&component).copied();
        if home == Some(device) {
            return Ok(Self { placed, component });
        }
        Err(Error::new("compute")
            .object(component.to_string())
            .expected("work on the device it lives on")
            .found(format!("device {device} where the map says {home:?}")))
    }

    fn optional(self, slot: Slot) -> Option<&'a Weight> {
        self.placed.weights.get(&(self.component, slot))
    }

    pub(super) fn has(self, slot: Slot) -> bool {
        self.optional(slot).is_some()
    }

    fn weight(self, slot: Slot) -> Result<&'a Weight, Error> {
        self.optional(slot).ok_or_else(|| {
            Error::new("compute")
                .object(self.component.to_string())
                .found(format!("it has no {slot:?}"))
        })
    }

    /// Activations times a matrix.
    pub(super) fn apply(self, slot: Slot, x: &Tensor) -> Result<Tensor, Error> {
        self.weight(slot)?.apply(x).map_err(self.failed())
    }

    /// Activations times a matrix, and a bias where there is one.
    pub(super) fn apply_with(self, slot: Slot, bias: Slot, x: &Tensor) -> Result<Tensor, Error> {
        let y = self.apply(slot, x)?;
        let Some(bias) = self.optional(bias) else { return Ok(y) };
        let add = || y.broadcast_add(&bias.vector()?.to_dtype(y.dtype())?);
        add().map_err(self.failed())
    }

    /// Rows of a table.
    pub(super) fn rows(self, slot: Slot, ids: &[u32]) -> Result<Tensor, Error> {
        self.weight(slot)?.rows(ids).map_err(self.failed())
    }

    /// Root mean square normalisation over the last dimension, in f32; the answer is an activation again.
    pub(super) fn normalize(self, slot: Slot, x: &Tensor) -> Result<Tensor, Error> {
        let weight = self.weight(slot)?;
        let epsilon = self.placed.architecture.norm_epsilon;
        #[expect(clippy::cast_possible_truncation, reason = "candle takes it in f32")]
        let normalize = || {
            let x = x.to_dtype(DType::F32)?.contiguous()?;
            let y = candle_nn::ops::rms_norm(&x, &weight.vector()?, epsilon as f32)?;
            y.to_dtype(activation_type(y.device()))
        };
        normalize().map_err(self.failed())
    }

    /// A gated feed-forward part: `down(silu(gate x) * up x)`.
    pub(super) fn feed_forward(self, x: &Tensor) -> Result<Tensor, Error> {
        let (gate, up) = if self.has(Slot::GateUp) {
            let both = self.apply(Slot::GateUp, x)?;
            let halves = both.chunk(2, 1).map_err(self.failed())?;
            let [gate, up] = halves.as_slice() else {
                return Err(Error::new("compute").object(self.component.to_string()));
            };
            (gate.clone(), up.clone())
        } else {
            (self.apply(Slot::Gate, x)?, self.apply(Slot::Up, x)?)
        };
        let inner = gate.silu().and_then(|gate| gate * up).map_err(self.failed())?;
        self.apply(Slot::Down, &inner)
    }

    pub(super) fn failed(self) -> impl Fn(candle_core::Error) -> Error {
        let operation = format!("compute {}", self.component);
        move |error| failed(&operation)(error)
    }
}
