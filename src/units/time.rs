//! Times in whole picoseconds, and rates.

use super::{parse_bytes, parse_decimal};
use crate::error::Error;

/// Picoseconds in a unit of time, longest unit first, as people write it.
const UNITS: [(&str, u64); 5] =
    [("s", 1_000_000_000_000), ("ms", 1_000_000_000), ("us", 1_000_000), ("ns", 1_000), ("ps", 1)];

/// The one human form of a time: two decimals in the largest unit that is not below one.
///
/// ```
/// use apportion::units::format_time;
/// assert_eq!(format_time(12_345_600_000), "12.35 ms");
/// assert_eq!(format_time(500), "500 ps");
/// ```
pub fn format_time(ps: u64) -> String {
    for (name, factor) in UNITS {
        let hundredths = (u128::from(ps) * 100 + u128::from(factor) / 2) / u128::from(factor);
        if factor > 1 && hundredths >= 100 {
            return format!("{}.{:02} {name}", hundredths / 100, hundredths % 100);
        }
    }
    format!("{ps} ps")
}

/// Reads a time such as `5us`, `1.5 ms` or `0s`; fractions of a picosecond are rounded up.
///
/// ```
/// use apportion::units::parse_time;
/// assert_eq!(parse_time("1.5us").unwrap(), 1_500_000);
/// assert!(parse_time("-1us").is_err());
/// assert!(parse_time("5").is_err());
/// ```
///
/// # Errors
/// Anything but a decimal number with one of the units `s`, `ms`, `us`, `ns`, `ps`, or more than 1000 s.
pub fn parse_time(text: &str) -> Result<u64, Error> {
    const PS_MAX: u64 = 1_000_000_000_000_000;
    let refuse = || {
        Error::new("read the time")
            .object(text)
            .expected("a time such as `5us` or `0.2ms`, at most 1000 s")
    };
    let (number, unit) = number_and_unit(text);
    let (digits, scale) = parse_decimal(number).ok_or_else(refuse)?;
    let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?.1;
    let ps = (u128::from(digits) * u128::from(factor)).div_ceil(u128::from(scale));
    u64::try_from(ps).ok().filter(|&ps| ps <= PS_MAX).ok_or_else(refuse)
}

/// A spelling that [`parse_time`] reads back as exactly this time.
///
/// ```
/// use apportion::units::exact_time;
/// assert_eq!(exact_time(5_000_000), "5us");
/// assert_eq!(exact_time(1_500), "1500ps");
/// ```
pub fn exact_time(ps: u64) -> String {
    let whole = UNITS.iter().find(|(_, factor)| ps > 0 && ps.is_multiple_of(*factor));
    whole.map_or_else(|| format!("{ps}ps"), |(name, factor)| format!("{}{name}", ps / factor))
}

/// Reads bytes per second, such as `32GB/s` or `900 MiB/s`.
///
/// ```
/// use apportion::units::parse_bandwidth;
/// assert_eq!(parse_bandwidth("32GB/s").unwrap(), 32_000_000_000);
/// assert!(parse_bandwidth("0GB/s").is_err());
/// assert!(parse_bandwidth("32GB").is_err());
/// ```
///
/// # Errors
/// Anything but a size above zero with `/s` behind it.
pub fn parse_bandwidth(text: &str) -> Result<u64, Error> {
    let size = text.trim().strip_suffix("/s").and_then(|size| parse_bytes(size).ok());
    size.filter(|&bytes| bytes > 0).ok_or_else(|| {
        Error::new("read the bandwidth")
            .object(text)
            .expected("bytes per second above zero, such as `32GB/s`")
    })
}

/// Reads floating-point operations per second, such as `312TFLOPS`.
///
/// ```
/// use apportion::units::parse_compute;
/// assert_eq!(parse_compute("82.6TFLOPS").unwrap(), 82_600_000_000_000);
/// assert!(parse_compute("312T").is_err());
/// ```
///
/// # Errors
/// Anything but a number above zero with `GFLOPS`, `TFLOPS` or `PFLOPS`.
pub fn parse_compute(text: &str) -> Result<u64, Error> {
    const UNITS: [(&str, u64); 3] = [
        ("GFLOPS", 1_000_000_000),
        ("TFLOPS", 1_000_000_000_000),
        ("PFLOPS", 1_000_000_000_000_000),
    ];
    let refuse = || {
        Error::new("read the compute rate")
            .object(text)
            .expected("operations per second above zero, such as `312TFLOPS`")
    };
    let (number, unit) = number_and_unit(text);
    let (digits, scale) = parse_decimal(number).ok_or_else(refuse)?;
    let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?.1;
    let flops = u128::from(digits) * u128::from(factor) / u128::from(scale);
    u64::try_from(flops).ok().filter(|&flops| flops > 0).ok_or_else(refuse)
}

/// A spelling that [`parse_bandwidth`] reads back as exactly this rate, if it is one that can be typed.
///
/// ```
/// use apportion::units::exact_bandwidth;
/// assert_eq!(exact_bandwidth(936_200_000_000), "936.2GB/s");
/// assert_eq!(exact_bandwidth(1_000_001), "1000001B/s");
/// ```
pub fn exact_bandwidth(bytes_per_second: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TB/s", 12), ("GB/s", 9), ("MB/s", 6), ("KB/s", 3)];
    let short = |decimals: &str| decimals.len() <= 2;
    let spelled = UNITS.iter().find_map(|&(unit, power)| {
        let (whole, decimals) = scaled(bytes_per_second, power);
        (whole > 0 && short(&decimals)).then(|| number(whole, &decimals) + unit)
    });
    spelled.unwrap_or_else(|| format!("{bytes_per_second}B/s"))
}

/// A spelling that [`parse_compute`] reads back as exactly this rate, up to 10^18.
///
/// ```
/// use apportion::units::exact_compute;
/// assert_eq!(exact_compute(82_600_000_000_000), "82.6TFLOPS");
/// assert_eq!(exact_compute(1), "0.000000001GFLOPS");
/// ```
pub fn exact_compute(flops: u64) -> String {
    let (unit, power) = if flops < 1_000_000_000_000 { ("GFLOPS", 9) } else { ("TFLOPS", 12) };
    let (whole, decimals) = scaled(flops, power);
    number(whole, &decimals) + unit
}

/// The number over a power of ten: the whole part, and the decimals without zeros at their end.
fn scaled(value: u64, power: u32) -> (u64, String) {
    let scale = 10_u64.pow(power);
    let places = usize::try_from(power).unwrap_or(0);
    let decimals = format!("{:0places$}", value % scale);
    (value / scale, decimals.trim_end_matches('0').to_owned())
}

fn number(whole: u64, decimals: &str) -> String {
    if decimals.is_empty() { whole.to_string() } else { format!("{whole}.{decimals}") }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    (number, unit.trim())
}

/// What it takes at a rate per second, in picoseconds, rounded up; `u64::MAX` beyond what can be told.
pub(crate) fn time_at(amount: u128, per_second: u64) -> u64 {
    const PS_PER_SECOND: u128 = 1_000_000_000_000;
    let ps = amount.checked_mul(PS_PER_SECOND).map(|ps| ps.div_ceil(u128::from(per_second.max(1))));
    ps.and_then(|ps| u64::try_from(ps).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_back() {
        for ps in [0, 1, 999, 1_000, 1_500, 5_000_000, 1_000_000_000_000, 999_999_999_999_999] {
            assert_eq!(parse_time(&exact_time(ps)).unwrap(), ps);
        }
        for text in ["", "us", "5", "5 min", "1e3us", "nan", "inf", "1001s", "-0s"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_read_back() {
        let near = [1, 999, 1_000, 1_500, 999_999_999, 1_000_000_000, 12_345_678_901_234];
        let far = [312_000_000_000_001, 1_999_999_999_999_999, 999_999_999_999_999_999];
        for rate in near.into_iter().chain(far).chain([1_000_000_000_000_000_000]) {
            assert_eq!(parse_bandwidth(&exact_bandwidth(rate)).unwrap(), rate);
            assert_eq!(parse_compute(&exact_compute(rate)).unwrap(), rate);
        }
    }

    #[test]
    fn rates_become_times_rounded_up() {
        assert_eq!(time_at(1, 3), 333_333_333_334);
        assert_eq!(time_at(0, 3), 0);
        assert_eq!(time_at(u128::MAX, 1), u64::MAX);
    }
}
