//! What can be wrong with a placement, said so that a person can act on it.
//!
//! Names instead of indices wherever there is a name; no rules are decided here.

use std::fmt;

use crate::error::printable;
use crate::model::ComponentId;
use crate::units::format_bytes;

/// One thing a placement gets wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Not one entry per component.
    WrongLength {
        /// Components of the problem.
        expected: usize,
        /// Entries of the placement.
        found: usize,
    },
    /// An index beyond the devices.
    UnknownDevice {
        /// The component placed there.
        component: ComponentId,
        /// The index.
        device: usize,
        /// Number of devices of the problem.
        devices: usize,
    },
    /// A component where it may not live.
    NotAllowed {
        /// The component.
        component: ComponentId,
        /// Where it is.
        device: String,
        /// Where it may be.
        allowed: Vec<String>,
        /// The text of a rule that forbids it, when one does.
        rule: Option<String>,
    },
    /// A component away from the one it belongs to.
    NotTogether {
        /// The component.
        component: ComponentId,
        /// Where it is.
        device: String,
        /// The component it must live with.
        with: ComponentId,
        /// Where that one is; `None` when the problem has no such component.
        with_device: Option<String>,
    },
    /// A device that requires more than it may.
    OverCapacity {
        /// The device.
        device: String,
        /// What it requires.
        required_bytes: u64,
        /// What it may require at most: its capacity, headroom left free.
        limit_bytes: u64,
        /// What it has.
        capacity_bytes: u64,
    },
    /// A layer's experts divided unevenly, where attention is replicated.
    Uneven {
        /// The layer.
        layer: u32,
        /// A device with too few of its experts, or too many.
        device: String,
        /// How many it may have, from and to.
        share: [usize; 2],
        /// How many it has.
        found: usize,
    },
    /// More moves away from where things are than may.
    MovedTooMuch {
        /// Weight bytes that may.
        most_bytes: u64,
        /// Weight bytes that do.
        found_bytes: u64,
    },
    /// More devices host something than may.
    TooManyDevices {
        /// How many may.
        most: usize,
        /// How many do.
        found: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongLength { expected, found } => {
                write!(f, "expected one device for each of {expected} components, found {found}")
            }
            Self::UnknownDevice { component, device, devices } => {
                write!(f, "{component}: expected a device index below {devices}, found {device}")
            }
            Self::NotAllowed { component, device, allowed, rule } => {
                let allowed =
                    if allowed.is_empty() { "nowhere".into() } else { allowed.join(", ") };
                write!(f, "{component}: expected on {}", printable(&allowed))?;
                write!(f, ", found on {}", printable(device))?;
                rule.as_ref().map_or(Ok(()), |rule| write!(f, " (`{}`)", printable(rule)))
            }
            Self::NotTogether { component, device, with, with_device } => {
                write!(f, "{component}: expected on the device of {with}")?;
                match with_device {
                    Some(partner) => write!(f, ", which is {}", printable(partner))?,
                    None => f.write_str(", which does not exist")?,
                }
                write!(f, ", found on {}", printable(device))
            }
            Self::OverCapacity { device, required_bytes, limit_bytes, capacity_bytes } => {
                let headroom = capacity_bytes.saturating_sub(*limit_bytes);
                let kept = if headroom > 0 {
                    format!(" besides a headroom of {}", format_bytes(headroom))
                } else {
                    String::new()
                };
                write!(
                    f,
                    "{}: expected at most {} ({limit_bytes} bytes){kept}, found {} \
                     ({required_bytes} bytes)",
                    printable(device),
                    format_bytes(*limit_bytes),
                    format_bytes(*required_bytes),
                )
            }
            Self::Uneven { layer, device, share: [least, most], found } => {
                write!(
                    f,
                    "layers.{layer}.experts: expected {least} to {most} on {}, found {found}",
                    printable(device)
                )
            }
            Self::MovedTooMuch { most_bytes, found_bytes } => {
                write!(
                    f,
                    "expected at most {} ({most_bytes} bytes) to move, found {} ({found_bytes} bytes)",
                    format_bytes(*most_bytes),
                    format_bytes(*found_bytes),
                )
            }
            Self::TooManyDevices { most, found } => {
                write!(f, "expected at most {most} devices in use, found {found}")
            }
        }
    }
}
