//! Bytes, times and ratios: exact integers, one parser, one formatter.
//!
//! Everything else in the crate says `_bytes` in its names and holds a `u64`. Floating point appears
//! here only to print and to state a ratio to the solver.

mod time;

use std::cmp::Ordering;
use std::fmt;

use crate::error::Error;

pub(crate) use time::time_at;
pub use time::{
    exact_bandwidth, exact_compute, exact_time, format_time, parse_bandwidth, parse_compute,
    parse_time,
};

/// Sums of demands stay below this, so that adding any two of them cannot overflow a `u64`.
pub const BYTES_MAX: u64 = 1 << 60;

const BINARY_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const DECIMAL_UNITS: [(&str, u64); 4] =
    [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];

/// Parses `"16GiB"`, `"15.60 GB"`, `"1048576"` into bytes, exactly; a fraction of a byte is floored.
///
/// Both kinds of unit are understood and kept apart: `GiB` is 2^30, `GB` is 10^9. A bare number is
/// bytes. Case does not matter.
///
/// # Errors
/// Anything else, a negative number, or more than [`BYTES_MAX`].
///
/// ```
/// use apportion::units::parse_bytes;
/// assert_eq!(parse_bytes("16GiB").unwrap(), 17_179_869_184);
/// assert_eq!(parse_bytes("15.60GB").unwrap(), 15_600_000_000);
/// assert!(parse_bytes("16 gigs").is_err());
/// ```
pub fn parse_bytes(text: &str) -> Result<u64, Error> {
    let refuse = |why: &str| {
        Error::new("read a size")
            .object(text)
            .expected("a number and a unit, as in `16GiB`, `15.6GB` or `512MiB`")
            .found(why.to_owned())
    };
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(refuse("a negative number"));
    }
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim();
    let factor = BINARY_UNITS
        .iter()
        .chain(&DECIMAL_UNITS)
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|&(_, factor)| factor)
        .or_else(|| unit.is_empty().then_some(1))
        .ok_or_else(|| refuse(&format!("the unit `{unit}`")))?;
    let too_long = number.len() > DIGITS_MAX;
    let unreadable =
        if too_long { "a number of more digits than can be read" } else { "no number" };
    let (numerator, denominator) = parse_decimal(number).ok_or_else(|| refuse(unreadable))?;
    let bytes = u128::from(numerator) * u128::from(factor) / u128::from(denominator);
    match u64::try_from(bytes) {
        Ok(bytes) if bytes <= BYTES_MAX => Ok(bytes),
        _ => Err(refuse("more than 1024 PiB")),
    }
}

/// A number of so many digits, and any power of ten it may be divided by, fits in 64 bits.
const DIGITS_MAX: usize = 18;

/// `"12.34"` as `(1234, 100)`; `None` unless it is digits with at most one point and 18 digits.
pub(crate) fn parse_decimal(text: &str) -> Option<(u64, u64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain || digits.len() > DIGITS_MAX {
        return None;
    }
    let places = u32::try_from(fraction.len()).ok()?;
    Some((digits.parse().ok()?, 10_u64.pow(places)))
}

/// The one human form of a byte count: two decimals in the largest binary unit that is not below one.
///
/// ```
/// use apportion::units::format_bytes;
/// assert_eq!(format_bytes(24_482_994_048), "22.80 GiB");
/// assert_eq!(format_bytes(1_048_575), "1.00 MiB");
/// assert_eq!(format_bytes(512), "512 B");
/// ```
pub fn format_bytes(bytes: u64) -> String {
    // Rounding may carry into the next unit (1023.999 KiB is 1.00 MiB), so the unit is chosen on the
    // rounded hundredths.
    for (name, factor) in BINARY_UNITS {
        let hundredths = (u128::from(bytes) * 100 + u128::from(factor) / 2) / u128::from(factor);
        if factor > 1 && hundredths >= 100 {
            return format!("{}.{:02} {name}", hundredths / 100, hundredths % 100);
        }
    }
    format!("{bytes} B")
}

/// The human form, and the bytes themselves where it rounds them.
///
/// ```
/// use apportion::units::told;
/// assert_eq!(told(512 << 20), "512.00 MiB");
/// assert_eq!(told(5_046_272), "4.81 MiB, 5046272 bytes");
/// ```
pub fn told(bytes: u64) -> String {
    let human = format_bytes(bytes);
    let exact = parse_bytes(&human).is_ok_and(|read| read == bytes);
    if exact { human } else { format!("{human}, {bytes} bytes") }
}

/// A spelling that [`parse_bytes`] reads back as exactly these bytes: `15.6GiB` where that is so, else
/// in MiB or bytes.
///
/// ```
/// use apportion::units::exact_size;
/// assert_eq!(exact_size(16_750_372_454), "15.6GiB");
/// assert_eq!(exact_size(500 << 20), "500MiB");
/// assert_eq!(exact_size(1_000_001), "1000001B");
/// ```
pub fn exact_size(bytes: u64) -> String {
    let same = |text: &String| parse_bytes(text).is_ok_and(|parsed| parsed == bytes);
    Some(size_at_least(bytes)).filter(same).unwrap_or_else(|| format!("{bytes}B"))
}

/// The least size of at most two decimals in GiB, or in whole MiB, that is no smaller than these bytes.
///
/// ```
/// use apportion::units::size_at_least;
/// assert_eq!(size_at_least((15 << 30) + 1), "15.01GiB");
/// assert_eq!(size_at_least((500 << 20) - 1), "500MiB");
/// ```
pub fn size_at_least(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    if bytes < GIB {
        return format!("{}MiB", bytes.div_ceil(1 << 20));
    }
    let hundredths = (u128::from(bytes) * 100).div_ceil(u128::from(GIB));
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    let fraction = format!(".{rest:02}");
    format!("{whole}{}GiB", fraction.trim_end_matches('0').trim_end_matches('.'))
}

/// The largest number that divides both; the other one when one is zero.
pub(crate) fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Digits in groups of three, for people: `46,702,792,704`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bits per weight as llama.cpp counts them, rounded to nearest at the fourth decimal: `4.8944`.
///
/// ```
/// use apportion::units::bits_per_weight;
/// assert_eq!(bits_per_weight(34, 32), "8.5000");
/// ```
pub fn bits_per_weight(bytes: u64, elements: u64) -> String {
    let elements = u128::from(elements.max(1));
    let scaled = (u128::from(bytes) * 80_000 + elements / 2) / elements;
    format!("{}.{:04}", scaled / 10_000, scaled % 10_000)
}

/// A ratio of two byte counts (or of any two counts), compared exactly.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    numerator: u64,
    /// Never zero: only [`Ratio::new`] and [`Ratio::ZERO`] set it.
    denominator: u64,
}

impl Ratio {
    /// Zero.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    /// `numerator / denominator`; a zero denominator counts as one.
    pub fn new(numerator: u64, denominator: u64) -> Self {
        Self { numerator, denominator: denominator.max(1) }
    }

    /// Reads `3/4`: two plain integers, the second one not zero.
    pub(crate) fn from_fraction(text: &str) -> Option<Self> {
        let (numerator, denominator) = text.split_once('/')?;
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let whole = |part: &str| plain(part).then(|| part.parse::<u64>().ok()).flatten();
        let denominator = whole(denominator).filter(|&d| d > 0)?;
        Some(Self::new(whole(numerator)?, denominator))
    }

    /// What is divided.
    pub fn numerator(self) -> u64 {
        self.numerator
    }

    /// What it is divided by, never zero.
    pub fn denominator(self) -> u64 {
        self.denominator
    }

    /// The largest integer `n` with `n <= self * factor`.
    pub fn floor_of(self, factor: u64) -> u64 {
        let product = u128::from(self.numerator) * u128::from(factor);
        u64::try_from(product / u128::from(self.denominator)).unwrap_or(u64::MAX)
    }

    /// For people, JSON and the solver's door; comparisons use the exact form.
    #[expect(clippy::cast_precision_loss, reason = "leaves exact arithmetic on purpose")]
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl PartialEq for Ratio {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ratio {}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = u128::from(self.numerator) * u128::from(other.denominator);
        left.cmp(&(u128::from(other.numerator) * u128::from(self.denominator)))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_gibibytes_are_floored() {
        assert_eq!(parse_bytes("15.60GiB").unwrap(), 16_750_372_454);
    }

    #[test]
    fn decimal_and_binary_units_stay_apart() {
        assert_eq!(parse_bytes("1GB").unwrap(), 1_000_000_000);
        assert_eq!(parse_bytes("1 gib").unwrap(), 1 << 30);
        assert_eq!(parse_bytes("7").unwrap(), 7);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "GiB", "-1GiB", "1e9GiB", "1.2.3GiB", "99999999TiB", "16Gib1", "٣GiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn formatting_carries_into_the_next_unit() {
        assert_eq!(format_bytes((1 << 30) - 1), "1.00 GiB");
        assert_eq!(format_bytes(1023), "1.00 KiB");
        assert_eq!(format_bytes(0), "0 B");
    }

    #[test]
    fn sizes_are_spelled_so_that_they_read_back() {
        for bytes in [1, 999, 1 << 20, (1 << 30) - 1, 1 << 30, 16_750_372_454, 7_777_777_777] {
            assert_eq!(parse_bytes(&exact_size(bytes)).unwrap(), bytes);
            assert!(parse_bytes(&size_at_least(bytes)).unwrap() >= bytes);
        }
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_is_too_fine_or_too_large_is_said() {
        let message = |text: &str| parse_bytes(text).unwrap_err().to_string();
        assert!(message("1.000000000000000000GiB").contains("more digits"));
        assert!(message("1048577TiB").contains("1024 PiB"));
        assert_eq!(parse_bytes("1048576TiB").unwrap(), BYTES_MAX);
        assert_eq!([".5KiB", "5.B", "0.9B"].map(|text| parse_bytes(text).unwrap()), [512, 5, 0]);
        assert_eq!(format_bytes(u64::MAX), "16777216.00 TiB");
    }

    #[test]
    fn ratios_compare_exactly() {
        let near = Ratio::new(u64::MAX - 1, u64::MAX);
        assert!(near < Ratio::new(1, 1));
        assert_eq!(Ratio::new(2, 4), Ratio::new(1, 2));
        assert_eq!(Ratio::new(3, 0).floor_of(2), 6, "a zero denominator counts as one");
        assert_eq!(Ratio::new(u64::MAX, 1).floor_of(u64::MAX), u64::MAX);
    }
}
