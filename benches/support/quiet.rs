//! Whether anybody else uses the processor meanwhile, as the system counts it.

use std::fs;

/// Hundredths of a second, as the system counts them.
#[derive(Clone, Copy)]
struct Counted {
    busy: f64,
    own: f64,
    all: f64,
}

/// What happened since a moment.
pub struct Watch(Option<Counted>);

impl Watch {
    /// From now on.
    pub fn begin() -> Self {
        Self(counted())
    }

    /// How many cores others kept busy since then on average; `None` where the system does not say.
    pub fn others(&self) -> Option<f64> {
        let (before, now) = (self.0?, counted()?);
        let all = now.all - before.all;
        let others = (now.busy - before.busy) - (now.own - before.own);
        (all > 0.0).then(|| (others / all * cores()).max(0.0))
    }
}

fn cores() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).map_or(1.0, f64::from)
}

fn counted() -> Option<Counted> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<f64> =
        line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let all: f64 = numbers.iter().sum();
    // The fourth is idle, the fifth is waiting for a disk.
    let busy = all - numbers.get(3)? - numbers.get(4)?;
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in brackets, which may have blanks in it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let own = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(Counted { busy, own, all })
}
