//! A prompt and the tokens after it: the cache, and what is computed in.
//!
//! - PyTorch without pages (`DynamicCache` of transformers): the cache of a layer is made by the prompt and grows by
//!   concatenation, so the new keys stand beside the old ones for a moment, then the values.
//! - Everything else has its cache before the first token, for the whole context: layer by layer, or in llama.cpp as
//!   one buffer per device, with one more to compute in.
//!
//! Activations are asked for at every component that a token passes, where it lives, and freed when it is passed.
//! A device counts as passed by a layer's feed-forward part if it has anything of it, and with all tokens: which
//! experts they choose is not known.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, Phase, Purpose, Writer};
use crate::error::Error;
use crate::memory::{CacheParts, Load, activations, cache_parts};
use crate::model::{ComponentId, ComponentKind, LayerCache};
use crate::quant::unpacked;
use crate::simulate::AllocatorKind;

/// What one pass over the layers asks for.
struct Pass {
    /// Pieces of each kind of work.
    kinds: [Vec<u64>; 4],
    /// How the model is used as far as the cache is concerned.
    load: Load,
    /// Whether many tokens are computed at once.
    prompt: bool,
}

/// Slots of a layer's keys and values on a device.
type Caches = BTreeMap<(usize, usize), [u32; 2]>;

impl Writer<'_> {
    /// Everything after the weights.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        let load = &self.scenario.load;
        let grows =
            self.choices.allocator.is_torch() && load.runtime.rules().kv_cells_multiple == 1;
        let buffers = self.choices.allocator == AllocatorKind::LlamaCpp;
        if !grows {
            self.phase(Phase::Cache);
            self.whole_cache(buffers)?;
        }
        if buffers {
            return self.compute_buffers();
        }
        let mut caches = Caches::new();
        self.phase(Phase::Prefill);
        let prompt = load.context - self.choices.decode;
        self.pass(prompt, None, grows, &mut caches)?;
        if self.choices.decode > 0 {
            self.phase(Phase::Decode);
        }
        for tokens in prompt..load.context {
            self.pass(tokens + 1, Some(load.batch), grows, &mut caches)?;
        }
        Ok(())
    }

    /// One pass over all components, after which there are so many tokens per sequence.
    fn pass(
        &mut self,
        context: u64,
        tokens: Option<u64>,
        grows: bool,
        caches: &mut Caches,
    ) -> Result<(), Error> {
        let load = Load { context, ..self.scenario.load.clone() };
        let kinds = activations(&self.scenario.model, &load, tokens)?;
        let pass = Pass { kinds, load, prompt: tokens.is_none() };
        let components: Vec<ComponentId> = self.homes.keys().copied().collect();
        // Layers and devices whose feed-forward part was computed.
        let mut fed: BTreeSet<(Option<u32>, usize)> = BTreeSet::new();
        for id in components {
            for device in self.homes_of(id) {
                match id.kind() {
                    ComponentKind::Embedding => self.visit(&pass, 0, id, device)?,
                    ComponentKind::Attention => {
                        self.attend(&pass, id, device, grows.then_some(&mut *caches))?;
                    }
                    ComponentKind::OutputHead => self.visit(&pass, 3, id, device)?,
                    ComponentKind::Router | ComponentKind::FinalNorm => {}
                    _ if fed.insert((id.layer(), device)) => self.visit(&pass, 2, id, device)?,
                    _ => {}
                }
            }
        }
        if self.demand.tied_head {
            for device in self.homes_of(ComponentId::Embedding) {
                self.visit(&pass, 3, ComponentId::Embedding, device)?;
            }
        }
        Ok(())
    }

    /// The pieces of a kind of work at a component, and away again.
    fn visit(
        &mut self,
        pass: &Pass,
        kind: usize,
        id: ComponentId,
        device: usize,
    ) -> Result<(), Error> {
        let slots = self.enter(pass, kind, id, device)?;
        self.free_all(slots);
        Ok(())
    }

    fn enter(
        &mut self,
        pass: &Pass,
        kind: usize,
        id: ComponentId,
        device: usize,
    ) -> Result<Vec<u32>, Error> {
        // An embedding is looked up, everything else is a product.
        if kind > 0 {
            self.multiply(device)?;
        }
        let cause = Cause { component: Some(id), tensor: None, purpose: Purpose::Workspace };
        let mut slots = Vec::new();
        for &bytes in &pass.kinds[kind] {
            slots.push(self.alloc(device, bytes, cause)?);
        }
        if pass.prompt && self.choices.allocator.is_torch() {
            let unpacked = self.largest_unpacked(id);
            for (tensor, bytes) in unpacked.into_iter().flatten() {
                let tensor = u32::try_from(tensor).ok();
                let cause = Cause { tensor, purpose: Purpose::Unpacked, ..cause };
                slots.push(self.alloc(device, bytes, cause)?);
            }
        }
        Ok(slots)
    }

    /// The largest 4-bit matrix of a component as a product needs it.
    fn largest_unpacked(&self, id: ComponentId) -> Option<[(usize, u64); 2]> {
        let storage = &self.demand.storage;
        let begin = storage.tensors.partition_point(|tensor| tensor.component < id);
        let there = storage.tensors.iter().zip(&storage.stored).enumerate().skip(begin);
        let there = there.take_while(|(_, (tensor, _))| tensor.component == id);
        let matrices =
            there.filter_map(|(at, (tensor, stored))| Some((at, unpacked(tensor, stored)?)));
        let (at, bytes) = matrices.max_by_key(|&(at, bytes)| (bytes, std::cmp::Reverse(at)))?;
        Some(bytes.map(|bytes| (at, bytes)))
    }

    /// The matrix library's workspace, at the first product on a GPU: PyTorch gives it from its own memory.
    fn multiply(&mut self, device: usize) -> Result<(), Error> {
        if std::mem::replace(&mut self.multiplied[device], true) || !self.is_gpu(device) {
            return Ok(());
        }
        let bytes = self.demand.per_device.blas_workspace_bytes;
        if self.choices.allocator.is_torch() && bytes > 0 {
            let cause = Cause { component: None, tensor: None, purpose: Purpose::Library };
            self.alloc(device, bytes, cause)?;
        } else {
            self.touch(device);
            self.outside(device, bytes, Purpose::Library);
        }
        Ok(())
    }

    fn attend(
        &mut self,
        pass: &Pass,
        id: ComponentId,
        device: usize,
        caches: Option<&mut Caches>,
    ) -> Result<(), Error> {
        let slots = self.enter(pass, 1, id, device)?;
        if let (Some(caches), Some((layer, cache))) = (caches, self.cache_of(id)) {
            let parts = cache_parts(&cache, &pass.load)?;
            let cause = Cause { component: Some(id), tensor: None, purpose: Purpose::Cache };
            let old = caches.remove(&(layer, device));
            if old.is_none() && parts.state_bytes > 0 {
                self.alloc(device, parts.state_bytes, cause)?;
            }
            let keys = self.alloc(device, parts.key_bytes, cause)?;
            if let Some([keys, _]) = old {
                self.free(keys);
            }
            let values = self.alloc(device, parts.value_bytes, cause)?;
            if let Some([_, values]) = old {
                self.free(values);
            }
            caches.insert((layer, device), [keys, values]);
        }
        self.free_all(slots);
        Ok(())
    }

    fn cache_of(&self, id: ComponentId) -> Option<(usize, LayerCache)> {
        let ComponentId::Attention(layer) = id else { return None };
        let layer = usize::try_from(layer).ok()?;
        self.scenario.model.cache.get(layer).map(|&cache| (layer, cache))
    }

    /// The cache for the whole context: by layer, or one buffer per device.
    fn whole_cache(&mut self, buffers: bool) -> Result<(), Error> {
        let ids: Vec<ComponentId> = self.homes.keys().copied().collect();
        let mut sums = vec![0_u64; self.machines.len()];
        for id in ids {
            let Some((_, cache)) = self.cache_of(id) else { continue };
            let CacheParts { key_bytes, value_bytes, state_bytes } =
                cache_parts(&cache, &self.scenario.load)?;
            let cause = Cause { component: Some(id), tensor: None, purpose: Purpose::Cache };
            for device in self.homes_of(id) {
                for bytes in [state_bytes, key_bytes, value_bytes] {
                    if buffers {
                        sums[device] = sums[device].saturating_add(bytes);
                    } else if bytes > 0 {
                        self.alloc(device, bytes, cause)?;
                    }
                }
            }
        }
        let cause = Cause { component: None, tensor: None, purpose: Purpose::Cache };
        for (device, bytes) in sums.into_iter().enumerate().filter(|&(_, bytes)| bytes > 0) {
            self.alloc(device, bytes, cause)?;
        }
        Ok(())
    }

    /// llama.cpp reserves one buffer for the largest kind of work on a device, and copies of inputs where there are
    /// several GPUs; its matrix library has memory of its own from the first product on.
    fn compute_buffers(&mut self) -> Result<(), Error> {
        let mut most = vec![0_u64; self.machines.len()];
        let [embedding, attention, feed_forward, head] = self.demand.workspace.kinds();
        for (id, devices) in &self.homes {
            let bytes = match id.kind() {
                ComponentKind::Embedding if self.demand.tied_head => embedding.max(head),
                ComponentKind::Embedding => embedding,
                ComponentKind::Attention | ComponentKind::Router => attention,
                ComponentKind::FinalNorm => 0,
                ComponentKind::OutputHead => head,
                _ => feed_forward,
            };
            for &device in devices {
                most[device] = most[device].max(bytes);
            }
        }
        let gpus = (0..self.machines.len()).filter(|&device| self.is_gpu(device)).count();
        let copies = if gpus > 1 { self.demand.per_device.graph_copies_bytes } else { 0 };
        let cause = Cause { component: None, tensor: None, purpose: Purpose::Workspace };
        let used: Vec<(usize, u64)> =
            most.into_iter().enumerate().filter(|&(_, bytes)| bytes > 0).collect();
        for &(device, bytes) in &used {
            self.alloc(device, bytes.saturating_add(copies), cause)?;
        }
        self.phase(Phase::Prefill);
        for (device, _) in used {
            self.multiply(device)?;
        }
        Ok(())
    }
}
