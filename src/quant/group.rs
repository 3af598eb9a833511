//! How many weights of a row share one scale.

/// A group of weights along a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// So many.
    Of(u64),
    /// The whole row: one scale per output channel.
    Row,
}

impl Group {
    /// Reads what follows a name: `g128`, `channel`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "channel" => Some(Self::Row),
            _ => number(text.strip_prefix('g')?).map(Self::Of),
        }
    }

    /// The suffix that [`Group::parse`] reads.
    pub(super) fn suffix(self) -> String {
        match self {
            Self::Of(size) => format!("g{size}"),
            Self::Row => "channel".to_owned(),
        }
    }

    /// Weights in a group of a row of `inputs`.
    pub(super) fn size(self, inputs: u64) -> u64 {
        match self {
            Self::Of(size) => size,
            Self::Row => inputs,
        }
    }
}

/// Plain decimal digits, without sign or leading zero, above 0.
pub(super) fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok())?
}

/// What `NAME-8bit` and `NAME-8bit-g64` say after the name: bits, and what follows them.
pub(super) fn bits_and_rest<'a>(base: &'a str, name: &str) -> Option<(u64, &'a str)> {
    let rest = base.strip_prefix(name)?.strip_prefix('_')?;
    let (bits, rest) = rest.split_once("bit")?;
    let rest =
        if rest.is_empty() { rest } else { rest.strip_prefix('_').filter(|r| !r.is_empty())? };
    Some((number(bits)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(bits_and_rest("gptq_4bit_g128", "gptq"), Some((4, "g128")));
        assert_eq!(bits_and_rest("gptq_4bit", "gptq"), Some((4, "")));
        for wrong in ["gptq_4bit_", "gptq_bit", "gptq4bit", "awq_4bit", "gptq_04bit", "gptq_+4bit"]
        {
            assert_eq!(bits_and_rest(wrong, "gptq"), None, "{wrong}");
        }
        assert_eq!(Group::parse("g128"), Some(Group::Of(128)));
        assert_eq!(Group::parse("g0"), None);
        assert_eq!(Group::parse("g"), None);
    }
}
