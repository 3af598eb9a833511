//! From the bytes of files to a weight on its device.
//!
//! Bytes of the type that is held are read straight to where they stay. Others pass through one band per
//! worker, which is written down as staged. Nothing is ever there twice, but for what a GPU gets: that is
//! made in host memory first, one tensor at a time for each device.

use std::mem;

use candle_core::Device as Real;
use candle_core::quantized::k_quants::GgmlType as Kernels;
use half::{bf16, f16};
use rayon::prelude::*;

use super::blocks::{self, Block, Blocks};
use super::half::Half;
use super::held::{self, Held};
use super::progress::{Halt, Trouble, Watch};
use super::{Weight, flaws, kinds};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::files::PositionedFile;
use crate::load::devices::{Backing, Device, Purpose};
use crate::load::failed;
use crate::load::manifest::{Item, Piece};

/// Bytes that are read and checked at once: they stay in the cache between.
const CHUNK_BYTES: usize = 1 << 20;

/// Elements that are converted at once: a multiple of every block.
const BAND_ELEMENTS: usize = 1 << 16;

/// What this completes: "cannot ...".
const OPERATION: &str = "load the tensor";

/// One tensor to be loaded.
pub(in crate::load) struct Task<'a> {
    /// Which; [`check_item`](super::check_item) passed it.
    pub(in crate::load) item: &'a Item,
    /// The elements of what follows from the config and is in no file.
    pub(in crate::load) computed: &'a [f32],
    /// The files of its manifest.
    pub(in crate::load) files: &'a [PositionedFile],
    /// Its device.
    pub(in crate::load) device: &'a Device,
    /// The threads that read and convert.
    pub(in crate::load) readers: &'a rayon::ThreadPool,
    /// Whether candle may repack it for the CPU.
    pub(in crate::load) repack: bool,
    /// When to end early.
    pub(in crate::load) halt: &'a Halt<'a>,
    /// Who is told of bytes read.
    pub(in crate::load) watch: &'a dyn Watch,
}

/// Loads it: writes its bytes down in its device's ledger, reads them there, and checks them.
pub(in crate::load) fn load(task: &Task<'_>) -> Result<Weight, Trouble> {
    let Item { component, held: kind, rows, columns, bytes, .. } = *task.item;
    task.device.ledger.keep(component, Purpose::Weights, bytes)?;
    let held = task.readers.install(|| in_host_memory(task))?;
    let held = match task.device.backing {
        Backing::Cuda(_) => task.device.run(|| held.upload(rows, columns, &task.device.real)),
        Backing::Cpu if task.repack => repacked(task, held)?,
        Backing::Cpu => Ok(held),
    };
    let what = component.to_string();
    let held = held.map_err(|error| task.device.refused(&what, bytes, &error))?;
    Ok(Weight { rows, columns, kind, held })
}

/// What candle keeps of an item beside it where it may repack on a CPU, in bytes; 0 where it would not.
pub(in crate::load) fn second_copy(item: &Item) -> u64 {
    if item.slot.is_linear() {
        kinds::repacked_bytes(item.held, item.rows, item.columns)
    } else {
        0
    }
}

/// The blocks in candle's hands if it repacks them; its second copy is written down now.
fn repacked(task: &Task<'_>, held: Held) -> Result<candle_core::Result<Held>, Trouble> {
    let Item { component, rows, columns, bytes, .. } = *task.item;
    let second_bytes = second_copy(task.item);
    if second_bytes == 0 {
        return Ok(Ok(held));
    }
    task.device.ledger.keep(component, Purpose::Weights, second_bytes)?;
    let _both = task.device.ledger.stage("a tensor that is handed over", bytes)?;
    Ok(held.hand_over(rows, columns, &Real::Cpu))
}

fn in_host_memory(task: &Task<'_>) -> Result<Held, Trouble> {
    let Item { held: kind, rows, columns, .. } = *task.item;
    match kind {
        _ if kinds::is_computed(task.item) => {
            let elements = task.computed.to_vec();
            Ok(held::dense(elements, rows, columns).map_err(failed("make a tensor"))?)
        }
        GgmlType::F32 => {
            let elements = filled::<f32>(task)?;
            Ok(held::dense(elements, rows, columns).map_err(failed("make a tensor"))?)
        }
        GgmlType::F16 => Ok(Held::F16(filled(task)?)),
        GgmlType::Bf16 => Ok(Held::Bf16(filled(task)?)),
        _ => {
            let bytes = usize::try_from(task.item.bytes).ok();
            let blocks = bytes.and_then(|bytes| Blocks::zeroed(kind, bytes));
            let mut blocks = blocks.ok_or_else(|| no_memory(task.item))?;
            let fill = Fill { task, blocks: &mut blocks };
            blocks::visit(kind, fill).unwrap_or_else(|| Err(no_memory(task.item).into()))?;
            Ok(Held::Blocks(blocks))
        }
    }
}

fn filled<U: Unit + bytemuck::Zeroable>(task: &Task<'_>) -> Result<Vec<U>, Trouble> {
    let Item { rows, columns, .. } = *task.item;
    let elements = rows.checked_mul(columns).ok_or_else(|| no_memory(task.item))?;
    // Zeroed by the system when it is touched first, and a refusal of the system is an error, not the end.
    let vector = bytemuck::allocation::try_zeroed_vec(elements);
    let mut vector = vector.map_err(|()| no_memory(task.item))?;
    fill(task, &mut vector)?;
    Ok(vector)
}

fn no_memory(item: &Item) -> Error {
    Error::new("allocate memory")
        .object(item.component.to_string())
        .expected(format!("{} bytes", item.bytes))
        .found("the system has not so much")
}

struct Fill<'a> {
    task: &'a Task<'a>,
    blocks: &'a mut Blocks,
}

impl blocks::Visit for Fill<'_> {
    type Output = Result<(), Trouble>;

    fn visit<B: Block>(self) -> Self::Output {
        let blocks = self.blocks.view_mut::<B>().ok_or_else(|| no_memory(self.task.item))?;
        fill(self.task, blocks)
    }
}

/// What memory is filled with: a float or a block.
trait Unit: Kernels {
    /// Its type.
    const KIND: GgmlType;
    /// Them as in a file.
    fn bytes(units: &[Self]) -> &[u8];
    /// Them as in a file, to be filled.
    fn bytes_mut(units: &mut [Self]) -> &mut [u8];
}

macro_rules! floats {
    ($($float:ident $kind:ident),*) => {$(
        impl Unit for $float {
            const KIND: GgmlType = GgmlType::$kind;

            fn bytes(units: &[Self]) -> &[u8] {
                bytemuck::cast_slice(units)
            }

            fn bytes_mut(units: &mut [Self]) -> &mut [u8] {
                bytemuck::cast_slice_mut(units)
            }
        }
    )*};
}

floats!(f32 F32, f16 F16, bf16 Bf16);

impl<B: Block> Unit for B {
    const KIND: GgmlType = B::KIND;

    fn bytes(units: &[Self]) -> &[u8] {
        blocks::bytes_of(units)
    }

    fn bytes_mut(units: &mut [Self]) -> &mut [u8] {
        blocks::bytes_of_mut(units)
    }
}

fn fill<U: Unit>(task: &Task<'_>, mut units: &mut [U]) -> Result<(), Trouble> {
    let Item { columns, ref pieces, .. } = *task.item;
    let converts = |piece: &Piece| piece.stored != U::KIND;
    let mut first_row = 0;
    for piece in pieces {
        let own = piece.rows * (columns / U::BLCK_SIZE);
        let (part, rest) = mem::take(&mut units).split_at_mut(own);
        units = rest;
        let run = Run { task, piece, first_row };
        let filled = if converts(piece) { run.convert(part) } else { run.read(part) };
        filled?;
        first_row += piece.rows;
    }
    Ok(())
}

/// The rows of one piece.
struct Run<'a> {
    task: &'a Task<'a>,
    piece: &'a Piece,
    /// Of the item.
    first_row: usize,
}

impl Run<'_> {
    /// Straight to where they stay.
    fn read<U: Unit>(&self, units: &mut [U]) -> Result<(), Trouble> {
        let chunk_units = (CHUNK_BYTES / size_of::<U>()).max(1);
        let chunks = units.par_chunks_mut(chunk_units).enumerate();
        let trouble = chunks.find_map_first(|(index, chunk)| {
            let first = index * chunk_units;
            let bytes = U::bytes_mut(chunk);
            self.read_bytes(first * size_of::<U>(), bytes).err().or_else(|| {
                let flaw = flaws::first_flaw(U::KIND, bytes)?;
                Some(self.flawed(U::KIND, first * U::BLCK_SIZE + flaw).into())
            })
        });
        trouble.map_or(Ok(()), Err)
    }

    /// Through bands of f32, one for each worker.
    fn convert<U: Unit>(&self, units: &mut [U]) -> Result<(), Trouble> {
        // What was read, and in f32.
        const BAND_BYTES: u64 = (BAND_ELEMENTS * (size_of::<u16>() + size_of::<f32>())) as u64;
        let Task { device, .. } = self.task;
        // A GPU's ledger is of its own memory; the bands are in the host's.
        let on_host = device.backing == Backing::Cpu;
        let stage = || device.ledger.stage("a band that is converted", BAND_BYTES);
        let band_units = BAND_ELEMENTS / U::BLCK_SIZE;
        let bands = units.par_chunks_mut(band_units).enumerate();
        let results = bands.map_init(Band::default, |band, (index, units)| {
            let _staged = on_host.then(stage).transpose()?;
            let first = index * BAND_ELEMENTS;
            let elements = units.len() * U::BLCK_SIZE;
            let wide = band.read(self, first, elements)?;
            if let Some(flaw) = flaws::first_flaw(GgmlType::F32, bytemuck::cast_slice(wide)) {
                return Err(self.flawed(self.piece.stored, first + flaw).into());
            }
            U::from_float(wide, units);
            match flaws::first_overflow(U::KIND, U::bytes(units)) {
                Some(flaw) => Err(self.overflowed(first + flaw).into()),
                None => Ok(()),
            }
        });
        results.find_map_first(Result::err).map_or(Ok(()), Err)
    }

    /// Reads bytes of the piece from that one on.
    fn read_bytes(&self, at: usize, bytes: &mut [u8]) -> Result<(), Trouble> {
        let Task { files, device, halt, watch, .. } = self.task;
        halt.check()?;
        let offset = u64::try_from(at).ok().and_then(|at| self.piece.offset.checked_add(at));
        let (Some(file), Some(offset)) = (files.get(self.piece.file), offset) else {
            return Err(self.refuse(0).found("it is in no file").into());
        };
        file.read_at(offset, bytes, OPERATION)?;
        watch.loaded(device.index, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// An error at that element of the piece.
    fn refuse(&self, element: usize) -> Error {
        let row = self.first_row + element / self.task.item.columns.max(1);
        Error::new(OPERATION)
            .object(&self.piece.tensor)
            .place(format!("row {row} of {}", self.task.item.component))
    }

    fn flawed(&self, stored: GgmlType, element: usize) -> Error {
        let (expected, found) = if kinds::is_float(stored) {
            ("numbers", "NaN")
        } else {
            ("blocks with finite scales", "one that is infinite or NaN")
        };
        self.refuse(element)
            .expected(expected)
            .found(found)
            .hint("the file is damaged or was made wrong; compare it with its published checksum")
    }

    fn overflowed(&self, element: usize) -> Error {
        self.refuse(element)
            .expected(format!("numbers that {} can hold", self.task.item.held.name()))
            .found("larger ones")
            .hint("solve with a --quant of a larger range, such as bf16")
    }
}

/// The room in which a worker converts.
#[derive(Default)]
struct Band {
    halves: Vec<u16>,
    wide: Vec<f32>,
}

impl Band {
    /// Elements of a piece of floats in f32, from the one of that number on.
    fn read(&mut self, run: &Run<'_>, first: usize, count: usize) -> Result<&[f32], Trouble> {
        self.wide.resize(count, 0.0);
        if run.piece.stored == GgmlType::F32 {
            run.read_bytes(first * size_of::<f32>(), bytemuck::cast_slice_mut(&mut self.wide))?;
            return Ok(&self.wide);
        }
        self.halves.resize(count, 0);
        run.read_bytes(first * size_of::<u16>(), bytemuck::cast_slice_mut(&mut self.halves))?;
        if run.piece.stored == GgmlType::F16 {
            f16::widen(bytemuck::cast_slice(&self.halves), &mut self.wide);
        } else {
            bf16::widen(bytemuck::cast_slice(&self.halves), &mut self.wide);
        }
        Ok(&self.wide)
    }
}
