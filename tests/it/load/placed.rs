//! Fixtures on devices: placements of every kind, loaded as a program would.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use apportion::checkpoint::Checkpoint;
use apportion::hardware::Hardware;
use apportion::load::decoder::{Decoder, Mode};
use apportion::load::devices::{Planned, Wishes, bind};
use apportion::load::manifest::Manifest;
use apportion::load::{LoadOptions, Placed, PlannedSends, Running, Tally, load};
use apportion::memory::Load;
use apportion::model::{ComponentId, Model};
use apportion::placement::Record;
use apportion::plan::{self, Outcome};
use apportion::problem::{Objective, ObjectiveKind};
use apportion::quant::Scheme;
use apportion::runtime::KvType;
use apportion::scenario::{
    Constraint, ConstraintKind, Current, Limits, Scenario, default_objectives,
};
use apportion::units::Ratio;
use apportion::verify::verify;

/// What is wanted of a placement.
#[derive(Clone)]
pub struct Wanted {
    /// Folder or file of the weights.
    pub weights: PathBuf,
    /// A scheme, or `None` for what the files have.
    pub quant: Option<&'static str>,
    pub devices: usize,
    pub context: u64,
    pub kv_type: KvType,
    /// Whether candle keeps its second copy.
    pub cpu_repack: bool,
    /// What each device has, in bytes.
    pub sizes: Vec<u64>,
}

impl Wanted {
    pub fn new(weights: &str, devices: usize) -> Self {
        let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle").join(weights);
        Self {
            weights,
            quant: None,
            devices,
            context: 128,
            kv_type: KvType::F32,
            cpu_repack: false,
            sizes: vec![1 << 30; devices],
        }
    }

    pub fn quant(self, quant: &'static str) -> Self {
        Self { quant: Some(quant), ..self }
    }

    fn scenario(&self, model: Model, constraints: Vec<Constraint>) -> Scenario {
        Scenario {
            model,
            scheme: self.quant.map_or_else(Scheme::stored, |name| Scheme::parse(name).unwrap()),
            load: Load { context: self.context, kv_type: self.kv_type, ..Load::default() },
            hardware: Hardware::from_sizes(&self.sizes, None, 0).unwrap(),
            constraints,
            default_pins: false,
            limits: Limits::default(),
            objectives: default_objectives(),
        }
    }

    /// A record of the placement that puts every component where `home` says.
    pub fn record(&self, home: &dyn Fn(ComponentId) -> usize) -> Record {
        self.record_after(home, None)
    }

    /// The same, solved from another one.
    pub fn record_after(
        &self,
        home: &dyn Fn(ComponentId) -> usize,
        before: Option<&Record>,
    ) -> Record {
        let checkpoint = Checkpoint::open(&self.weights).unwrap();
        let model = Model::from_checkpoint(&checkpoint, "fixture").unwrap();
        // Routers live with their attention, the final norm with the head.
        let free =
            |id: &ComponentId| !matches!(id, ComponentId::Router(_) | ComponentId::FinalNorm);
        let ids = self.scenario(model.clone(), Vec::new()).component_ids();
        let pin = |id: ComponentId| {
            Constraint::parse(ConstraintKind::Pin, &format!("{id}=gpu{}", home(id))).unwrap()
        };
        let pins = ids.into_iter().filter(free).map(pin).collect();
        let mut scenario = self.scenario(model, pins);
        if let Some(before) = before {
            let devices = &before.scenario.hardware.devices;
            let name = |&(id, at): &(ComponentId, usize)| (id, Some(devices[at].id.clone()));
            scenario.limits.current =
                Some(Current { homes: before.homes.iter().map(name).collect() });
            let (kind, tolerance) = (ObjectiveKind::Migration, Ratio::ZERO);
            scenario.objectives.push(Objective { kind, tolerance });
        }
        let problem = scenario.problem().unwrap();
        let Outcome::Solved(solved) = plan::solve(&problem, &plan::Options::default()).unwrap()
        else {
            panic!("every component has one device, and those are large")
        };
        let measured = verify(&problem, &solved.placement).unwrap();
        Record::of(&scenario, &problem, &solved, &measured)
    }

    /// The model of a placement in memory, after planned and measured bytes were compared.
    pub fn load(&self, record: &Record, threads: usize) -> Placed {
        let checkpoint = Checkpoint::open(&self.weights).unwrap();
        let model = Model::from_checkpoint(&checkpoint, "fixture").unwrap();
        let manifest = Manifest::new(record, &checkpoint, &model).unwrap();
        let wishes = Wishes { bindings: Vec::new(), budgets: Vec::new(), threads };
        let planned = Planned::of(record).unwrap();
        let bound = bind(&planned, &wishes).unwrap();
        let running = Running::of(record).unwrap();
        let options = LoadOptions { threads: 2, cpu_repack: self.cpu_repack, stop: None };
        let placed = load(&manifest, Arc::clone(&bound.devices), running, &options, &()).unwrap();
        let tally = Tally::of(&manifest, &placed);
        assert!(self.cpu_repack || tally.devices.iter().all(|d| d.second_copy_bytes == 0));
        tally.check().unwrap();
        for (device, planned) in tally.devices.iter().zip(&planned) {
            assert_eq!(device.total().measured, planned.on_it.weights_bytes, "{}", planned.id);
        }
        for device in bound.devices.iter() {
            assert!(device.ledger.balance().peak_bytes <= device.ledger.budget_bytes());
        }
        placed
    }

    /// The decoder of a placement, and the sends that its choices of experts ask for.
    pub fn decoder(&self, record: &Record, mode: Mode) -> (Decoder, Arc<Mutex<PlannedSends>>) {
        let mut decoder = Decoder::new(self.load(record, 1), mode).unwrap();
        for (device, planned) in decoder.placed().devices.iter().zip(Planned::of(record).unwrap()) {
            let kept = device.ledger.balance().kv_cache_bytes();
            assert_eq!(kept, planned.on_it.kv_cache_bytes, "{}", device.id);
        }
        let sends = Arc::new(Mutex::new(PlannedSends::new(&record.homes)));
        decoder.observe(Some(Box::new(Arc::clone(&sends))));
        (decoder, sends)
    }
}

/// A map that looks like chance and is the same everywhere.
pub fn scattered(seed: u32, devices: usize) -> impl Fn(ComponentId) -> usize {
    move |id| {
        let mut state = seed.wrapping_mul(0x9E37_79B9) ^ 0x85EB_CA6B;
        for byte in id.to_string().bytes() {
            state = (state ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            state ^= state >> 15;
        }
        state as usize % devices
    }
}
