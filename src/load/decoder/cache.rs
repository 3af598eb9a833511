//! Keys and values of one layer and one sequence, made once for the whole planned context.
//!
//! A layer that looks back on `W` tokens has `W` cells and writes them round and round: the cell of a
//! position is `position mod cells`.

use std::ops::Range;

use candle_core::{DType, Tensor};

use super::cells::Cells;
use crate::error::Error;
use crate::load::devices::{Backing, Device};
use crate::load::failed;
use crate::runtime::KvType;

/// The sizes of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheShape {
    /// Heads of keys and values.
    pub(super) heads: usize,
    /// Tokens there is room for.
    pub(super) cells: usize,
    /// Elements of a head.
    pub(super) width: usize,
}

impl CacheShape {
    fn elements(self) -> usize {
        self.heads * self.cells * self.width
    }
}

/// Keys and values.
#[derive(Debug)]
pub(super) enum Cache {
    /// In host memory, any type of the plan.
    Host(HostCache),
    /// In a GPU's memory, `[heads, cells, width]` each.
    Gpu { keys: Tensor, values: Tensor },
}

/// Keys and values in host memory, `[heads, cells, width]` each.
#[derive(Debug)]
pub(super) struct HostCache {
    pub(super) shape: CacheShape,
    pub(super) keys: Cells,
    pub(super) values: Cells,
}

impl Cache {
    /// All cells of it, on the device.
    pub(super) fn new(kv_type: KvType, shape: CacheShape, device: &Device) -> Result<Self, Error> {
        if device.backing == Backing::Cpu {
            let cells = || Cells::new(kv_type, shape.elements());
            return Ok(Self::Host(HostCache { shape, keys: cells()?, values: cells()? }));
        }
        let dtype = match kv_type {
            KvType::F32 => DType::F32,
            KvType::F16 => DType::F16,
            KvType::Bf16 => DType::BF16,
            other => return Err(not_on_a_gpu(other, device)),
        };
        let size = (shape.heads, shape.cells, shape.width);
        let zeros = || device.run(|| Tensor::zeros(size, dtype, &device.real));
        let made = zeros().and_then(|keys| Ok(Self::Gpu { keys, values: zeros()? }));
        let bytes = 2 * shape.elements() * dtype.size_in_bytes();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        made.map_err(|error| device.refused("a KV cache", bytes, &error))
    }

    /// The same keys and values in new memory on another device; these stay as they are.
    ///
    /// # Errors
    /// No memory there, and a type that the device does not keep.
    pub(super) fn copied(
        &self,
        kv_type: KvType,
        from: &Device,
        to: &Device,
    ) -> Result<Self, Error> {
        let host = match self {
            Self::Host(host) if to.backing == Backing::Cpu => return to.run(|| host.again()),
            Self::Host(host) => return host.uploaded(kv_type, to),
            Self::Gpu { keys, values } => from.run(|| HostCache::downloaded(keys, values))?,
        };
        match to.backing {
            Backing::Cpu => Ok(Self::Host(host)),
            Backing::Cuda(_) => host.uploaded(kv_type, to),
        }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Host(host) => host.keys.bytes() + host.values.bytes(),
            Self::Gpu { keys, values } => [keys, values]
                .iter()
                .map(|side| side.elem_count() * side.dtype().size_in_bytes())
                .sum(),
        }
    }
}

/// The cells of a run of positions, in its order: one run of cells, or two where they wrap round.
pub(super) fn cells_of(positions: Range<usize>, cells: usize) -> [Range<usize>; 2] {
    if positions.is_empty() {
        return [0..0, 0..0];
    }
    let (first, count) = (positions.start % cells, positions.len());
    let before_end = count.min(cells - first);
    [first..first + before_end, 0..count - before_end]
}

fn not_on_a_gpu(kv_type: KvType, device: &Device) -> Error {
    Error::new("make the KV cache")
        .object(&device.id)
        .expected("f32, f16 or bf16 on a GPU")
        .found(format!("`{}`", kv_type.name()))
        .hint("solve again with another --kv-type")
}

impl HostCache {
    /// In other host memory, keys and values side by side.
    fn again(&self) -> Result<Cache, Error> {
        let (keys, values) = rayon::join(|| self.keys.again(), || self.values.again());
        Ok(Cache::Host(Self { shape: self.shape, keys: keys?, values: values? }))
    }

    fn downloaded(keys: &Tensor, values: &Tensor) -> Result<Self, Error> {
        let failed = failed("copy the KV cache");
        let (heads, cells, width) = keys.dims3().map_err(&failed)?;
        let cells_of = |side: &Tensor| {
            Cells::of_tensor(&side.to_device(&candle_core::Device::Cpu).map_err(&failed)?)
        };
        let shape = CacheShape { heads, cells, width };
        Ok(Self { shape, keys: cells_of(keys)?, values: cells_of(values)? })
    }

    fn uploaded(&self, kv_type: KvType, to: &Device) -> Result<Cache, Error> {
        let CacheShape { heads, cells, width } = self.shape;
        let up = |side: &Cells| {
            let made = to.run(|| {
                let there = side.to_tensor((heads, cells, width), &to.real)?;
                // All of it is there before anybody drops where it came from.
                Some(there.and_then(|there| to.real.synchronize().map(|()| there)))
            });
            let made = made.ok_or_else(|| not_on_a_gpu(kv_type, to))?;
            let bytes = u64::try_from(side.bytes()).unwrap_or(u64::MAX);
            made.map_err(|error| to.refused("a KV cache", bytes, &error))
        };
        Ok(Cache::Gpu { keys: up(&self.keys)?, values: up(&self.values)? })
    }

    /// Writes one head's key and value of a position.
    pub(super) fn write(&mut self, head: usize, position: usize, key: &[f32], value: &[f32]) {
        let at = self.at(head, position % self.shape.cells);
        self.keys.write(at, key);
        self.values.write(at, value);
    }

    /// Where a head's cell begins.
    pub(super) fn at(&self, head: usize, cell: usize) -> usize {
        (head * self.shape.cells + cell) * self.shape.width
    }

    /// Reads one head's rows of these positions: keys or values.
    pub(super) fn read(
        side: &Cells,
        shape: CacheShape,
        head: usize,
        of: Range<usize>,
        into: &mut [f32],
    ) {
        let mut rest = into;
        for run in cells_of(of, shape.cells) {
            let (now, later) = rest.split_at_mut(run.len() * shape.width);
            if !now.is_empty() {
                side.read((head * shape.cells + run.start) * shape.width, now);
            }
            rest = later;
        }
    }
}

/// Writes `[heads, tokens, width]` to the cells of the positions from `first` on.
pub(super) fn write_gpu(side: &Tensor, new: &Tensor, first: usize) -> candle_core::Result<()> {
    let (_, cells, _) = side.dims3()?;
    let tokens = new.dim(1)?;
    // Of more tokens than cells only the last remain.
    let skipped = tokens.saturating_sub(cells);
    let mut from = skipped;
    for run in cells_of(first + skipped..first + tokens, cells) {
        if !run.is_empty() {
            let part = new.narrow(1, from, run.len())?.to_dtype(side.dtype())?;
            side.slice_set(&part.force_contiguous()?, 1, run.start)?;
            from += run.len();
        }
    }
    Ok(())
}

/// The rows of these positions, `[heads, positions, width]`.
pub(super) fn read_gpu(side: &Tensor, positions: Range<usize>) -> candle_core::Result<Tensor> {
    let [before, after] = cells_of(positions, side.dim(1)?);
    let first = side.narrow(1, before.start, before.len())?;
    if after.is_empty() {
        return Ok(first);
    }
    Tensor::cat(&[first, side.narrow(1, after.start, after.len())?], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_wrap_round_the_cells() {
        assert_eq!(cells_of(3..7, 8), [3..7, 0..0]);
        assert_eq!(cells_of(6..11, 8), [6..8, 0..3]);
        assert_eq!(cells_of(8..16, 8), [0..8, 0..0]);
        assert_eq!(cells_of(10..18, 8), [2..8, 0..2]);
        assert_eq!(cells_of(5..5, 8), [0..0, 0..0]);
    }

    #[test]
    fn what_was_written_last_is_read_in_the_order_of_positions() {
        let shape = CacheShape { heads: 2, cells: 4, width: 2 };
        let side = || Cells::new(KvType::F32, shape.elements()).unwrap();
        let mut cache = HostCache { shape, keys: side(), values: side() };
        for position in 0..6_u8 {
            for head in 0..2_u8 {
                let key = [f32::from(10 * head + position); 2];
                cache.write(usize::from(head), usize::from(position), &key, &key.map(|x| -x));
            }
        }
        let mut rows = [0.0; 8];
        HostCache::read(&cache.values, shape, 1, 2..6, &mut rows);
        let whole = rows.map(|row| format!("{row}"));
        assert_eq!(whole, ["-12", "-12", "-13", "-13", "-14", "-14", "-15", "-15"]);
    }
}
