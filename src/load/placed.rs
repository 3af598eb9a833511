//! A model whose tensors are where the placement says.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::devices::Device;
use super::manifest::{Architecture, Slot};
use super::weights::Weight;
use crate::model::ComponentId;
use crate::runtime::KvType;

/// All weights of a model on their devices, and what a decoder needs to run them.
#[derive(Debug)]
pub struct Placed {
    /// The devices of the placement, in its order.
    pub devices: Arc<[Device]>,
    /// The numbers of the decoder.
    pub architecture: Architecture,
    /// Tokens per sequence that caches are made for.
    pub context: usize,
    /// Sequences at once.
    pub batch: usize,
    /// The type of keys and values.
    pub kv_type: KvType,
    pub(super) homes: BTreeMap<ComponentId, usize>,
    pub(super) weights: BTreeMap<(ComponentId, Slot), Weight>,
}

impl Placed {
    /// Where each component lives, as an index into the devices.
    pub fn homes(&self) -> &BTreeMap<ComponentId, usize> {
        &self.homes
    }
}
