//! Patterns of `-ot` as llama.cpp searches with them: `std::regex`, ECMAScript.
//!
//! The crate `regex` reads another language. What both mean the same passes, what only one of them knows is refused
//! by name: lookarounds, backreferences and rare escapes have no counterpart here, and what only this crate knows
//! (flags, set operations) would be an error or something else there.

use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};

use crate::error::Error;

/// Compiled patterns may take this much memory each.
const SIZE_MAX: usize = 1 << 17;
/// What a search may keep for each beside that; with less than it would like it is slower.
const SEARCH_SIZE_MAX: usize = 1 << 16;
/// So many patterns, and so long all together: each is compiled, and searched for in every tensor's name.
const PATTERNS_MAX: usize = 1024;
const ALL_CHARS_MAX: usize = 1 << 16;
/// Longer patterns are refused.
const CHARS_MAX: usize = 4096;

/// Holds all patterns of a line to what they may cost together.
///
/// # Errors
/// More than 1024 of them, or more than 64 KiB of text.
pub(super) fn check_all<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let refuse = || Error::new("read the flags").place("-ot");
    let (count, chars) = patterns.fold((0_usize, 0_usize), |(count, chars), pattern| {
        (count + 1, chars.saturating_add(pattern.len()))
    });
    if count > PATTERNS_MAX {
        let expected = format!("at most {PATTERNS_MAX} patterns");
        return Err(refuse().expected(expected).found(count.to_string()));
    }
    if chars > ALL_CHARS_MAX {
        let expected = format!("patterns of at most {ALL_CHARS_MAX} characters in all");
        return Err(refuse().expected(expected).found(chars.to_string()));
    }
    Ok(())
}

/// Compiles a pattern.
///
/// # Errors
/// One that is none, or has parts that only one of the two languages knows.
pub(super) fn compile(pattern: &str) -> Result<Regex, Error> {
    let refuse = || Error::new("read the flags").place(format!("-ot `{pattern}`"));
    if pattern.len() > CHARS_MAX {
        return Err(refuse().expected(format!("at most {CHARS_MAX} characters")));
    }
    let shared = shared(pattern).map_err(|found| {
        refuse().expected("what ECMAScript and this program mean alike").found(found)
    })?;
    let mut builder = RegexBuilder::new(&shared);
    builder.unicode(false).size_limit(SIZE_MAX).dfa_size_limit(SEARCH_SIZE_MAX);
    // Of several lines the last says what is wrong.
    let why = |text: String| text.lines().last().unwrap_or("").trim().to_owned();
    builder.build().map_err(|error| refuse().found(why(error.to_string())))
}

/// The pattern in the words of this crate, or what only one language knows.
fn shared(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    let mut repeated = false;
    while let Some(c) = chars.next() {
        let before = std::mem::replace(&mut repeated, matches!(c, '*' | '+' | '?' | '}'));
        match c {
            '\\' => escape(&mut chars, &mut out, false)?,
            '(' => group(&mut chars, &mut out)?,
            '[' => class(&mut chars, &mut out)?,
            '*' | '+' | '{' if before => return Err(format!("`{c}` behind a repetition")),
            '?' if before => {
                // The shortest match instead of the longest; whatever follows repeats something else.
                repeated = false;
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn group(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('(');
    if chars.next_if_eq(&'?').is_none() {
        return Ok(());
    }
    match chars.next() {
        Some(':') => {
            out.push_str("?:");
            Ok(())
        }
        Some('=') => Err("a lookahead `(?=`".to_owned()),
        Some('!') => Err("a negative lookahead `(?!`".to_owned()),
        Some('<') => Err("a lookbehind or a name `(?<`".to_owned()),
        other => Err(format!("`(?{}`", other.map(String::from).unwrap_or_default())),
    }
}

fn escape(chars: &mut Peekable<Chars<'_>>, out: &mut String, class: bool) -> Result<(), String> {
    let Some(c) = chars.next() else { return Err("a backslash at the end".to_owned()) };
    match c {
        '0'..='9' => Err(format!("a backreference `\\{c}`")),
        'b' | 'B' if class => Err(format!("`\\{c}` in a class")),
        'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 't' | 'n' | 'r' | 'f' | 'v' => {
            out.extend(['\\', c]);
            Ok(())
        }
        c if c.is_ascii_punctuation() => {
            out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
            Ok(())
        }
        c => Err(format!("the escape `\\{c}`")),
    }
}

fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    if chars.peek() == Some(&']') {
        return Err("an empty class".to_owned());
    }
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match c {
            ']' => {
                out.push(c);
                return Ok(());
            }
            '\\' => escape(chars, out, true)?,
            '[' => match chars.peek() {
                Some(':') => named_class(chars, out)?,
                Some('.' | '=') => return Err("a collating element in a class".to_owned()),
                _ => out.push_str("\\["),
            },
            '&' | '-' | '~' if c == before => return Err(format!("`{c}{c}` in a class")),
            c => out.push(c),
        }
        before = c;
    }
    Err("a class without an end".to_owned())
}

/// `[:digit:]`, whose bracket was read.
fn named_class(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    const NAMES: [&str; 12] = [
        "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
        "upper", "xdigit",
    ];
    let rest: String = chars.clone().take(16).collect();
    let name = rest[1..].split_once(":]").map(|(name, _)| name);
    let Some(name) = name.filter(|name| NAMES.contains(name)) else {
        return Err("an unknown class of characters".to_owned());
    };
    out.extend(["[:", name, ":]"]);
    for _ in 0..name.len() + 3 {
        chars.next();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_languages_mean_alike_passes() {
        let matches =
            |pattern: &str, name: &str| compile(pattern).unwrap().is_match(name.as_bytes());
        assert!(matches(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps", "blk.3.ffn_up_exps.weight"));
        assert!(matches(r"blk\.8\.ffn_(gate|gate_up|down).*", "blk.8.ffn_gate_inp.weight"));
        assert!(matches("blk.1", "blk.12.attn_q.weight"), "patterns are not anchored");
        assert!(!matches(r"^blk\.1\.", "blk.12.attn_q.weight"));
        assert!(matches(r"blk\.(?:[0-9]|1\d)\.", "blk.17.x") && !matches(r"^blk\.[^\d]", "blk.1"));
        assert!(matches(r"blk\.[[:digit:]]{2}\.ffn", "blk.17.ffn") && matches("[[]?x{1}?", "x"));
        assert!(matches("", "anything") && matches(r"a\-b\/c", "a-b/c"));
    }

    #[test]
    fn what_only_one_knows_is_refused_by_name() {
        for (pattern, named) in [
            (r"blk\.(?!1)\d", "a negative lookahead"),
            (r"(?=x)", "a lookahead"),
            (r"(?<=x)", "a lookbehind"),
            (r"(?i)x", "`(?i`"),
            (r"(a)\1", r"a backreference `\1`"),
            (r"\p{L}", r"the escape `\p`"),
            (r"\Ax", r"the escape `\A`"),
            (r"[a&&b]", "`&&` in a class"),
            (r"[]a]", "an empty class"),
            (r"a**", "behind a repetition"),
            (r"a+{2}", "behind a repetition"),
            (r"[[:nope:]]", "an unknown class"),
            (r"[a", "a class without an end"),
            (r"(a", "unclosed group"),
            (r"a{99999999}", ""),
            ("a\\", "a backslash at the end"),
        ] {
            let message = compile(pattern).unwrap_err().to_string();
            assert!(message.contains(named), "{pattern}: {message}");
        }
        assert!(compile(&"a".repeat(5000)).is_err());
        assert!(compile("(ab?){2000}").is_err());
        let count = |n: usize, text: &'static str| check_all(std::iter::repeat_n(text, n));
        assert!(count(1024, "a").is_ok() && count(1025, "a").is_err());
        let long: &'static str = "0123456789012345678901234567890123456789012345678901234567890123";
        assert!(count(1024, long).is_ok());
        assert!(check_all(["0123456789".repeat(10).as_str(); 656].into_iter()).is_err());
        assert!(compile("[[:é:]]").is_err());
    }
}
