//! When a file was made: the rules of llama.cpp's quantizer and converters changed over the years.
//!
//! What follows was read in its sources of November 2023, late January and May 2024, December 2025,
//! March and October 2026, and in the descriptions of the pull requests named. Days are those on which
//! the pull requests were opened or last changed before they were merged; a file made within a few days of
//! one may follow either rule.
//!
//! Not modelled: anything before the k-quant mixes of August 2023 (PR 2707); the changes to file types
//! `iq1` to `iq4` between their beginnings (January 2024) and April 2024, whose rules are taken for older
//! files too; `q3_k_xs`, which `iq3_xs` replaced; `ssm_x` and `ssm_dt`, which Mamba files kept in their
//! source type until August 2024 (PR 9074); models with layers of multi-token prediction and experts, which
//! the quantizer refused in May and June 2026 (PR 24986).

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
    /// Eight experts get attention in 8 bits and a router in 16 (PR 4406). Experts are split into
    /// matrices of their own (`ffn_down.3.weight`), which no rule knows yet.
    pub const MIXTRAL: Self = Self::day(2023, 12, 13);
    /// The mixes of k-quants are restored for experts, counted matrix by matrix (PR 4872), and `q2_k_s`
    /// begins. With it come first layers as a share of all, where they were 2 or 4; in `q2_k`, gates and
    /// up projections lose a bit, and values gain one where heads share them.
    pub const RESTORED_MIXES: Self = Self::day(2024, 1, 11);
    /// `attn_output` gets 5 bits where there are 8 experts (PR 4906).
    pub const ATTN_OUTPUT_OF_8: Self = Self::day(2024, 1, 13);
    /// Experts of one layer all get the same type, by the layer in the name (PR 4927).
    pub const LAYER_FROM_NAME: Self = Self::day(2024, 1, 14);
    /// IQ4_NL takes the place of 2 and 3 bit types in rows they do not fit (PR 5590).
    pub const IQ4_NL: Self = Self::day(2024, 2, 21);
    /// An embedding that serves as output too is typed like one (PR 5650).
    pub const TIED_EMBEDDING: Self = Self::day(2024, 2, 22);
    /// A layer's experts are merged into stacks (PR 6387).
    pub const MERGED_EXPERTS: Self = Self::day(2024, 4, 3);
    /// Converters write routers in 32 bit (by PR 7158).
    pub const ROUTER_F32: Self = Self::day(2024, 5, 11);
    /// Tensors are visited by layer and name, where they were in the order of the file (PR 9935).
    pub const VISITED_BY_LAYER: Self = Self::day(2024, 10, 31);
    /// Tensors get categories: fused `attn_qkv` and `attn_kv_b` get the types of `attn_v`, the embedding
    /// per layer those of the other; 2 and 3 bit k-quants fall back to Q4_0 again (PR 19770, merged in
    /// March 2026).
    pub const TENSOR_CATEGORIES: Self = Self::day(2026, 3, 10);

    /// The days on which the quantizer's or the converters' rules changed, in order.
    pub const CHANGES: [Self; 11] = [
        Self::GGUF,
        Self::MIXTRAL,
        Self::RESTORED_MIXES,
        Self::ATTN_OUTPUT_OF_8,
        Self::LAYER_FROM_NAME,
        Self::IQ4_NL,
        Self::TIED_EMBEDDING,
        Self::MERGED_EXPERTS,
        Self::ROUTER_F32,
        Self::VISITED_BY_LAYER,
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
        assert_eq!(era("2024-01-11"), Era::RESTORED_MIXES);
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
