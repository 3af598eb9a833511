//! The only place that moves activations between devices: it copies, counts and refuses operands that are
//! not where the map says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Tensor;

use crate::error::Error;
use crate::load::devices::{Backing, Device};
use crate::load::failed;
use crate::load::weights::activation_type;

/// Activations `[tokens, width]` and the device they are on.
///
/// candle knows whether memory is a GPU's; it cannot tell two devices apart that share one, so this does.
#[derive(Clone, Debug)]
pub(in crate::load) struct Activation {
    tensor: Tensor,
    at: usize,
}

impl Activation {
    pub(in crate::load) fn new(tensor: Tensor, at: usize) -> Self {
        Self { tensor, at }
    }

    /// The device it is on.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The values, for work on a device.
    ///
    /// # Errors
    /// Another device than the one it is on.
    pub(super) fn on(&self, device: usize) -> Result<&Tensor, Error> {
        if self.at == device {
            return Ok(&self.tensor);
        }
        Err(Error::new("use an activation")
            .place(format!("device {device}"))
            .expected("one that was sent there")
            .found(format!("one on device {}", self.at)))
    }
}

/// How often activations went from one device to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfers {
    /// Copies made, each of the activations of one or more tokens.
    pub copies: u64,
    /// Tokens' activations sent: what plans count.
    pub activations: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

impl Transfers {
    /// What came on top of an earlier count.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            copies: self.copies.saturating_sub(before.copies),
            activations: self.activations.saturating_sub(before.activations),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }
}

/// The devices and the wires between them.
#[derive(Debug)]
pub(in crate::load) struct Fabric {
    pub(super) devices: Arc<[Device]>,
    direct: BTreeSet<(usize, usize)>,
    copies: AtomicU64,
    activations: AtomicU64,
    bytes: AtomicU64,
}

impl Fabric {
    pub(in crate::load) fn new(devices: Arc<[Device]>) -> Self {
        Self {
            direct: direct_pairs(&devices),
            devices,
            copies: AtomicU64::new(0),
            activations: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// One more device, which is CPU memory: no way to it is a GPU's own.
    pub(super) fn extend(&mut self, devices: Arc<[Device]>) {
        self.devices = devices;
    }

    pub(super) fn device(&self, index: usize) -> Result<&Device, Error> {
        self.devices
            .get(index)
            .ok_or_else(|| Error::new("find the device").object(index.to_string()))
    }

    /// What was sent so far.
    pub(super) fn transfers(&self) -> Transfers {
        Transfers {
            copies: self.copies.load(Ordering::Relaxed),
            activations: self.activations.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// The activations on another device, in its type: always a copy, also between devices that share a
    /// memory. Where they are already there nothing happens and nothing is counted.
    pub(in crate::load) fn send(&self, what: &Activation, to: usize) -> Result<Activation, Error> {
        if what.at == to {
            return Ok(what.clone());
        }
        let (from, target) = (self.device(what.at)?, self.device(to)?);
        let operation = format!("send activations from `{}` to `{}`", from.id, target.id);
        let direct = self.direct.contains(&(what.at, to));
        let tensor = copy(&what.tensor, from, target, direct).map_err(failed(&operation))?;
        let bytes = what.tensor.elem_count() * what.tensor.dtype().size_in_bytes();
        let tokens = what.tensor.dims().first().copied().unwrap_or(1);
        self.copies.fetch_add(1, Ordering::Relaxed);
        self.activations.fetch_add(u64::try_from(tokens).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(Activation { tensor, at: to })
    }
}

/// The copy, by the threads of the devices it concerns.
///
/// Whoever gives has finished what was asked of it before, and whoever gets has all of it before anything else
/// happens: a copy orders two devices that know nothing of each other, at the price of waiting for it.
fn copy(tensor: &Tensor, from: &Device, to: &Device, direct: bool) -> candle_core::Result<Tensor> {
    let wanted = activation_type(&to.real);
    if direct {
        // Only what the view shows: a copy takes the whole memory behind it.
        let whole = from.run(|| {
            let whole = tensor.force_contiguous()?;
            from.real.synchronize().map(|()| whole)
        })?;
        return to.run(|| {
            let there = whole.to_device(&to.real)?;
            // The memory it came from is given back when this returns.
            to.real.synchronize().map(|()| there)
        });
    }
    let host = match from.backing {
        Backing::Cpu => tensor.clone(),
        Backing::Cuda(_) => {
            from.run(|| tensor.force_contiguous()?.to_device(&candle_core::Device::Cpu))?
        }
    };
    to.run(|| match to.backing {
        // `to_device` would hand out the same memory; a device has its own.
        Backing::Cpu if host.dtype() == wanted => host.force_contiguous(),
        Backing::Cpu => host.to_dtype(wanted),
        Backing::Cuda(_) => {
            let there = host.force_contiguous()?.to_dtype(wanted)?.to_device(&to.real)?;
            to.real.synchronize().map(|()| there)
        }
    })
}

/// Pairs of GPUs between which the driver's own copy gives back what was sent.
///
/// It is tried, not asked for: there are machines whose GPUs say that they reach each other and then hand over
/// garbage. Every other pair goes through host memory.
fn direct_pairs(devices: &[Device]) -> BTreeSet<(usize, usize)> {
    let gpus = || devices.iter().filter(|device| device.backing != Backing::Cpu);
    let pairs = gpus().flat_map(|from| gpus().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| from.index != to.index && arrives(from, to).unwrap_or(false))
        .map(|(from, to)| (from.index, to.index))
        .collect()
}

/// Whether a pattern survives the way.
fn arrives(from: &Device, to: &Device) -> candle_core::Result<bool> {
    const COUNT: u32 = 1 << 16;
    let pattern = |device: &candle_core::Device| Tensor::arange(1, COUNT, device);
    let sent = from.run(|| pattern(&from.real))?;
    let there = copy(&sent, from, to, true)?;
    let back: Vec<u32> = to.run(|| there.to_device(&candle_core::Device::Cpu)?.to_vec1())?;
    Ok((1..COUNT).eq(back))
}
