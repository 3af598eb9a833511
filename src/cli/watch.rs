//! `apportion watch`: memory of a running system, line by line, beside what was planned.

use std::thread;
use std::time::Duration;

use apportion::error::Error;
use apportion::files::Tail;
use apportion::model::Model;
use apportion::placement::Record;
use apportion::report::{self, Watched};
use apportion::trace::{DeviceMemory, END, Reader, Reading, Snapshot, Threshold};
use apportion::units::parse_time;

use super::args::WatchArgs;
use super::{Answer, print, rebalance};

/// Looks again and again.
pub fn run(args: &WatchArgs) -> Result<Answer, Error> {
    let thresholds = thresholds(args)?;
    let interval = interval(args)?;
    if args.source.log.is_some() && !args.device.is_empty() {
        return Err(Error::new("use --device")
            .expected("it with --nvml: a log has the names of the placement")
            .found("it with --log"));
    }
    let model = args.model.as_deref().map(Model::resolve).transpose()?;
    let record = rebalance::placement(&args.placement, model.as_ref())?;
    check_names(&thresholds, &record)?;
    let mut source = Source::of(args, &record)?;
    let mut lines = 0;
    loop {
        let moments = source.look()?;
        let ended = moments.last().is_some_and(|moment| moment.label.as_deref() == Some(END));
        // All of them are held against the thresholds; the last one is shown, or the first that passed.
        let judged = moments.into_iter().map(|moment| judge(moment, &record, &thresholds));
        let mut shown = None;
        for watched in judged {
            let passed = !watched.passed.is_empty();
            shown = Some(watched);
            if passed {
                break;
            }
        }
        if let Some(watched) = shown {
            let open = print(&line(args, &watched))?;
            lines += 1;
            if !watched.passed.is_empty() {
                return Ok(Answer::new(String::new(), false));
            }
            if ended || !open || args.count.is_some_and(|count| lines >= count) {
                return Ok(Answer::new(String::new(), true));
            }
        }
        thread::sleep(interval);
    }
}

fn line(args: &WatchArgs, watched: &Watched) -> String {
    if args.output.json {
        format!("{}\n", report::watched_json(watched))
    } else {
        report::watched(watched)
    }
}

/// All devices at one moment.
struct Moment {
    at: Duration,
    label: Option<String>,
    devices: Vec<Reading>,
    /// Whether the driver counts, which knows of all purposes and everybody.
    all: bool,
}

fn judge(moment: Moment, record: &Record, thresholds: &[Threshold]) -> Watched {
    let planned = |reading: &Reading| {
        let device = record.devices.iter().find(|device| device.id == reading.id)?;
        // What a runtime counts of itself, or all that is to be there.
        Some(if moment.all {
            device.used_bytes.saturating_sub(device.reserve_bytes)
        } else {
            device.weights_bytes.saturating_add(device.kv_cache_bytes)
        })
    };
    let passed = |reading: &&Reading| thresholds.iter().any(|one| one.is_passed(reading));
    let over: Vec<String> =
        moment.devices.iter().filter(passed).map(|reading| reading.id.clone()).collect();
    let devices: Vec<_> = moment.devices.iter().map(|r| (r.clone(), planned(r))).collect();
    Watched { at: moment.at, label: moment.label, devices, passed: over }
}

fn thresholds(args: &WatchArgs) -> Result<Vec<Threshold>, Error> {
    args.above.iter().map(|text| text.parse()).collect()
}

fn interval(args: &WatchArgs) -> Result<Duration, Error> {
    let ps = parse_time(&args.interval).map_err(|error| error.place("--interval"))?;
    if ps < 1_000_000_000 {
        return Err(Error::new("wait between lines")
            .place("--interval")
            .expected("1 ms at least")
            .found(&args.interval));
    }
    Ok(Duration::from_nanos(ps / 1000))
}

fn check_names(thresholds: &[Threshold], record: &Record) -> Result<(), Error> {
    let devices = &record.scenario.hardware.devices;
    let unknown = |threshold: &Threshold| {
        let device = threshold.device.clone()?;
        // Where components wait on the way is no device of the placement.
        let known = device == "host" || devices.iter().any(|known| known.id == device);
        (!known).then_some(device)
    };
    let Some(device) = thresholds.iter().find_map(unknown) else { return Ok(()) };
    let names: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
    Err(Error::new("watch the device")
        .object(device)
        .expected(format!("a device of the placement: {}", names.join(", ")))
        .found("another name"))
}

/// Where moments come from.
enum Source {
    Log { tail: Tail, reader: Reader },
    Driver(Box<driver::Gpus>),
}

impl Source {
    fn of(args: &WatchArgs, record: &Record) -> Result<Self, Error> {
        match &args.source.log {
            Some(path) => {
                let tail = Tail::open(path, "read the memory log")?;
                Ok(Self::Log { tail, reader: Reader::default() })
            }
            None => driver::Gpus::of(&args.device, record).map(Box::new).map(Self::Driver),
        }
    }

    /// What has come since the last look: nothing, where a log has not grown by a whole line.
    fn look(&mut self) -> Result<Vec<Moment>, Error> {
        match self {
            Self::Log { tail, reader } => {
                let mut moments = Vec::new();
                for line in tail.lines()? {
                    let moment = reader.line(&line).map_err(|error| error.object(tail.name()))?;
                    moments.extend(moment.map(of_log));
                }
                Ok(moments)
            }
            Self::Driver(gpus) => Ok(vec![gpus.look()?]),
        }
    }
}

fn of_log(snapshot: Snapshot) -> Moment {
    let reading = |device: &DeviceMemory| Reading {
        id: device.id.clone(),
        used_bytes: device.used_bytes(),
        peak_bytes: Some(device.peak_bytes),
        limit_bytes: device.budget_bytes,
    };
    let devices = snapshot.devices.iter().map(reading).collect();
    Moment { at: snapshot.at, label: Some(snapshot.label), devices, all: false }
}

#[cfg(feature = "nvml")]
mod driver {
    //! GPUs as their driver sees them.

    use apportion::hardware::{Device, DeviceKind};
    use apportion::trace::Nvml;

    use std::time::Instant;

    use super::{Error, Moment, Reading, Record};

    /// The GPUs of a placement.
    pub struct Gpus {
        nvml: Nvml,
        devices: Vec<(Device, u32)>,
        started: Instant,
    }

    impl Gpus {
        pub fn of(named: &[String], record: &Record) -> Result<Self, Error> {
            let nvml = Nvml::open()?;
            let devices = record.scenario.hardware.devices.iter();
            let gpus = devices.filter(|device| device.kind == DeviceKind::Gpu).cloned();
            let mut gpus: Vec<(Device, u32)> = (0..)
                .zip(gpus)
                .map(|(at, gpu)| {
                    let own = gpu.id.strip_prefix("gpu").and_then(|digits| digits.parse().ok());
                    (gpu, own.unwrap_or(at))
                })
                .collect();
            for text in named {
                let refuse = || Error::new("bind the device").object(text);
                let (id, index) =
                    text.split_once('=').ok_or_else(|| refuse().expected("NAME=N"))?;
                let gpu = gpus.iter_mut().find(|(gpu, _)| gpu.id == id);
                let gpu = gpu.ok_or_else(|| refuse().expected("a GPU of the placement"))?;
                gpu.1 = index.parse().map_err(|_| refuse().expected("NAME=N, as `gpu0=1`"))?;
            }
            Ok(Self { nvml, devices: gpus, started: Instant::now() })
        }

        pub fn look(&self) -> Result<Moment, Error> {
            let reading = |(gpu, index): &(Device, u32)| {
                let memory = self.nvml.memory(*index)?;
                Ok(Reading {
                    id: gpu.id.clone(),
                    used_bytes: memory.total_bytes.saturating_sub(memory.free_bytes),
                    peak_bytes: None,
                    limit_bytes: gpu.capacity_bytes.min(memory.total_bytes),
                })
            };
            let devices = self.devices.iter().map(reading).collect::<Result<_, Error>>()?;
            Ok(Moment { at: self.started.elapsed(), label: None, devices, all: true })
        }
    }
}

#[cfg(not(feature = "nvml"))]
mod driver {
    //! A build that cannot ask.

    use super::{Error, Moment, Record};

    /// No GPUs.
    pub enum Gpus {}

    impl Gpus {
        pub fn of(_: &[String], _: &Record) -> Result<Self, Error> {
            Err(Error::new("ask the driver of the GPUs")
                .expected("a build with the feature `nvml`")
                .found("one without")
                .hint("build with `--features nvml`, or watch a log with --log"))
        }

        pub fn look(&self) -> Result<Moment, Error> {
            match *self {}
        }
    }
}
