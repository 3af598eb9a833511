//! Placements for the runtime's benches, solved as anyone would, and what their devices do.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apportion::checkpoint::Checkpoint;
use apportion::hardware::Hardware;
use apportion::load::decoder::Observer;
use apportion::load::devices::{Backing, Binding, Planned, Wishes, bind};
use apportion::load::manifest::Manifest;
use apportion::load::{LoadOptions, Placed, PlannedSends, Running, Tally, load};
use apportion::memory::Load;
use apportion::model::{ComponentId, Model};
use apportion::placement::Record;
use apportion::plan::{self, Outcome};
use apportion::quant::Scheme;
use apportion::runtime::KvType;
use apportion::scenario::{Constraint, ConstraintKind, Limits, Scenario, default_objectives};
use apportion::verify::verify;

type Failure = Box<dyn Error>;

/// Weights on devices.
#[derive(Clone)]
pub struct Question {
    /// What to open.
    pub weights: PathBuf,
    /// A scheme, or `None` for what the files have.
    pub quant: Option<String>,
    /// One, or two with the upper half of all experts on the second.
    pub devices: usize,
    /// Threads that load, and threads of each device.
    pub threads: usize,
    /// Whether candle keeps its second copy.
    pub cpu_repack: bool,
    /// Whether all devices are the first GPU.
    pub on_gpu: bool,
    /// Where everything goes.
    pub record: Arc<Record>,
}

impl Question {
    /// Solves where everything goes.
    pub fn new(weights: &Path, quant: Option<&str>, devices: usize) -> Result<Self, Failure> {
        Ok(Self {
            weights: weights.to_owned(),
            quant: quant.map(str::to_owned),
            devices,
            threads: 1,
            cpu_repack: false,
            on_gpu: false,
            record: Arc::new(solve(weights, quant, devices)?),
        })
    }

    /// The map.
    pub fn homes(&self) -> &[(ComponentId, usize)] {
        &self.record.homes
    }

    /// Loads the model, after which planned and measured bytes are the same.
    pub fn load(&self) -> Result<Placed, Failure> {
        let checkpoint = Checkpoint::open(&self.weights)?;
        let model = Model::from_checkpoint(&checkpoint, "bench")?;
        let manifest = Manifest::new(&self.record, &checkpoint, &model)?;
        let planned = Planned::of(&self.record)?;
        let backing = if self.on_gpu { Backing::Cuda(0) } else { Backing::Cpu };
        let bindings = planned.iter().map(|d| Binding { device: d.id.clone(), backing }).collect();
        let bound =
            bind(&planned, &Wishes { bindings, budgets: Vec::new(), threads: self.threads })?;
        let options =
            LoadOptions { threads: self.threads, cpu_repack: self.cpu_repack, stop: None };
        let running = Running::of(&self.record)?;
        let placed = load(&manifest, bound.devices, running, &options, &())?;
        Tally::of(&manifest, &placed).check()?;
        Ok(placed)
    }
}

fn solve(weights: &Path, quant: Option<&str>, devices: usize) -> Result<Record, Failure> {
    let checkpoint = Checkpoint::open(weights)?;
    let pin = |text: &str| Constraint::parse(ConstraintKind::Pin, text);
    let constraints = match devices {
        1 => Vec::new(),
        _ => vec![
            pin("embedding=gpu0")?,
            pin("layers.*.attention=gpu0")?,
            pin("output_head=gpu0")?,
            pin("layers.*.experts.[0-3]=gpu0")?,
            pin("layers.*.experts.[4-7]=gpu1")?,
        ],
    };
    let scenario = Scenario {
        model: Model::from_checkpoint(&checkpoint, "bench")?,
        scheme: quant.map_or_else(|| Ok(Scheme::stored()), Scheme::parse)?,
        load: Load { context: 4096, kv_type: KvType::F32, ..Load::default() },
        hardware: Hardware::from_sizes(&vec![64 << 30; devices], None, 0)?,
        constraints,
        default_pins: devices == 1,
        limits: Limits::default(),
        objectives: default_objectives(),
    };
    let problem = scenario.problem()?;
    let Outcome::Solved(solved) = plan::solve(&problem, &plan::Options::default())? else {
        return Err("the model does not fit".into());
    };
    let measured = verify(&problem, &solved.placement).map_err(|_| "the placement is wrong")?;
    Ok(Record::of(&scenario, &problem, &solved, &measured))
}

/// How long something took, with what it returned.
pub fn clocked<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(Duration, T), Failure> {
    let started = Instant::now();
    let result = work()?;
    Ok((started.elapsed(), result))
}

/// Hears which experts are chosen: the sends they ask for, and how well two devices could share the work.
pub struct Heard {
    /// As the plan counts them.
    pub sends: PlannedSends,
    half: u32,
    /// Experts that ran, one after the other.
    one_by_one: u64,
    /// Experts on the busier device, summed over tokens and layers.
    side_by_side: u64,
}

impl Heard {
    /// For experts of which the upper half is elsewhere.
    pub fn new(question: &Question, experts: u32) -> Self {
        let sends = PlannedSends::new(question.homes());
        Self { sends, half: experts / 2, one_by_one: 0, side_by_side: 0 }
    }

    /// How much faster the observed tokens could be when experts run side by side, by bytes read: everything
    /// else, and one expert, in any unit; `tokens` were observed.
    #[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
    pub fn ceiling(&self, tokens: u64, rest_bytes: u64, expert_bytes: u64) -> f64 {
        let rest = (tokens * rest_bytes) as f64;
        let experts = |count: u64| count as f64 * expert_bytes as f64;
        (rest + experts(self.one_by_one)) / (rest + experts(self.side_by_side))
    }
}

impl Observer for Heard {
    fn chosen(&mut self, layer: u32, experts: &[Vec<u32>]) {
        self.sends.chosen(layer, experts);
        for chosen in experts {
            let low = chosen.iter().filter(|expert| **expert < self.half).count();
            self.one_by_one += chosen.len() as u64;
            self.side_by_side += low.max(chosen.len() - low) as u64;
        }
    }
}

/// What one token reads besides experts, and the bytes of one expert.
pub fn read_per_token(placed: &Placed) -> (u64, u64) {
    let (mut rest, mut expert) = (0, 0);
    for device in placed.devices.iter() {
        for (component, bytes) in device.ledger.balance().weights {
            match component {
                ComponentId::Expert(..) => expert = bytes,
                // One row of it.
                ComponentId::Embedding => {}
                _ => rest += bytes,
            }
        }
    }
    (rest, expert)
}
