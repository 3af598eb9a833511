//! When a device holds too much.

use std::str::FromStr;

use super::Reading;
use crate::error::Error;
use crate::units::parse_bytes;

/// `95%`, `15GiB`, `gpu0=95%` or `gpu0=15GiB`: more of it is too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// The device it is about; every device without one.
    pub device: Option<String>,
    most: Most,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Most {
    Bytes(u64),
    /// In hundredths of a percent of what the device may hold.
    Share(u64),
}

impl Threshold {
    /// Whether the device holds more.
    pub fn is_passed(&self, by: &Reading) -> bool {
        if self.device.as_ref().is_some_and(|device| *device != by.id) {
            return false;
        }
        match self.most {
            Most::Bytes(most) => by.used_bytes > most,
            Most::Share(share) => {
                let used = u128::from(by.used_bytes) * 10_000;
                used > u128::from(by.limit_bytes) * u128::from(share)
            }
        }
    }
}

impl FromStr for Threshold {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            Error::new("read the threshold").object(text).expected(
                "a share or a size, of every device or of one, as `95%`, `gpu0=95%` or `gpu0=15GiB`",
            )
        };
        let (device, size) = match text.split_once('=') {
            Some((device, size)) => (Some(device.trim()), size.trim()),
            None => (None, text.trim()),
        };
        if device.is_some_and(str::is_empty) {
            return Err(refuse());
        }
        let most = match size.strip_suffix('%') {
            Some(share) => Most::Share(hundredths(share.trim()).ok_or_else(refuse)?),
            None => {
                Most::Bytes(parse_bytes(size).map_err(|error| refuse().found(error.to_string()))?)
            }
        };
        Ok(Self { device: device.map(str::to_owned), most })
    }
}

/// A decimal number with two decimals at most, times 100.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 6 || decimals.len() > 2 {
        return None;
    }
    let both = digits(whole) && digits(decimals);
    both.then(|| format!("{whole}{decimals:0<2}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(id: &str, used_bytes: u64) -> Reading {
        Reading { id: id.to_owned(), used_bytes, peak_bytes: None, limit_bytes: 1000 }
    }

    #[test]
    fn more_than_a_share_or_a_size_is_too_much() {
        for (text, id, most) in [
            ("95%", "gpu0", 950),
            ("95.5%", "gpu1", 955),
            ("gpu0=12.34%", "gpu0", 123),
            ("gpu0=1KiB", "gpu0", 1024),
            ("1KiB", "cpu", 1024),
            ("0%", "cpu", 0),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            assert!(!threshold.is_passed(&reading(id, most)), "{text}");
            assert!(threshold.is_passed(&reading(id, most + 1)), "{text}");
        }
        let other: Threshold = "gpu1=1%".parse().unwrap();
        assert!(!other.is_passed(&reading("gpu0", 1000)));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "%", "x%", "=5%", "gpu0=", "gpu0=x", "-5%", "1.234%", "+5%", "9999999%"] {
            let message = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(message.contains("a share or a size"), "{text}: {message}");
        }
    }
}
