//! What users say about devices: what each really is, and how much of it may be used.

use std::str::FromStr;

use super::Backing;
use crate::error::Error;
use crate::units::parse_bytes;

/// No machine has more GPUs.
const ORDINAL_MAX: usize = 1023;

/// `gpu0=cuda:1`: what a device of the placement really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The device's name in the placement.
    pub device: String,
    /// What it is.
    pub backing: Backing,
}

/// `gpu0=8GiB`: the most that may be put on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The device's name in the placement.
    pub device: String,
    /// Bytes.
    pub bytes: u64,
}

impl FromStr for Binding {
    type Err = Error;

    /// Reads `DEVICE=cpu` or `DEVICE=cuda:N`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            Error::new("read the binding")
                .object(text)
                .expected("DEVICE=cpu or DEVICE=cuda:N, such as `gpu0=cuda:0`")
        };
        let (device, backing) = halves(text).ok_or_else(refuse)?;
        let backing = backing.to_ascii_lowercase();
        let backing = match backing.strip_prefix("cuda:") {
            _ if backing == "cpu" => Backing::Cpu,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                let ordinal = digits.parse().ok().filter(|ordinal| *ordinal <= ORDINAL_MAX);
                let found = format!("cuda:{digits}");
                Backing::Cuda(ordinal.ok_or_else(|| refuse().found(found))?)
            }
            _ => return Err(refuse().found(format!("`{backing}`"))),
        };
        Ok(Self { device: device.to_owned(), backing })
    }
}

impl FromStr for Budget {
    type Err = Error;

    /// Reads `DEVICE=SIZE`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            Error::new("read the budget").object(text).expected("DEVICE=SIZE, such as `gpu0=8GiB`")
        };
        let (device, size) = halves(text).ok_or_else(refuse)?;
        let bytes = parse_bytes(size).map_err(|error| refuse().found(error.to_string()))?;
        Ok(Self { device: device.to_owned(), bytes })
    }
}

/// What is before and after the first `=`, both there.
fn halves(text: &str) -> Option<(&str, &str)> {
    let (before, after) = text.split_once('=')?;
    let halves = (before.trim(), after.trim());
    (!halves.0.is_empty() && !halves.1.is_empty()).then_some(halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_name_a_device_and_what_it_is() {
        let read = |text: &str| text.parse::<Binding>().map(|b| (b.device, b.backing));
        assert_eq!(read("gpu0=cuda:0").unwrap(), ("gpu0".to_owned(), Backing::Cuda(0)));
        assert_eq!(read(" gpu1 = CUDA:12 ").unwrap(), ("gpu1".to_owned(), Backing::Cuda(12)));
        assert_eq!(read("gpu1=cpu").unwrap(), ("gpu1".to_owned(), Backing::Cpu));
        for text in [
            "gpu0",
            "gpu0=",
            "=cpu",
            "gpu0=cuda",
            "gpu0=cuda:",
            "gpu0=cuda:x",
            "gpu0=cuda:-1",
            "gpu0=cuda:+1",
            "gpu0=metal",
            "gpu0=cuda:1024",
            "gpu0=cuda:99999999999999999999",
            "",
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("DEVICE=cpu or DEVICE=cuda:N"), "{text}: {message}");
        }
    }

    #[test]
    fn budgets_have_units() {
        let budget: Budget = "gpu0=8GiB".parse().unwrap();
        assert_eq!(budget, Budget { device: "gpu0".to_owned(), bytes: 8 << 30 });
        for text in ["gpu0", "gpu0=", "gpu0=much", "gpu0=-1", "=8GiB"] {
            let message = text.parse::<Budget>().unwrap_err().to_string();
            assert!(message.contains("DEVICE=SIZE"), "{text}: {message}");
        }
    }
}
