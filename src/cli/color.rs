//! Colour on top of finished text: it repeats what words and letters say already, and nothing else.
//!
//! Text is made without it, so that pipes, files and tests see what people read; taking the escapes away again gives
//! the same text.

use std::io::IsTerminal;

use clap::ValueEnum;

const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const GOOD: &str = "\x1b[1;32m";
const OPEN: &str = "\x1b[1;33m";
const BAD: &str = "\x1b[1;31m";
const FAINT: &str = "\x1b[2m";

/// Beginnings of lines that say how it went.
const VERDICTS: [(&str, &str); 14] = [
    ("optimal:", GOOD),
    ("valid:", GOOD),
    ("no difference:", GOOD),
    ("all hold:", GOOD),
    ("PASS", GOOD),
    ("feasible:", OPEN),
    ("unknown:", OPEN),
    ("warning:", OPEN),
    ("infeasible:", BAD),
    ("refused:", BAD),
    ("fails:", BAD),
    ("FAIL", BAD),
    ("error:", BAD),
    ("hint:", BOLD),
];

/// Letters of the bars: weights, KV cache, workspace, staging, reserve, free.
const LETTERS: [(char, &str); 6] = [
    ('W', "\x1b[34m"),
    ('K', "\x1b[33m"),
    ('o', "\x1b[36m"),
    ('s', "\x1b[35m"),
    ('r', "\x1b[90m"),
    ('.', FAINT),
];

/// When there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// On a terminal, unless the environment has NO_COLOR or TERM is dumb
    #[default]
    Auto,
    /// Always, also in a pipe
    Always,
    /// Never
    Never,
}

impl ColorArg {
    /// Whether text for this stream is painted.
    pub fn on(self, stream: &impl IsTerminal) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                // https://no-color.org: set and not empty.
                let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
                let dumb = set("TERM").is_some_and(|term| term == "dumb");
                stream.is_terminal() && set("NO_COLOR").is_none() && !dumb
            }
        }
    }
}

/// The text with verdicts, headings and bars painted. JSON stays as it is.
pub fn painted(text: &str) -> String {
    if text.starts_with(['{', '[', '<']) {
        return text.to_owned();
    }
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    for (word, color) in VERDICTS {
        if let Some(rest) = line.strip_prefix(word) {
            return format!("{color}{word}{RESET}{rest}");
        }
    }
    match bar(line) {
        Some((before, letters, after)) => format!("{before}{}{after}", bar_painted(letters)),
        None => line.to_owned(),
    }
}

/// A line `name  [WWKo..]` in three parts; letters only between the brackets.
fn bar(line: &str) -> Option<(&str, &str, &str)> {
    let from = line.rfind("  [")? + 3;
    let to = from + line.get(from..)?.find(']')?;
    let letters = line.get(from..to).filter(|letters| letters.len() >= 10)?;
    let known = |letter: char| LETTERS.iter().any(|&(known, _)| known == letter);
    letters.chars().all(known).then(|| (&line[..from], letters, &line[to..]))
}

/// One escape per run of equal letters.
fn bar_painted(letters: &str) -> String {
    let mut text = String::new();
    let mut last = None;
    for letter in letters.chars() {
        let color = LETTERS.iter().find(|&&(known, _)| known == letter).map(|&(_, color)| color);
        if last != color {
            text.push_str(RESET);
            text.push_str(color.unwrap_or_default());
            last = color;
        }
        text.push(letter);
    }
    text + RESET
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text without escapes.
    fn bare(text: &str) -> String {
        let mut parts = text.split('\x1b');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |bare, part| bare + part.split_once('m').map_or("", |(_, rest)| rest))
    }

    #[test]
    fn colour_adds_nothing_and_takes_nothing() {
        let text = "optimal: every objective\n\ngpu0  [WWWWKKoo..ss]\ngpu1  [WWWWxWoo..ss]\na [b]\nno newline";
        let painted = painted(text);
        assert_eq!(bare(&painted), text);
        assert!(painted.starts_with("\x1b[1;32moptimal:\x1b[0m every"), "{painted:?}");
        assert!(painted.contains("\x1b[34mWWWW\x1b[0m\x1b[33mKK"), "{painted:?}");
        assert!(painted.contains("gpu1  [WWWWxWoo..ss]\n"), "what is no bar is left alone");
    }

    #[test]
    fn what_programs_read_is_left_alone() {
        for text in ["{\n  \"a\": 1\n}\n", "<svg>\n</svg>\n", "[1]\n"] {
            assert_eq!(painted(text), text);
        }
    }
}
