//! The words of family expressions: text in, tokens out.

use std::fmt;

/// A number, a quoted text, a name or keyword, or one of [`SYMBOLS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Integer(i64),
    Text(String),
    Word(String),
    Symbol(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(text) | Self::Word(text) => f.write_str(text),
            Self::Symbol(symbol) => f.write_str(symbol),
        }
    }
}

const SYMBOLS: [&str; 16] =
    ["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ","];

/// The tokens of an expression, blanks dropped.
pub(super) fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let used = if first.is_ascii_digit() {
            let digits = &rest[..length];
            tokens.push(Token::Integer(
                digits.parse().map_err(|_| format!("no number: `{digits}`"))?,
            ));
            length
        } else if length > 0 {
            tokens.push(Token::Word(rest[..length].to_owned()));
            length
        } else if let Some((inside, _)) = rest.strip_prefix('"').and_then(|r| r.split_once('"')) {
            tokens.push(Token::Text(inside.to_owned()));
            inside.len() + 2
        } else if let Some(symbol) = SYMBOLS.into_iter().find(|s| rest.starts_with(s)) {
            tokens.push(Token::Symbol(symbol));
            symbol.len()
        } else {
            return Err(format!("`{first}` has no meaning in `{text}`"));
        };
        rest = rest[used..].trim_start();
    }
    Ok(tokens)
}
