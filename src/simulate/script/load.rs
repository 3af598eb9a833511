//! Weights, in the parts and the order in which a loader asks for them.
//!
//! - PyTorch and candle: tensor by tensor. Where quantizing stages on the device, the 16-bit matrix is there first,
//!   the parts of the quantized one beside it, and then it goes (bitsandbytes 0.50, nn/modules.py, `Params4bit`).
//!   Where it stages on the host, both wait in host memory until the parts are on their device.
//! - llama.cpp: one buffer per device, tensors padded in it (src/llama-model.cpp, ggml-backend.cpp); in host memory
//!   files are mapped, tensor by tensor.
//!
//! Parts of a merged tensor that live on one device are one request of PyTorch; candle cuts them.

use std::collections::BTreeMap;

use super::{Cause, Purpose, Writer};
use crate::error::Error;
use crate::memory::{Staging, added};
use crate::model::{ComponentId, Tensor};
use crate::quant::{Part, StoredTensor, parts};
use crate::runtime::Rounding;
use crate::simulate::{AllocatorKind, Order};

/// A tensor, or what a device has of a merged one, on its way to a device.
struct Item {
    device: usize,
    cause: Cause,
    staged_bytes: u64,
    kept_bytes: u64,
    /// Where its parts are looked up; `None` for a merged one, which is one request.
    tensor: Option<usize>,
}

impl Writer<'_> {
    /// Everything until all weights are there.
    pub(super) fn load(&mut self) -> Result<(), Error> {
        let mut items = self.items()?;
        if self.choices.warm_up {
            self.warm_up()?;
        }
        match self.choices.order {
            Order::Checkpoint => {}
            Order::Device => items.sort_by_key(|item| item.device),
            Order::Largest => {
                items.sort_by_key(|item| std::cmp::Reverse(item.staged_bytes.max(item.kept_bytes)));
            }
        }
        if self.choices.allocator == AllocatorKind::LlamaCpp {
            return self.load_buffers(&items);
        }
        for item in &items {
            self.load_item(item)?;
        }
        Ok(())
    }

    fn items(&self) -> Result<Vec<Item>, Error> {
        let mut items: Vec<Item> = Vec::new();
        let mut merged: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        let storage = &self.demand.storage;
        let copied = self.copied_head();
        for (index, (tensor, stored)) in storage.tensors.iter().zip(&storage.stored).enumerate() {
            let copy = copied.filter(|_| tensor.component == ComponentId::Embedding);
            for component in [Some(tensor.component), copy].into_iter().flatten() {
                for device in self.homes_of(component) {
                    let item = self.item(index, tensor, stored, component, device)?;
                    let together = tensor.merged.is_some() && self.choices.allocator.is_torch();
                    let first = together.then(|| merged.get(&(tensor.name.as_str(), device)));
                    if let Some(&at) = first.flatten() {
                        let whole: &mut Item = &mut items[at];
                        whole.kept_bytes = whole.kept_bytes.saturating_add(item.kept_bytes);
                        whole.staged_bytes = whole.staged_bytes.saturating_add(item.staged_bytes);
                        whole.tensor = None;
                        continue;
                    }
                    if together {
                        merged.insert((&tensor.name, device), items.len());
                    }
                    items.push(item);
                }
            }
        }
        Ok(items)
    }

    /// A head that is a copy of the embedding has no tensors of its own.
    fn copied_head(&self) -> Option<ComponentId> {
        let head = ComponentId::OutputHead;
        let placed = self.homes.contains_key(&head);
        let own = self.demand.storage.tensors.iter().any(|tensor| tensor.component == head);
        (placed && !own).then_some(head)
    }

    fn item(
        &self,
        index: usize,
        tensor: &Tensor,
        stored: &StoredTensor,
        component: ComponentId,
        device: usize,
    ) -> Result<Item, Error> {
        let padded = if self.choices.allocator == AllocatorKind::LlamaCpp && self.is_gpu(device) {
            added(Rounding::GgmlCuda, tensor, stored)
        } else {
            0
        };
        let number = u32::try_from(index).map_err(|_| {
            Error::new("replay the load").expected("fewer than 4 billion tensors").found("more")
        })?;
        let cause =
            Cause { component: Some(component), tensor: Some(number), purpose: Purpose::Weights };
        Ok(Item {
            device,
            cause,
            staged_bytes: stored.staged_bytes,
            kept_bytes: stored.bytes.saturating_add(padded),
            tensor: Some(index),
        })
    }

    /// One request per GPU for what its tensors will be: 4-bit ones by their elements alone, capped at what is free
    /// but for 1.2 GiB (transformers 5.23, modeling_utils.py, `caching_allocator_warmup`).
    fn warm_up(&mut self) -> Result<(), Error> {
        // int(free - 1.2 * 1024**3)
        const LEFT_BYTES: u64 = 1_288_490_189;
        let storage = &self.demand.storage;
        let mut wanted = vec![0_u64; self.machines.len()];
        for (tensor, stored) in storage.tensors.iter().zip(&storage.stored) {
            let bytes = match (stored.staged_bytes, stored.type_name) {
                (0, _) => stored.bytes,
                (_, "int8") => tensor.elements(),
                _ => tensor.elements() / 2,
            };
            for device in self.homes_of(tensor.component) {
                wanted[device] = wanted[device].saturating_add(bytes);
            }
        }
        for (device, wanted) in wanted.into_iter().enumerate() {
            if wanted == 0 || !self.is_gpu(device) {
                continue;
            }
            let context = self.demand.per_device.driver_context_bytes;
            let free = self.machines[device].usable_bytes.saturating_sub(context);
            let bytes = wanted.min(free.saturating_sub(LEFT_BYTES)) / 2 * 2;
            let cause = Cause { component: None, tensor: None, purpose: Purpose::WarmUp };
            let slot = self.alloc(device, bytes, cause)?;
            self.free(slot);
        }
        Ok(())
    }

    fn load_item(&mut self, item: &Item) -> Result<(), Error> {
        let with = |purpose| Cause { purpose, ..item.cause };
        let parts = self.parts(item);
        let staged = item.staged_bytes;
        let mut passing = Vec::new();
        match self.demand.staging {
            Staging::Device if staged > 0 => {
                passing.push(self.alloc(item.device, staged, with(Purpose::Staging))?);
            }
            Staging::Host if staged > 0 => {
                if let Some(host) = self.host() {
                    passing.push(self.alloc(host, staged, with(Purpose::Staging))?);
                    passing.push(self.alloc(host, item.kept_bytes, with(Purpose::Staging))?);
                }
            }
            _ => {}
        }
        let here = self.demand.staging == Staging::Device && staged > 0;
        for part in parts {
            if part.kept {
                self.alloc(item.device, part.bytes, item.cause)?;
            } else if here {
                passing.push(self.alloc(item.device, part.bytes, with(Purpose::Passing))?);
            }
        }
        self.free_all(passing);
        Ok(())
    }

    fn parts(&self, item: &Item) -> Vec<Part> {
        let storage = &self.demand.storage;
        let tensor = item.tensor.and_then(|at| storage.tensors.get(at).zip(storage.stored.get(at)));
        tensor.map_or_else(
            || vec![Part { bytes: item.kept_bytes, kept: true }],
            |(tensor, stored)| parts(tensor, stored),
        )
    }

    /// Host memory, where the placement knows it.
    fn host(&self) -> Option<usize> {
        (0..self.machines.len()).find(|&device| !self.is_gpu(device))
    }

    fn load_buffers(&mut self, items: &[Item]) -> Result<(), Error> {
        for device in 0..self.machines.len() {
            let here = items.iter().filter(|item| item.device == device);
            if self.is_gpu(device) {
                let bytes = here.fold(0_u64, |sum, item| sum.saturating_add(item.kept_bytes));
                let cause = Cause { component: None, tensor: None, purpose: Purpose::Weights };
                if bytes > 0 {
                    self.alloc(device, bytes, cause)?;
                }
                continue;
            }
            for item in here {
                self.alloc(device, item.kept_bytes, item.cause)?;
            }
        }
        Ok(())
    }
}
