//! Limits beside pins: memory to leave free, devices to use at most, how tokens are sent, where things are
//! now.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::hardware::{Device, DeviceKind, Hardware};
use crate::model::ComponentId;
use crate::problem::{Affinity, DeviceSet, NOWHERE, Placement};
use crate::routing::Statistics;
use crate::runtime::{LayerDevices, SendRule};
use crate::units::{exact_size, parse_bytes, parse_decimal};

/// Two digits before the point and as many behind it as this has zeros can be typed.
const SCALE_MAX: u64 = 10_000_000_000_000_000;

/// What the answer must respect beside pins and capacities; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory that must stay free, each device at most once.
    pub headrooms: Vec<Headroom>,
    /// The most devices that may host a component.
    pub devices_max: Option<usize>,
    /// How a token reaches experts away from home; `None` as the runtime's profile says.
    pub sends: Option<SendRule>,
    /// Whether the devices of a layer take turns; `None` as the runtime's profile says.
    pub layer_devices: Option<LayerDevices>,
    /// Routing statistics; without any, every expert is as likely as any other. With several the worst
    /// counts.
    pub routing: Vec<Arc<Statistics>>,
    /// The smallest part that may be placed on its own.
    pub granularity: Granularity,
    /// Where things are now.
    pub current: Option<Current>,
    /// The most weight bytes that may move from there.
    pub moved_bytes_max: Option<u64>,
    /// Whether each layer's attention has one home.
    pub attention: Attention,
    /// How experts of consecutive layers go together, where attention is replicated.
    pub affinity: Option<Arc<Affinity>>,
}

/// Where attention is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attention {
    /// Each layer's on one device, to which activations return.
    #[default]
    Single,
    /// On every device, with everything else that is not a routed expert; the experts of each layer are
    /// divided as evenly as they can be. Experts are not replicated and no tensor is split.
    Replicated,
}

impl Attention {
    /// The word in files; on the command line with a hyphen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Replicated => "replicated",
        }
    }
}

/// The smallest part that a runtime can place on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Granularity {
    /// Whole layers.
    Layer,
    /// A layer's attention and router, and all its experts.
    Experts,
    /// One matrix of all experts of a layer: gate, up, down.
    FusedMatrix,
    /// Single experts.
    #[default]
    Expert,
}

impl Granularity {
    /// Every one, coarsest first.
    pub const ALL: [Self; 4] = [Self::Layer, Self::Experts, Self::FusedMatrix, Self::Expert];

    /// The word in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Experts => "experts",
            Self::FusedMatrix => "fused_matrix",
            Self::Expert => "expert",
        }
    }
}

impl Limits {
    /// Whether they speak of this machine.
    ///
    /// # Errors
    /// Headroom of a device that is not there, of one twice, or that leaves nothing of one.
    pub fn check(&self, hardware: &Hardware) -> Result<(), Error> {
        headroom_bytes(&self.headrooms, hardware).map(drop)
    }
}

/// The device of every component in a placement that is already in place, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Components with their devices, in canonical order; `None` for those that are on none, or wanted in other
    /// bytes than they are there: they must be loaded.
    pub homes: Vec<(ComponentId, Option<String>)>,
}

impl Current {
    /// As a placement of these components on these devices.
    ///
    /// # Errors
    /// Other components, or a device that is not there.
    pub fn placement(
        &self,
        ids: impl Iterator<Item = ComponentId>,
        hardware: &Hardware,
    ) -> Result<Placement, Error> {
        let refuse = || Error::new("count what moves");
        if !ids.eq(self.homes.iter().map(|(id, _)| *id)) {
            return Err(refuse()
                .expected("a current placement of the same components")
                .found("one of others")
                .hint("it must be of the same model, run the same way"));
        }
        let device = |(id, name): &(ComponentId, Option<String>)| {
            let Some(name) = name else { return Ok(NOWHERE) };
            hardware.index_of(name).ok_or_else(|| {
                let names: Vec<String> =
                    hardware.devices.iter().map(|d| format!("`{}`", d.id)).collect();
                refuse()
                    .object(id.to_string())
                    .expected("it to be on a device of this machine")
                    .found(format!("`{name}`"))
                    .hint(format!("the devices are {}", names.join(", ")))
            })
        };
        let device_of = self.homes.iter().map(device).collect::<Result<_, _>>()?;
        Ok(Placement { device_of })
    }
}

/// Reads `--max-devices`.
///
/// # Errors
/// Less than one, or more than a machine may have.
pub fn parse_devices_max(text: &str) -> Result<usize, Error> {
    let most = DeviceSet::DEVICES_MAX;
    let parsed = text.trim().parse().ok().filter(|count| (1..=most).contains(count));
    parsed.ok_or_else(|| {
        Error::new("limit the devices").object(text).expected(format!("1 to {most} devices"))
    })
}

/// Memory that must stay free on every GPU or on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// The device's name; `None` for every GPU that has no headroom of its own.
    pub device: Option<String>,
    /// How much.
    pub size: HeadroomSize,
}

/// How much must stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadroomSize {
    /// So many bytes.
    Bytes(u64),
    /// A share of the capacity, below all of it: `digits / scale` percent, the scale a power of ten.
    Percent {
        /// All digits.
        digits: u64,
        /// One, ten, a hundred, ...
        scale: u64,
    },
}

impl HeadroomSize {
    /// Bytes of a device; a share is rounded up.
    fn of(self, capacity_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent { digits, scale } => {
                let share = u128::from(capacity_bytes) * u128::from(digits);
                let bytes = share.div_ceil(u128::from(scale) * 100);
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        }
    }
}

impl Headroom {
    /// Reads `SIZE`, `PERCENT%`, `DEVICE=SIZE` or `DEVICE=PERCENT%`.
    ///
    /// ```
    /// use apportion::scenario::Headroom;
    /// assert_eq!(Headroom::parse("gpu1=2.50%").unwrap().to_string(), "gpu1=2.5%");
    /// assert_eq!(Headroom::parse("512MiB").unwrap().to_string(), "512MiB");
    /// assert!(Headroom::parse("100%").is_err());
    /// ```
    ///
    /// # Errors
    /// Anything else, or a share of 100 % and more.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = || Error::new("read --headroom").object(text);
        let (device, size) = match text.rsplit_once('=') {
            Some((device, size)) => (Some(device.trim()), size.trim()),
            None => (None, text.trim()),
        };
        if device.is_some_and(str::is_empty) {
            return Err(refuse().expected("a device before `=`").found("nothing"));
        }
        let size = match size.strip_suffix('%') {
            None => HeadroomSize::Bytes(parse_bytes(size).map_err(|e| e.place("--headroom"))?),
            Some(percent) => parse_decimal(percent.trim_end())
                .filter(|&(digits, scale)| u128::from(digits) < u128::from(scale) * 100)
                .map(|(digits, scale)| HeadroomSize::Percent { digits, scale })
                .ok_or_else(|| {
                    refuse().expected("0 % or more and less than 100 %, as in `5%` or `gpu1=2.5%`")
                })?,
        };
        Ok(Self { device: device.map(str::to_owned), size })
    }
}

impl Headroom {
    /// So many percent of it, up to 100: bytes rounded down, a share exactly unless that takes more digits
    /// than can be typed.
    ///
    /// ```
    /// use apportion::scenario::Headroom;
    /// let scaled = |text, percent| Headroom::parse(text).unwrap().scaled(percent).to_string();
    /// assert_eq!(scaled("gpu1=2.5%", 30), "gpu1=0.75%");
    /// assert_eq!(scaled("1001B", 50), "500B");
    /// ```
    #[must_use]
    pub fn scaled(&self, percent: u64) -> Self {
        let size = match self.size {
            HeadroomSize::Bytes(bytes) => {
                let scaled = u128::from(bytes) * u128::from(percent) / 100;
                HeadroomSize::Bytes(u64::try_from(scaled).unwrap_or(u64::MAX))
            }
            HeadroomSize::Percent { digits, scale } => {
                let scaled = u128::from(digits) * u128::from(percent);
                match (u64::try_from(scaled), scale.checked_mul(100)) {
                    (Ok(digits), Some(scale)) if scale <= SCALE_MAX => {
                        HeadroomSize::Percent { digits, scale }
                    }
                    _ => {
                        let digits = u64::try_from(scaled / 100).unwrap_or(digits);
                        HeadroomSize::Percent { digits, scale }
                    }
                }
            }
        };
        Self { device: self.device.clone(), size }
    }
}

impl fmt::Display for Headroom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(device) = &self.device {
            write!(f, "{device}=")?;
        }
        match self.size {
            HeadroomSize::Bytes(bytes) => f.write_str(&exact_size(bytes)),
            HeadroomSize::Percent { digits, scale } => {
                let (whole, rest) = (digits / scale, digits % scale);
                let places = usize::try_from(scale.ilog10()).unwrap_or(0);
                let decimals = format!("{rest:0places$}");
                let decimals = if places == 0 { "" } else { decimals.trim_end_matches('0') };
                let point = if decimals.is_empty() { "" } else { "." };
                write!(f, "{whole}{point}{decimals}%")
            }
        }
    }
}

/// Bytes that must stay free on each device; empty when nothing must.
///
/// # Errors
/// A device that is not there, one named twice, or headroom that leaves nothing of a device.
pub(super) fn headroom_bytes(
    headrooms: &[Headroom],
    hardware: &Hardware,
) -> Result<Vec<u64>, Error> {
    let refuse = |headroom: &Headroom| Error::new("apply --headroom").object(headroom.to_string());
    for (index, headroom) in headrooms.iter().enumerate() {
        if let Some(id) = headroom.device.as_ref().filter(|id| hardware.index_of(id).is_none()) {
            let names: Vec<String> =
                hardware.devices.iter().map(|d| format!("`{}`", d.id)).collect();
            return Err(refuse(headroom)
                .expected("a device of this machine")
                .found(format!("`{id}`"))
                .hint(format!("the devices are {}", names.join(", "))));
        }
        if headrooms[..index].iter().any(|other| other.device == headroom.device) {
            return Err(refuse(headroom)
                .expected("one headroom for each device, and one for all others")
                .found("a second one"));
        }
    }
    let of = |device: &Device| -> Result<u64, Error> {
        let own = headrooms.iter().find(|h| h.device.as_ref() == Some(&device.id));
        let gpu = device.kind == DeviceKind::Gpu;
        let general = headrooms.iter().find(|h| h.device.is_none() && gpu);
        let Some(headroom) = own.or(general) else { return Ok(0) };
        let bytes = headroom.size.of(device.capacity_bytes);
        if bytes >= device.capacity_bytes {
            return Err(refuse(headroom)
                .expected(format!("less than the capacity of `{}`", device.id))
                .found(format!("{bytes} of {} bytes", device.capacity_bytes)));
        }
        Ok(bytes)
    };
    if headrooms.is_empty() { Ok(Vec::new()) } else { hardware.devices.iter().map(of).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(texts: &[&str], gpus: &[u64]) -> Result<Vec<u64>, Error> {
        let headrooms: Vec<Headroom> =
            texts.iter().map(|text| Headroom::parse(text)).collect::<Result<_, _>>()?;
        headroom_bytes(&headrooms, &Hardware::from_sizes(gpus, Some(1000), 0)?)
    }

    #[test]
    fn shares_are_exact_and_rounded_up() {
        assert_eq!(bytes(&["5%"], &[1000, 1001, 1019]).unwrap(), [50, 51, 51, 0]);
        assert_eq!(bytes(&["7", "gpu1=0.1%", "cpu=10%"], &[100, 1]).unwrap_err().to_string(), {
            let error = Error::new("apply --headroom").object("gpu1=0.1%");
            error.expected("less than the capacity of `gpu1`").found("1 of 1 bytes").to_string()
        });
        assert_eq!(bytes(&["7", "gpu1=0.1%", "cpu=10%"], &[100, 2000]).unwrap(), [7, 2, 100]);
        assert_eq!(bytes(&[], &[100]).unwrap(), Vec::<u64>::new());
        let most = crate::units::BYTES_MAX - 1000;
        assert_eq!(bytes(&["99.9999999%"], &[most]).unwrap()[0], most - most / 1_000_000_000);
    }

    #[test]
    fn a_scaled_headroom_can_be_typed_and_never_grows() {
        let texts = ["5%", "0.1%", "99.9999999999999999%", "33.33333333333333%", "7B", "1GiB"];
        for headroom in texts.map(|text| Headroom::parse(text).unwrap()) {
            let mut before = 0;
            for percent in 0..=100 {
                let scaled = headroom.scaled(percent);
                assert!(Headroom::parse(&scaled.to_string()).is_ok(), "{scaled}");
                let bytes = scaled.size.of(1 << 40);
                assert!(bytes >= before, "{percent} % of {headroom}");
                before = bytes;
            }
            assert_eq!(before, headroom.size.of(1 << 40));
            assert_eq!(headroom.scaled(0).size.of(1 << 40), 0);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "%", "-1%", "100%", "101%", "=5%", "gpu0=", "1e2%", "five", "5%%"] {
            assert!(Headroom::parse(text).is_err(), "{text}");
        }
        for texts in [["5%", "1KiB"], ["gpu0=1", "gpu0=2"], ["gpu9=1", "5%"], ["1000", "gpu0=1"]] {
            assert!(bytes(&texts, &[1000, 1000]).is_err(), "{texts:?}");
        }
    }

    #[test]
    fn headrooms_read_back_as_themselves() {
        for text in ["5%", "0%", "gpu1=12.25%", "gpu1=1GiB", "7B", "0.001%"] {
            let headroom = Headroom::parse(text).unwrap();
            let again = Headroom::parse(&headroom.to_string()).unwrap();
            let of = |h: &Headroom| (h.device.clone(), h.size.of(123_456_789));
            assert_eq!(of(&headroom), of(&again), "{text}: {headroom}");
        }
    }
}
