//! Words of a command line, as a POSIX shell splits it.

use crate::error::Error;

/// Splits text as a POSIX shell does, without anything a shell would look up or run.
///
/// Quotes of both kinds, a backslash before a character or the end of a line, and comments behind `#`.
///
/// # Errors
/// An open quote, and what a shell would replace or act upon: `$`, backquotes, `;`, `&`, `|`, redirections,
/// parentheses, globs. They say something that only a shell knows.
pub(super) fn split(text: &str) -> Result<Vec<String>, Error> {
    let refuse = |line: usize| Error::new("read the command line").place(format!("line {line}"));
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut line = 1;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                line += 1;
                words.extend(word.take());
            }
            c if c.is_whitespace() => words.extend(word.take()),
            '#' if word.is_none() => while chars.next_if(|&c| c != '\n').is_some() {},
            '\'' | '"' => {
                let opened = line;
                quoted(c, &mut chars, word.get_or_insert_default(), &mut line).map_err(
                    |found| refuse(opened).expected(format!("a closing {c}")).found(found),
                )?;
            }
            '\\' => match chars.next() {
                Some('\n') => line += 1,
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err(refuse(line).found("a backslash at the end")),
            },
            '$' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | '*' | '?' => {
                return Err(refuse(line)
                    .expected("plain words, or such characters in quotes")
                    .found(format!("`{c}`, which a shell acts upon")));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Reads up to the closing quote; says what is wrong if there is none.
fn quoted(
    quote: char,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    word: &mut String,
    line: &mut usize,
) -> Result<(), String> {
    while let Some(c) = chars.next() {
        *line += usize::from(c == '\n');
        match c {
            c if c == quote => return Ok(()),
            '$' | '`' if quote == '"' && expands(c, chars.peek()) => {
                return Err(format!("`{c}`, which a shell replaces"));
            }
            '\\' if quote == '"' => match chars.next_if(|&c| "\\\"$`\n".contains(c)) {
                Some('\n') => *line += 1,
                Some(escaped) => word.push(escaped),
                None => word.push('\\'),
            },
            c => word.push(c),
        }
    }
    Err("the end of the text".to_owned())
}

/// Whether a shell sees more than the character itself: `$` at the end of a pattern is one.
fn expands(c: char, next: Option<&char>) -> bool {
    let names = |c: &char| c.is_ascii_alphanumeric() || "_{(*@#?!-$".contains(*c);
    c == '`' || next.is_some_and(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::quote;

    #[test]
    fn whatever_is_quoted_splits_into_itself() {
        let words = [
            "",
            "a b",
            "it's",
            "\"",
            "\\",
            "$HOME",
            "`id`",
            "#x",
            "-ot",
            "^a\\.b$=CPU",
            "a|b=RPC0[h:1]",
        ];
        let quoted = words.map(|word| quote::shell(word).unwrap());
        assert_eq!(split(&quoted.join(" ")).unwrap(), words);
        assert_eq!(split(&quoted.join(" \\\n")).unwrap(), words);
    }

    #[test]
    fn what_only_a_shell_knows_is_refused() {
        for text in [
            "$A", "a;b", "a && b", "a|b", "a>b", "`id`", "\"$A\"", "\"`id`\"", "'a", "\"a", "a\\",
            "*",
        ] {
            assert!(split(text).is_err(), "{text}");
        }
        assert_eq!(split(r#""^blk\.1\.x$=CPU""#).unwrap(), [r"^blk\.1\.x$=CPU"]);
        assert_eq!(split("a # b\nc\\\nd \\'").unwrap(), ["a", "cd", "'"]);
    }
}
