//! One component from one device to another, between two tokens.
//!
//! The new copy is made beside the old one, and only when all of it is there do the maps change: whatever goes
//! wrong before, the model runs on as it was, and the ledgers say what is there.

use std::sync::Arc;

use super::cache::Cache;
use super::layer::LayerPlan;
use super::{Decoder, home};
use crate::error::Error;
use crate::load::devices::{Device, Ledger, Purpose};
use crate::load::manifest::Slot;
use crate::load::weights::Weight;
use crate::model::ComponentId;

/// What went from one device to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The component.
    pub component: ComponentId,
    /// Where it lived, as an index into the decoder's devices.
    pub from: usize,
    /// Where it lives.
    pub to: usize,
    /// Its weights, with what candle keeps beside them.
    pub weights_bytes: u64,
    /// Keys and values of all sequences that went with it.
    pub kv_cache_bytes: u64,
}

impl Moved {
    /// Weights, keys and values.
    pub fn bytes(&self) -> u64 {
        self.weights_bytes.saturating_add(self.kv_cache_bytes)
    }
}

/// The new copy of a component.
struct Copied {
    weights: Vec<((ComponentId, Slot), Weight)>,
    /// One per sequence, where it is an attention block.
    caches: Vec<Cache>,
}

impl Decoder {
    /// Moves a component with its weights and, where it is an attention block, the keys and values of its layer
    /// in every sequence. The next token is computed with it where it is then, and is the same token: see
    /// [`load::migrate`](crate::load::migrate) for what "the same" means to the last bit.
    ///
    /// While it lasts the component is on both devices, and both ledgers say so.
    ///
    /// # Errors
    /// A component or device that is not there, a device that it lives on already, one whose budget has no room
    /// for it, and what the device refuses. Nothing has changed then.
    pub fn relocate(&mut self, component: ComponentId, to: usize) -> Result<Moved, Error> {
        let devices = Arc::clone(&self.placed.devices);
        let from = home(&self.placed, component)?;
        let refuse = || Error::new("move").object(component.to_string());
        let (Some(source), Some(target)) = (devices.get(from), devices.get(to)) else {
            let found = format!("device {to} of {}", devices.len());
            return Err(refuse().expected("a device of the decoder").found(found));
        };
        if from == to {
            return Err(refuse()
                .expected("another device than the one it lives on")
                .found(format!("`{}`", target.id)));
        }
        let (weights_bytes, kv_cache_bytes) = self.bytes_on(component, target);
        let mut room = Room::keep(&target.ledger, component, weights_bytes, kv_cache_bytes)?;
        let copied = self.copied(component, source, target)?;
        let old = self.swap(component, to, copied)?;
        room.taken = true;
        source.run(|| drop(old));
        source.ledger.release(component, Purpose::Weights);
        source.ledger.release(component, Purpose::KvCache);
        Ok(Moved { component, from, to, weights_bytes, kv_cache_bytes })
    }

    /// The bytes of a component: its weights, and the keys and values of all sequences.
    pub fn component_bytes(&self, component: ComponentId) -> Result<(u64, u64), Error> {
        let home = home(&self.placed, component)?;
        let device = self.placed.devices.get(home);
        let device = device.ok_or_else(|| Error::new("find the device"))?;
        Ok(self.bytes_on(component, device))
    }

    /// What plans say of a component's weights lies between the first two numbers: all of it is the second, and what
    /// no plan knows, the divisors of rotary frequencies and what candle keeps beside, is left out of the first. The
    /// third is of keys and values.
    pub(in crate::load) fn planned_bytes(&self, component: ComponentId) -> (u64, u64, u64) {
        let (mut least, mut most) = (0_u64, 0_u64);
        for ((_, slot), weight) in self.own(component) {
            most = most.saturating_add(weight.bytes());
            if *slot != Slot::RopeFactors {
                least = least.saturating_add(weight.bytes());
            }
        }
        let caches = self.caches(component).map(|c| u64::try_from(c.bytes()).unwrap_or(u64::MAX));
        (least, most, caches.fold(0, u64::saturating_add))
    }

    /// One more device of host memory, where components wait while others pass; its index, which is the number of
    /// devices that were `planned`. There is one at most: asked again, it gets the budget of the last call.
    ///
    /// # Errors
    /// Threads that the system refuses.
    pub fn add_host(
        &mut self,
        planned: usize,
        budget_bytes: u64,
        threads: usize,
    ) -> Result<usize, Error> {
        let devices = &self.placed.devices;
        if let Some(host) = devices.get(planned) {
            host.ledger.set_budget(budget_bytes);
            return Ok(planned);
        }
        let host = Device::host(devices, budget_bytes, threads)?;
        let index = host.index;
        let all: Arc<[Device]> = devices.iter().cloned().chain([host]).collect();
        self.placed.devices = Arc::clone(&all);
        self.fabric.extend(all);
        Ok(index)
    }

    fn bytes_on(&self, component: ComponentId, device: &Device) -> (u64, u64) {
        let own = self.own(component);
        let weights =
            own.fold(0_u64, |sum, (_, weight)| sum.saturating_add(weight.bytes_on(device)));
        let caches = self.caches(component).fold(0_u64, |sum, cache| {
            sum.saturating_add(u64::try_from(cache.bytes()).unwrap_or(u64::MAX))
        });
        (weights, caches)
    }

    fn own(&self, component: ComponentId) -> impl Iterator<Item = (&(ComponentId, Slot), &Weight)> {
        let own = (component, Slot::FIRST)..=(component, Slot::LAST);
        self.placed.weights.range(own)
    }

    /// Of its layer, one per sequence; none where it is no attention block.
    fn caches(&self, component: ComponentId) -> impl Iterator<Item = &Cache> {
        let layer = layer_of_cache(component);
        self.sequences.iter().filter_map(move |sequence| sequence.caches.get(layer?))
    }

    fn copied(&self, of: ComponentId, from: &Device, to: &Device) -> Result<Copied, Error> {
        let refused = |error: Error| error.place(of.to_string());
        let copy = |(key, weight): (&(ComponentId, Slot), &Weight)| {
            Ok((*key, weight.copied(from, to).map_err(refused)?))
        };
        let weights = self.own(of).map(copy).collect::<Result<_, Error>>()?;
        let caches = self.caches(of).map(|cache| cache.copied(self.placed.kv_type, from, to));
        Ok(Copied { weights, caches: caches.collect::<Result<_, Error>>().map_err(refused)? })
    }

    /// Puts the new copy in the place of the old one, which is handed back.
    fn swap(&mut self, component: ComponentId, to: usize, new: Copied) -> Result<Copied, Error> {
        let before = self.placed.homes.insert(component, to);
        if let Some(layer) = component.layer() {
            let at = usize::try_from(layer).unwrap_or(usize::MAX);
            match (LayerPlan::new(&self.placed, layer), self.layers.get_mut(at)) {
                (Ok(plan), Some(place)) => *place = plan,
                (Err(error), _) => {
                    before.map(|before| self.placed.homes.insert(component, before));
                    return Err(error);
                }
                // A part of no layer that runs, such as one that only predicts further tokens.
                (Ok(_), None) => {}
            }
        }
        let mut old = Copied { weights: Vec::new(), caches: Vec::new() };
        for (key, weight) in new.weights {
            old.weights.extend(self.placed.weights.insert(key, weight).map(|weight| (key, weight)));
        }
        let layer = layer_of_cache(component);
        let places = self.sequences.iter_mut().filter_map(|s| s.caches.get_mut(layer?));
        old.caches.extend(places.zip(new.caches).map(|(place, new)| std::mem::replace(place, new)));
        Ok(old)
    }
}

fn layer_of_cache(component: ComponentId) -> Option<usize> {
    match component {
        ComponentId::Attention(layer) => usize::try_from(layer).ok(),
        _ => None,
    }
}

/// Bytes written down for a copy that may not come to be.
struct Room<'a> {
    ledger: &'a Ledger,
    component: ComponentId,
    taken: bool,
}

impl<'a> Room<'a> {
    fn keep(
        ledger: &'a Ledger,
        component: ComponentId,
        weights_bytes: u64,
        kv_cache_bytes: u64,
    ) -> Result<Self, Error> {
        ledger.keep(component, Purpose::Weights, weights_bytes)?;
        let room = Self { ledger, component, taken: false };
        if kv_cache_bytes > 0 {
            ledger.keep(component, Purpose::KvCache, kv_cache_bytes)?;
        }
        Ok(room)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.ledger.release(self.component, Purpose::Weights);
            self.ledger.release(self.component, Purpose::KvCache);
        }
    }
}
