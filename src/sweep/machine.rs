//! A machine in a word: `2x24GiB`, `box=16GiB+8GiB+cpu:64GiB`, `2xrtx-4090+l4:20GiB`.

use crate::error::Error;
use crate::hardware::{DeviceKind, Hardware, Spec};
use crate::problem::DeviceSet;

/// A machine by a name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// A heading in tables.
    pub name: String,
    /// Its devices.
    pub hardware: Hardware,
}

const EXPECTED: &str = "GPUs by size or name, as in `2x24GiB`, `16GiB+8GiB+cpu:64GiB`, `rtx-4090+l4:20GiB` or `box=2x24GiB`";

impl Machine {
    /// A machine under a name.
    ///
    /// # Errors
    /// A name that is empty, longer than 64 characters or not printable.
    pub fn new(name: &str, hardware: Hardware) -> Result<Self, Error> {
        const CHARS_MAX: usize = 64;
        let name = name.trim();
        let chars = name.chars().count();
        if !(1..=CHARS_MAX).contains(&chars) || name.chars().any(char::is_control) {
            return Err(Error::new("use the machine's name")
                .object(name)
                .expected(format!("1 to {CHARS_MAX} printable characters")));
        }
        Ok(Self { name: name.to_owned(), hardware })
    }

    /// Reads `[NAME=]DEVICE[+DEVICE...]`, where DEVICE is a size, a name of the hardware catalogue, or both as
    /// `l4:20GiB`; `2x` before it makes two of it, and `cpu:` host memory. Without a name the devices are the
    /// name. `reserve` is kept free on every GPU.
    ///
    /// # Errors
    /// Anything else, and machines that [`Hardware::from_specs`] refuses.
    ///
    /// ```
    /// use apportion::sweep::Machine;
    /// let machine = Machine::parse("box=2x24GiB+8GiB+cpu:64GiB", 0).unwrap();
    /// assert_eq!((machine.name.as_str(), machine.hardware.devices.len()), ("box", 4));
    /// assert!(Machine::parse("0x24GiB", 0).is_err());
    /// ```
    pub fn parse(text: &str, reserve: u64) -> Result<Self, Error> {
        let refuse = || Error::new("read the machine").object(text).expected(EXPECTED);
        let (name, sizes) = text.rsplit_once('=').unwrap_or((text, text));
        let mut gpus = Vec::new();
        let mut cpu = None;
        for part in sizes.split('+').map(str::trim) {
            if let Some(host) = part.strip_prefix("cpu:") {
                if cpu.replace(spec(host, DeviceKind::Cpu)?).is_some() {
                    return Err(refuse().found("two CPUs"));
                }
                continue;
            }
            let (count, one) = counted(part).ok_or_else(|| refuse().found(format!("`{part}`")))?;
            gpus.extend(std::iter::repeat_n(spec(one, DeviceKind::Gpu)?, count));
            if gpus.len() > DeviceSet::DEVICES_MAX {
                let most = format!("at most {} devices", DeviceSet::DEVICES_MAX);
                return Err(refuse().expected(most).found("more"));
            }
        }
        Self::new(name, Hardware::from_specs(&gpus, cpu, reserve)?)
    }
}

/// As [`Spec::parse`], but for the colon, since `=` stands behind the machine's name.
fn spec(text: &str, kind: DeviceKind) -> Result<Spec, Error> {
    match text.split_once(':') {
        Some((name, size)) => Spec::of(name, Some(size), kind),
        None => Spec::parse(text, kind),
    }
}

/// `2x24GiB` as two of `24GiB`, `24GiB` as one.
fn counted(part: &str) -> Option<(usize, &str)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((count, one)) = part.split_once('x').filter(|(count, _)| digits(count.trim())) else {
        return Some((1, part));
    };
    let count = count.trim().parse().ok()?;
    // More than a machine may have is refused by the caller; here it only must not be expanded.
    (1..=DeviceSet::DEVICES_MAX + 1).contains(&count).then_some((count, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_read_as_they_are_meant() {
        let gib: Vec<u64> = Machine::parse("24GiB + 2x8GiB", 7)
            .unwrap()
            .hardware
            .devices
            .iter()
            .map(|device| (device.capacity_bytes + device.reserve_bytes - 7) >> 30)
            .collect();
        assert_eq!(gib, [24, 8, 8]);
        assert_eq!(Machine::parse("a=b=1GiB", 0).unwrap().name, "a=b");
        let named = Machine::parse("2xrtx-4090+mi300x:100GiB+cpu:ddr5-5600-dual:64GiB", 0).unwrap();
        assert_eq!(named.name, "2xrtx-4090+mi300x:100GiB+cpu:ddr5-5600-dual:64GiB");
        let gib: Vec<u64> = named.hardware.devices.iter().map(|d| d.capacity_bytes >> 30).collect();
        assert_eq!(gib, [24, 24, 100, 64]);
        assert_eq!(named.hardware.network.speeds.len(), 4);
    }

    #[test]
    fn nonsense_is_refused() {
        let long = format!("{}=1GiB", "n".repeat(65));
        for text in [
            "",
            "=1GiB",
            "a=",
            "+",
            "1GiB+",
            "0x1GiB",
            "65x1GiB",
            "64x1GiB+1GiB",
            "x1GiB",
            "99999999999999999999x1GiB",
            "2x",
            "cpu:1GiB",
            "1GiB+cpu:1GiB+cpu:1GiB",
            "a\u{7}=1GiB",
            "-1x1GiB",
            "2x2x1GiB",
            "2xrtx-4900",
            "cpu:l4+1GiB",
            "cpu:ddr5-5600-dual+1GiB",
            "m2-ultra",
            &long,
        ] {
            assert!(Machine::parse(text, 0).is_err(), "{text}");
        }
    }
}
