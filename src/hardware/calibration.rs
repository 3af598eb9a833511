//! What was measured on a machine, and the machine with these speeds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::network::pair;
use super::{Hardware, Link, Network, Speed};
use crate::error::Error;

/// Repeated measurements of one thing: the middle of them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The median.
    pub median: u64,
    /// A quarter of the measurements is at most this.
    pub low: u64,
    /// A quarter of the measurements is at least this.
    pub high: u64,
    /// How many there were.
    pub runs: usize,
}

impl Figure {
    /// The quartiles of measurements; `None` without any.
    ///
    /// ```
    /// use apportion::hardware::Figure;
    /// let figure = Figure::of(vec![9, 1, 3, 5, 7]).unwrap();
    /// assert_eq!((figure.low, figure.median, figure.high, figure.runs), (3, 5, 7, 5));
    /// assert!(Figure::of(Vec::new()).is_none());
    /// ```
    pub fn of(mut measured: Vec<u64>) -> Option<Self> {
        measured.sort_unstable();
        let runs = measured.len();
        let last = runs.checked_sub(1)?;
        let at = |quarters: usize| measured[(last * quarters + 2) / 4];
        Some(Self { median: at(2), low: at(1), high: at(3), runs })
    }

    /// From the lower to the upper quartile, in thousandths of the median.
    pub fn spread_permille(&self) -> u64 {
        let spread = u128::from(self.high.saturating_sub(self.low)) * 1000;
        u64::try_from(spread / u128::from(self.median.max(1))).unwrap_or(u64::MAX)
    }

    /// The median to three digits: more is noise.
    fn rounded(&self) -> u64 {
        let mut unit = 1;
        while self.median / unit >= 1000 {
            unit *= 10;
        }
        (self.median / unit + u64::from(self.median % unit * 2 >= unit && unit > 1)) * unit
    }
}

/// Measured on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredDevice {
    /// Its name.
    pub id: String,
    /// What it really is.
    pub backing: String,
    /// Bytes per second of weights of a type, multiplied with one vector; the first type's holds for every
    /// other type too.
    pub reading: Vec<(&'static str, Figure)>,
    /// Floating-point operations per second in a product with many vectors, in the first type.
    pub compute: Figure,
}

/// Measured between two devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredLink {
    /// The two names.
    pub between: (String, String),
    /// Picoseconds until a small activation is there and somebody works on it, the mean of both ways.
    pub latency_ps: Figure,
    /// Bytes per second from then on.
    pub bytes_per_second: Figure,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calibration {
    /// In the machine's order.
    pub devices: Vec<MeasuredDevice>,
    /// Every two of them.
    pub links: Vec<MeasuredLink>,
}

impl Calibration {
    /// The machine with these speeds and links instead of its own; nodes stay, rates are rounded to three
    /// digits.
    ///
    /// # Errors
    /// Devices of another machine, and rates beyond what can be.
    pub fn apply(&self, hardware: &Hardware) -> Result<Hardware, Error> {
        let speed = |device: &MeasuredDevice| {
            let rates = device.reading.iter();
            let by_type: BTreeMap<String, u64> =
                rates.map(|(name, rate)| ((*name).to_owned(), rate.rounded())).collect();
            let first = device.reading.first().ok_or_else(|| {
                Error::new("use the measurements").object(&device.id).found("no type was read")
            })?;
            let flops = Some(device.compute.rounded());
            let speed = Speed { bytes_per_second: first.1.rounded(), by_type, flops };
            Ok((device.id.clone(), speed))
        };
        let link = |link: &MeasuredLink| {
            let (latency_ps, rate) = (link.latency_ps.rounded(), link.bytes_per_second.rounded());
            let between = pair(&link.between.0, &link.between.1);
            (between, Link { latency_ps, bytes_per_second: rate })
        };
        let network = Network {
            speeds: self.devices.iter().map(speed).collect::<Result<_, Error>>()?,
            links: self.links.iter().map(link).collect(),
            ..Network::clone(&hardware.network)
        };
        let bare = Hardware { network: Arc::default(), ..hardware.clone() };
        bare.with_network(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(median: u64) -> Figure {
        Figure { median, low: median, high: median, runs: 1 }
    }

    #[test]
    fn three_digits_stay() {
        let rounded = [7, 999, 1_000, 1_234_567, 9_996, 4_115_000_000].map(|n| figure(n).rounded());
        assert_eq!(rounded, [7, 999, 1_000, 1_230_000, 10_000, 4_120_000_000]);
    }

    #[test]
    fn quartiles_of_few() {
        let of = |numbers: &[u64]| {
            let figure = Figure::of(numbers.to_vec()).unwrap();
            (figure.low, figure.median, figure.high, figure.spread_permille())
        };
        assert_eq!(of(&[5]), (5, 5, 5, 0));
        assert_eq!(of(&[4, 2]), (2, 4, 4, 500));
        assert_eq!(of(&[100, 90, 110]), (100, 100, 110, 100));
    }

    #[test]
    fn a_machine_with_measured_speeds_reads_back() {
        let hardware = Hardware::from_sizes(&[1 << 30, 1 << 30], None, 0).unwrap();
        let device = |id: &str, rate| MeasuredDevice {
            id: id.to_owned(),
            backing: "cpu".to_owned(),
            reading: vec![("q4_k", figure(rate)), ("f32", figure(2 * rate))],
            compute: figure(41_234_000_000),
        };
        let link = MeasuredLink {
            between: ("gpu1".to_owned(), "gpu0".to_owned()),
            latency_ps: figure(23_456_789),
            bytes_per_second: figure(2_000_000_001),
        };
        let mut calibration = Calibration {
            devices: vec![device("gpu0", 4_123_456_789), device("gpu1", 3_999_999_999)],
            links: vec![link],
        };
        let measured = calibration.apply(&hardware).unwrap();
        let read = Hardware::from_yaml(&measured.to_yaml(), "hardware.yaml").unwrap();
        assert_eq!(read, measured);
        assert_eq!(read.speed(1).unwrap().reading("q6_k"), 4_000_000_000);
        assert_eq!(read.speed(0).unwrap().reading("f32"), 8_250_000_000);
        assert_eq!(read.link(0, 1).unwrap().latency_ps, 23_500_000);
        calibration.devices[0].id = "gpu7".to_owned();
        assert!(calibration.apply(&hardware).unwrap_err().to_string().contains("gpu7"));
    }
}
