//! Checkpoints made by hand, and models loaded from them.

mod damaged;
mod filled;
mod products;
mod refused;

use std::io::Write;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device as Real, Tensor};
use half::{bf16, f16};
use tempfile::NamedTempFile;

use super::devices::{Backing, Device, Ledger};
use super::manifest::{Architecture, Item, Manifest, Piece, Rope, Slot};
use super::{LoadOptions, Placed, Running, holdable, load};
use crate::dtype::GgmlType;
use crate::error::Error;
use crate::model::ComponentId;
use crate::runtime::KvType;

/// Every type that weights can be held in.
fn kinds() -> impl Iterator<Item = GgmlType> {
    GgmlType::ALL.into_iter().filter(|kind| holdable(*kind))
}

fn quantized() -> impl Iterator<Item = GgmlType> {
    kinds().filter(|kind| kind.block_elements() > 1)
}

fn of_candle(kind: GgmlType) -> GgmlDType {
    super::weights::of_candle(kind).unwrap()
}

/// Numbers around zero that look like weights, the same every time.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(i16::from_ne_bytes([state.to_ne_bytes()[2], state.to_ne_bytes()[3]])) / 32768.0
    };
    (0..count).map(|_| next() * next() * 0.2).collect()
}

/// Numbers as a file of that type has them; candle quantizes.
fn stored(kind: GgmlType, numbers: &[f32], columns: usize) -> Vec<u8> {
    match kind {
        GgmlType::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        GgmlType::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        GgmlType::Bf16 => numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        _ => {
            let shape = (numbers.len() / columns, columns);
            let tensor = Tensor::from_slice(numbers, shape, &Real::Cpu).unwrap();
            let quantized = QTensor::quantize(&tensor, of_candle(kind)).unwrap();
            quantized.data().unwrap().into_owned()
        }
    }
}

fn device(index: usize, budget_bytes: u64) -> Device {
    Device {
        id: format!("cpu{index}"),
        index,
        backing: Backing::Cpu,
        ledger: Arc::new(Ledger::new(&format!("cpu{index}"), budget_bytes)),
        real: Real::Cpu,
        workers: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()),
    }
}

/// A checkpoint under construction.
struct Made {
    files: Vec<NamedTempFile>,
    manifest: Manifest,
}

impl Made {
    fn new() -> Self {
        let rope = Rope { theta: 1e4, interleaved: false, divisors: Vec::new() };
        let architecture = Architecture {
            layers: 1,
            hidden: 256,
            heads: 1,
            kv_heads: 1,
            head_width: 256,
            vocabulary: 1,
            experts: 0,
            experts_per_token: 0,
            normalize_chosen: false,
            norm_epsilon: 1e-5,
            rope,
            window: None,
            tied_head: false,
            first_token: None,
            last_tokens: Vec::new(),
        };
        let manifest =
            Manifest { files: Vec::new(), items: Vec::new(), architecture, notices: Vec::new() };
        Self { files: Vec::new(), manifest }
    }

    /// A file with some bytes before what matters; its index.
    fn file(&mut self, bytes: &[u8]) -> usize {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(&[0xff; 24]).unwrap();
        file.write_all(bytes).unwrap();
        let length = u64::try_from(24 + bytes.len()).unwrap();
        self.manifest.files.push((file.path().to_owned(), length));
        self.files.push(file);
        self.files.len() - 1
    }

    /// An item whose rows are these bytes of that type, each in a file of its own.
    fn item(
        &mut self,
        component: ComponentId,
        held: GgmlType,
        columns: usize,
        pieces: &[(GgmlType, Vec<u8>)],
    ) -> &mut Item {
        let pieces: Vec<Piece> =
            pieces.iter().map(|(stored, bytes)| self.piece(*stored, columns, bytes)).collect();
        let rows = pieces.iter().map(|piece| piece.rows).sum::<usize>();
        let bytes = held.bytes(u64::try_from(rows * columns).unwrap()).unwrap();
        let item =
            Item { component, slot: Slot::Gate, device: 0, held, rows, columns, bytes, pieces };
        self.manifest.items.push(item);
        self.manifest.items.last_mut().unwrap()
    }

    fn piece(&mut self, stored: GgmlType, columns: usize, bytes: &[u8]) -> Piece {
        let row = stored.bytes(u64::try_from(columns).unwrap()).unwrap();
        let rows = bytes.len() / usize::try_from(row).unwrap();
        let file = self.file(bytes);
        let bytes = u64::try_from(bytes.len()).unwrap();
        Piece { tensor: format!("t{file}.weight"), file, offset: 24, bytes, stored, rows }
    }

    fn load_with(&self, devices: Vec<Device>, options: &LoadOptions<'_>) -> Result<Placed, Error> {
        let running = Running { context: 8, batch: 1, kv_type: KvType::F16 };
        load(&self.manifest, Arc::from(devices), running, options, &())
    }

    fn load(&self) -> Result<Placed, Error> {
        self.load_with(vec![device(0, u64::MAX)], &OPTIONS)
    }

    fn refusal(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

const OPTIONS: LoadOptions<'static> = LoadOptions { threads: 2, cpu_repack: false, stop: None };

const MLP: ComponentId = ComponentId::Mlp(0);
