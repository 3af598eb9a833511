//! How fast the devices at hand are, measured with what the decoder itself does there.
//!
//! - *Reading*: one vector times matrices of a type, one after the other, more bytes of them than caches hold.
//! - *Compute*: 512 vectors times a matrix.
//! - *Links*: an activation there, a piece of work that does nothing, an activation back. So a latency has in
//!   it what it takes to wake whoever works there, which beside copies of one memory is most of it.
//!
//! Each device is measured while the others rest. Devices that share a memory may be slower together; nothing
//! here says so.

mod clock;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use candle_core::Tensor;

use super::decoder::{Activation, Fabric};
use super::devices::{Backing, Device};
use super::failed;
use super::manifest::HELD_TYPES;
use super::weights::{Weight, activation_type, holdable};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::hardware::{Calibration, Figure, MeasuredDevice, MeasuredLink};
use clock::{busy, repeated};

/// Of matrices to be read, as models have them: wide experts, several of them.
const ROWS: usize = 14336;
const COLUMNS: usize = 4096;

/// Matrices of a type take so much at most, and no more than the device's budget. A server's cache of 480 MiB
/// held enough of 256 MiB to make reading a third faster than a model's.
const READ_BYTES: u64 = 2 << 30;

/// Vectors of the product that measures arithmetic.
const TOKENS: usize = 512;

/// Rows of the matrix that a CPU multiplies with them; all of them take it seconds.
const CPU_ROWS: usize = 2048;

/// Before a send and between two sends weights are read, for so long where ways matter: threads that wait sleep by
/// then, though not deeply. Where layers take much longer a way takes more, and is nothing beside them.
const WORK: Duration = Duration::from_micros(200);

/// What many activations take on their way is to at least this part (one over it) due to their bytes.
const BYTES_PART: u64 = 16;

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The types of weights, at least one. The first one's figures hold for what is not measured.
    pub types: Vec<GgmlType>,
    /// About how long all of it may take, without the making of matrices. Every figure gets an equal share
    /// and three runs at least.
    pub time: Duration,
    /// Ends it soon after it becomes true.
    pub stop: &'a AtomicBool,
}

/// The types that are measured unless told otherwise.
pub const TYPES_DEFAULT: [GgmlType; 5] =
    [GgmlType::Q4K, GgmlType::Q6K, GgmlType::Q8_0, GgmlType::F16, GgmlType::F32];

/// The type of that name, in which weights can be held.
///
/// # Errors
/// Any other name.
pub fn parse_type(text: &str) -> Result<GgmlType, Error> {
    let kind = GgmlType::from_name(text.trim()).filter(|kind| holdable(*kind));
    kind.ok_or_else(|| {
        let names = HELD_TYPES.map(GgmlType::name).join(", ");
        Error::new("measure the type").object(text).expected(format!("one of {names}"))
    })
}

/// Measures every device and what is between every two of them; `None` when it was stopped.
///
/// # Errors
/// No types, a type twice, one that weights are not held in; a device with less room than the matrices take
/// (256 MiB), and what a device refuses.
pub fn calibrate(
    devices: &Arc<[Device]>,
    options: &Options<'_>,
) -> Result<Option<Calibration>, Error> {
    check(&options.types)?;
    let pairs = devices.len() * devices.len().saturating_sub(1) / 2;
    let figures = devices.len() * (options.types.len() + 1) + 2 * pairs;
    let share = options.time / u32::try_from(figures).unwrap_or(u32::MAX).max(1);
    let meter = Meter { share, stop: options.stop };
    let mut calibration = Calibration::default();
    for device in devices.iter() {
        let Some(measured) = meter.device(device, &options.types)? else { return Ok(None) };
        calibration.devices.push(measured);
    }
    let fabric = Fabric::new(Arc::clone(devices));
    for (index, from) in devices.iter().enumerate() {
        for to in &devices[index + 1..] {
            let Some(link) = meter.link(&fabric, from, to)? else { return Ok(None) };
            calibration.links.push(link);
        }
    }
    Ok(Some(calibration))
}

fn check(types: &[GgmlType]) -> Result<(), Error> {
    let refuse = || Error::new("measure types");
    if types.is_empty() {
        return Err(refuse().expected("one at least").found("none"));
    }
    for (index, kind) in types.iter().enumerate() {
        parse_type(kind.name())?;
        if types[..index].contains(kind) {
            return Err(refuse().object(kind.name()).expected("each once").found("it twice"));
        }
    }
    Ok(())
}

/// Measures one figure after the other.
struct Meter<'a> {
    share: Duration,
    stop: &'a AtomicBool,
}

impl Meter<'_> {
    fn device(&self, device: &Device, types: &[GgmlType]) -> Result<Option<MeasuredDevice>, Error> {
        let mut reading = Vec::new();
        for kind in types {
            let Some(rate) = self.reading(device, *kind)? else { return Ok(None) };
            reading.push((kind.name(), rate));
        }
        let Some(compute) = self.compute(device, types[0])? else { return Ok(None) };
        let (id, backing) = (device.id.clone(), device.backing.to_string());
        Ok(Some(MeasuredDevice { id, backing, reading, compute }))
    }

    /// Bytes per second.
    fn reading(&self, device: &Device, kind: GgmlType) -> Result<Option<Figure>, Error> {
        let one = matrix_bytes(kind, ROWS);
        let most = READ_BYTES.min(device.ledger.budget_bytes());
        let count = (most / one).max(1);
        let bytes = count.saturating_mul(one);
        let _staged = device.ledger.stage("matrices to measure with", bytes)?;
        let matrices: Vec<Weight> = (0..count)
            .map(|_| Weight::sample(kind, ROWS, COLUMNS, device))
            .collect::<Result<_, _>>()?;
        self.products(device, &matrices, 1, u128::from(bytes))
    }

    /// Operations per second.
    fn compute(&self, device: &Device, kind: GgmlType) -> Result<Option<Figure>, Error> {
        let rows = if device.backing == Backing::Cpu { CPU_ROWS } else { ROWS };
        let bytes = matrix_bytes(kind, rows);
        let _staged = device.ledger.stage("a matrix to measure with", bytes)?;
        let matrix = [Weight::sample(kind, rows, COLUMNS, device)?];
        let operations = [2, TOKENS, rows, COLUMNS].map(|n| u128::try_from(n).unwrap_or(u128::MAX));
        self.products(device, &matrix, TOKENS, operations.iter().product())
    }

    /// How much of `amount` is done in a second when so many vectors are multiplied with all matrices.
    fn products(
        &self,
        device: &Device,
        matrices: &[Weight],
        vectors: usize,
        amount: u128,
    ) -> Result<Option<Figure>, Error> {
        let wrong = failed("multiply with a matrix");
        let x = activations(device, vectors)?;
        let multiply = || {
            matrices.iter().try_for_each(|matrix| matrix.apply(&x).map(drop))?;
            device.real.synchronize()
        };
        let work = || device.run(multiply).map_err(&wrong);
        let counted = || work().map(|()| Duration::ZERO);
        let times = repeated(self.share, self.stop, || (), counted)?;
        Ok(times.and_then(|times| rates(&times, amount)))
    }

    fn link(
        &self,
        fabric: &Fabric,
        from: &Device,
        to: &Device,
    ) -> Result<Option<MeasuredLink>, Error> {
        let Some(short) = self.ways(fabric, from, to, 1)? else { return Ok(None) };
        let Some(long) = self.ways(fabric, from, to, TOKENS)? else { return Ok(None) };
        let Some(latency_ps) = Figure::of(short) else { return Ok(None) };
        let x = activations(from, TOKENS)?;
        let bytes = x.elem_count() * x.dtype().size_in_bytes();
        // On a busy machine a short way may take as long as a long one: at least some of that is the bytes'.
        let beyond = |ps: &u64| ps.saturating_sub(latency_ps.median).max(ps / BYTES_PART).max(1);
        let beyond: Vec<u64> = long.iter().map(beyond).collect();
        let rate = rates(&beyond, u128::try_from(bytes).unwrap_or(u128::MAX));
        let between = (from.id.clone(), to.id.clone());
        let link = |bytes_per_second| MeasuredLink { between, latency_ps, bytes_per_second };
        Ok(rate.map(link))
    }

    /// Half of what it takes there and back with so many tokens' activations, in picoseconds; as the decoder
    /// does it, whose home waits for what it has sent to.
    fn ways(
        &self,
        fabric: &Fabric,
        from: &Device,
        to: &Device,
        tokens: usize,
    ) -> Result<Option<Vec<u64>>, Error> {
        let x = Activation::new(activations(from, tokens)?, from.index);
        let host = from.backing == Backing::Cpu;
        let work = || {
            let sent = if host { x.clone() } else { fabric.send(&x, to.index)? };
            let (there, worked) = to.run(|| (fabric.send(&sent, to.index), busy(WORK)));
            fabric.send(&there?, from.index).map(|_| worked)
        };
        let prepare = || {
            busy(WORK);
        };
        let times = from.run(|| repeated(self.share, self.stop, prepare, work))?;
        Ok(times.map(|times| times.iter().map(|ps| ps / 2).collect()))
    }
}

/// `[tokens, COLUMNS]` ones on the device.
fn activations(device: &Device, tokens: usize) -> Result<Tensor, Error> {
    let ones = || Tensor::ones((tokens, COLUMNS), activation_type(&device.real), &device.real);
    device.run(ones).map_err(failed("make activations"))
}

fn matrix_bytes(kind: GgmlType, rows: usize) -> u64 {
    let elements = u64::try_from(rows * COLUMNS).ok();
    elements.and_then(|elements| kind.bytes(elements)).unwrap_or(u64::MAX)
}

/// Per second, from what it took each time.
fn rates(times_ps: &[u64], amount: u128) -> Option<Figure> {
    const PS: u128 = 1_000_000_000_000;
    let rate = |&ps: &u64| u64::try_from(amount.saturating_mul(PS) / u128::from(ps.max(1)));
    Figure::of(times_ps.iter().map(|ps| rate(ps).unwrap_or(u64::MAX)).collect())
}

#[cfg(test)]
mod tests;
