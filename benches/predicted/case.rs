//! A model in a file, two devices with a thread each, and what the cost model says of placements there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use apportion::checkpoint::Checkpoint;
use apportion::dtype::GgmlType;
use apportion::hardware::{Calibration, Figure, Hardware};
use apportion::load::calibrate::{Options, calibrate};
use apportion::load::decoder::Mode;
use apportion::load::devices::{Backing, Binding, Planned, Wishes, bind};
use apportion::load::manifest::Manifest;
use apportion::load::{LoadOptions, Placed, Running, Tally, load};
use apportion::memory::Load;
use apportion::model::Model;
use apportion::placement::Record;
use apportion::plan::{self, Outcome};
use apportion::problem::{Draw, ObjectiveKind, ObjectiveValue, Placement, Problem, Timing};
use apportion::quant::Scheme;
use apportion::report;
use apportion::runtime::{KvType, LayerDevices, SendRule};
use apportion::scenario::{Limits, Scenario, default_objectives};
use apportion::verify::verify;

use super::maps::Map;
use super::support::mixtral::{Shape, Type, write};
use super::{Failure, MODES};

/// Room for what is measured.
const CONTEXT: u64 = 64;

/// Tokens that are not measured.
pub const WARM: usize = 4;

/// Everything but a placement.
pub struct Case {
    /// Removed with it.
    _folder: tempfile::TempDir,
    path: PathBuf,
    /// Without pins, on devices of which nothing is known yet.
    pub scenario: Scenario,
    /// How many tokens are measured, after those that are not.
    pub tokens: usize,
    /// One measurement of the devices per round.
    calibrations: Vec<Calibration>,
    /// What the measured tokens visit, by layer.
    pub draws: Vec<Draw>,
}

impl Case {
    /// Writes the model.
    pub fn new(shape: Shape, tokens: usize) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let path = write(folder.path(), shape, Type::Q4K)?;
        let checkpoint = Checkpoint::open(&path)?;
        let scenario = Scenario {
            model: Model::from_checkpoint(&checkpoint, "bench")?,
            scheme: Scheme::stored(),
            load: Load { context: CONTEXT, kv_type: KvType::F32, ..Load::default() },
            hardware: Hardware::from_sizes(&[8 << 30; 2], None, 0)?,
            constraints: Vec::new(),
            default_pins: false,
            // What the decoder does: one way there and back for each device.
            limits: Limits { sends: Some(SendRule::PerDevice), ..Limits::default() },
            objectives: default_objectives(),
        };
        let (calibrations, draws) = (Vec::new(), Vec::new());
        Ok(Self { _folder: folder, path, scenario, tokens, calibrations, draws })
    }

    /// Measures the devices once more.
    pub fn calibrate(&mut self) -> Result<(), Failure> {
        let stop = AtomicBool::new(false);
        let types = vec![GgmlType::Q4K, GgmlType::F32];
        let options = Options { types, time: Duration::from_secs(3), stop: &stop };
        let devices = bind(&Planned::empty(&self.scenario.hardware), &wishes())?.devices;
        let calibration = calibrate(&devices, &options)?.ok_or("nobody stopped it")?;
        self.calibrations.push(calibration);
        Ok(())
    }

    /// Medians over the measurements of the devices.
    fn calibration(&self) -> Result<Calibration, Failure> {
        let mut middle = self.calibrations.first().ok_or("nothing is measured yet")?.clone();
        let over = |figure: &mut Figure, of: &dyn Fn(&Calibration) -> Figure| {
            let medians = self.calibrations.iter().map(|one| of(one).median).collect();
            *figure = Figure::of(medians).unwrap_or(*figure);
        };
        for (at, device) in middle.devices.iter_mut().enumerate() {
            over(&mut device.compute, &|one| one.devices[at].compute);
            for (kind, (_, rate)) in device.reading.iter_mut().enumerate() {
                over(rate, &|one| one.devices[at].reading[kind].1);
            }
        }
        for (at, link) in middle.links.iter_mut().enumerate() {
            over(&mut link.latency_ps, &|one| one.links[at].latency_ps);
            over(&mut link.bytes_per_second, &|one| one.links[at].bytes_per_second);
        }
        Ok(middle)
    }

    /// The figures as text.
    pub fn figures(&self) -> Result<String, Failure> {
        Ok(format!("```text\n{}```\n", report::calibration(&self.calibration()?)))
    }

    /// The machine as measured.
    pub fn hardware(&self) -> Result<Hardware, Failure> {
        Ok(self.calibration()?.apply(&self.scenario.hardware)?)
    }

    /// The problem under one way of working, with the routing that was counted.
    pub fn problem(&self, scenario: &Scenario, mode: Mode) -> Result<Problem, Failure> {
        let devices = match mode {
            Mode::Sequential => LayerDevices::Sequential,
            Mode::Concurrent => LayerDevices::Concurrent,
        };
        let limits = Limits { layer_devices: Some(devices), ..scenario.limits.clone() };
        let mut problem = Scenario { limits, ..scenario.clone() }.problem()?;
        let timing = problem.decode.as_deref().ok_or("the speeds are not known")?;
        let timing = Timing { draws: vec![self.draws.clone()], ..timing.clone() };
        problem.decode = Some(Arc::new(timing));
        Ok(problem)
    }

    /// Seconds for a token, taking turns and at once.
    pub fn predict(&self, map: &Map) -> Result<[f64; 2], Failure> {
        self.predict_with(map, |_| {})
    }

    /// The same with other numbers.
    pub fn predict_with(
        &self,
        map: &Map,
        change: impl Fn(&mut Timing),
    ) -> Result<[f64; 2], Failure> {
        let scenario = Scenario { hardware: self.hardware()?, ..self.scenario.clone() };
        let mut both = [0.0; 2];
        for (mode, seconds) in MODES.into_iter().zip(&mut both) {
            let mut problem = self.problem(&scenario, mode)?;
            problem.decode.as_mut().map(Arc::make_mut).into_iter().for_each(&change);
            *seconds = predicted(&problem, &placement(&problem, map)?)?;
        }
        Ok(both)
    }

    /// The weights where the map says.
    pub fn load(&self, map: &Map) -> Result<Placed, Failure> {
        let scenario = Scenario { constraints: map.pins()?, ..self.scenario.clone() };
        let problem = scenario.problem()?;
        let Outcome::Solved(solved) = plan::solve(&problem, &plan::Options::default())? else {
            return Err("the model does not fit".into());
        };
        let measured = verify(&problem, &solved.placement).map_err(|_| "a wrong placement")?;
        let record = Record::of(&scenario, &problem, &solved, &measured);
        let checkpoint = Checkpoint::open(&self.path)?;
        let manifest = Manifest::new(&record, &checkpoint, &scenario.model)?;
        let bound = bind(&Planned::of(&record)?, &wishes())?;
        let options = LoadOptions { threads: 2, cpu_repack: false, stop: None };
        let placed = load(&manifest, bound.devices, Running::of(&record)?, &options, &())?;
        Tally::of(&manifest, &placed).check()?;
        Ok(placed)
    }
}

/// The value of the objective in seconds.
pub fn predicted(problem: &Problem, placement: &Placement) -> Result<f64, Failure> {
    let measured = verify(problem, placement).map_err(|all| format!("{all:?}"))?;
    let ObjectiveValue::Time(ps) = measured.value(ObjectiveKind::DecodeLatency) else {
        return Err("the speeds are not known".into());
    };
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    Ok(ps as f64 / 1e12)
}

/// The map as a placement: what it does not name lives with something that it names.
fn placement(problem: &Problem, map: &Map) -> Result<Placement, Failure> {
    let device = |component: &apportion::problem::Component| {
        let id = component.demand.id;
        let of = |id| map.homes.iter().find(|home| home.0 == id).map(|home| home.1);
        of(id).or_else(|| of(component.lives_with)).ok_or_else(|| format!("{id} is nowhere"))
    };
    let device_of = problem.components.iter().map(device).collect::<Result<_, _>>()?;
    Ok(Placement { device_of })
}

/// Both devices in CPU memory, with a thread each.
fn wishes() -> Wishes {
    let cpu = |id: &str| Binding { device: id.to_owned(), backing: Backing::Cpu };
    Wishes { bindings: vec![cpu("gpu0"), cpu("gpu1")], budgets: Vec::new(), threads: 1 }
}
