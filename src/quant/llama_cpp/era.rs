//! When a file was made: the rules of llama.cpp's quantizer and converters changed over the years.

use std::fmt;

use crate::error::Error;

/// The day a file was made, as far as it decides which rules made it; the default is today's rules.
///
/// Constants name the days on which something changed that a size depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Era(
    /// Year, month and day in decimal: 20240112.
    u32,
);

impl Era {
    /// The first files of the format; their rules are those of [`MIXTRAL`](Self::MIXTRAL) for all else.
    pub const GGUF: Self = Self::day(2023, 8, 21);
    /// Before anything listed below: split experts are not recognised.
    pub const MIXTRAL: Self = Self::day(2023, 12, 13);
    /// Down projections of split experts (`ffn_down.3.weight`) get the types of dense ones, counted
    /// tensor by tensor; `q2_k_s` begins (PR 4872).
    pub const EXPERTS_FFN_DOWN: Self = Self::day(2024, 1, 11);
    /// `attn_output` gets 5 bits where there are 8 experts (PR 4906).
    pub const ATTN_OUTPUT_OF_8: Self = Self::day(2024, 1, 13);
    /// Experts of one layer all get the same type, by the layer in the name (PR 4927).
    pub const LAYER_FROM_NAME: Self = Self::day(2024, 1, 14);
    /// A layer's experts are merged into stacks (PR 6387).
    pub const MERGED_EXPERTS: Self = Self::day(2024, 4, 3);
    /// Converters write routers in 32 bit.
    pub const ROUTER_F32: Self = Self::day(2024, 5, 11);
    /// Tensors get categories: fused `attn_qkv` and `attn_kv_b` get the types of `attn_v`; rows that
    /// 2 and 3 bit k-quants do not fit get Q4_0 where they got IQ4_NL (PR 19770).
    pub const TENSOR_CATEGORIES: Self = Self::day(2026, 3, 10);

    /// The days on which the quantizer's or the converters' rules changed, in order.
    pub const CHANGES: [Self; 8] = [
        Self::GGUF,
        Self::MIXTRAL,
        Self::EXPERTS_FFN_DOWN,
        Self::ATTN_OUTPUT_OF_8,
        Self::LAYER_FROM_NAME,
        Self::MERGED_EXPERTS,
        Self::ROUTER_F32,
        Self::TENSOR_CATEGORIES,
    ];

    const fn day(year: u32, month: u32, day: u32) -> Self {
        Self(year * 10_000 + month * 100 + day)
    }

    /// `2024-01-12` or `2024-01`, which is its first day.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refused = || {
            Error::new("read the era of a file")
                .object(text)
                .expected("a day such as 2024-01-12, or a month")
                .found("something else")
        };
        let number = |digits: &str, length: usize, most: u32| {
            let all_digits = digits.len() == length && digits.bytes().all(|b| b.is_ascii_digit());
            let number = digits.parse().ok().filter(|_| all_digits)?;
            (1..=most).contains(&number).then_some(number)
        };
        let mut parts = text.split('-');
        let year = parts.next().and_then(|part| number(part, 4, 9999)).ok_or_else(refused)?;
        let month = parts.next().and_then(|part| number(part, 2, 12)).ok_or_else(refused)?;
        let day = match parts.next() {
            None => 1,
            Some(part) => number(part, 2, 31).ok_or_else(refused)?,
        };
        if parts.next().is_some() {
            return Err(refused());
        }
        Ok(Self::day(year, month, day))
    }
}

impl Era {
    /// The day that the number `yyyymmdd` is.
    pub(in crate::quant) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The day as the number `yyyymmdd`.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0 / 10_000, self.0 / 100 % 100, self.0 % 100)
    }
}

impl Default for Era {
    fn default() -> Self {
        Self::day(9999, 12, 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_ordered() {
        let era = |text| Era::parse(text).unwrap();
        assert_eq!(era("2024-01-11"), Era::EXPERTS_FFN_DOWN);
        assert_eq!(era("2024-01"), era("2024-01-01"));
        assert!(era("2023-12") < Era::MIXTRAL);
        assert!(era("2024-01-12") < Era::ATTN_OUTPUT_OF_8);
        assert!(era("9999-12-31") == Era::default());
        assert!(Era::CHANGES.is_sorted(), "listed in order");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in
            ["", "2024", "2024-", "2024-13", "2024-00", "24-01", "2024-1", "2024-01-32", "2024-01-"]
        {
            assert!(Era::parse(text).is_err(), "{text}");
        }
        for text in ["2024-01-01-01", "+024-01", "2024-01-0\u{661}", "99999999999999999999-01"] {
            assert!(Era::parse(text).is_err(), "{text}");
        }
    }
}
