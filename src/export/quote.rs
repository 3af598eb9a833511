//! Names from outside, in the syntax of what they are written into.
//!
//! Every function gives text that the target language reads back as the same characters, whatever they are, or
//! `None` where the language has no way to say them.

/// A word of a POSIX shell: as it is where nothing in it means anything, else in single quotes. A line break would
/// end a line of documentation that somebody copies, and a zero cannot be in an argument: neither is quoted.
pub fn shell(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,%+@".contains(c);
    if word.chars().any(char::is_control) {
        return None;
    }
    if !word.is_empty() && word.chars().all(plain) {
        return Some(word.to_owned());
    }
    Some(format!("'{}'", word.replace('\'', r"'\''")))
}

/// A field of a CSV file (RFC 4180). Programs that open such files take a field for a formula when it begins with
/// `=`, `+`, `-`, `@`, a tab or a return, in quotes or not: such a field is not written.
pub fn csv(field: &str) -> Option<String> {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return None;
    }
    let plain = !field.contains(['"', ',', '\n', '\r']) && field.trim() == field;
    Some(if plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) })
}

/// A string literal of Python 3.
pub fn python(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            ' '..='~' => literal.push(c),
            _ => literal.extend([format!("\\U{:08x}", u32::from(c))]),
        }
    }
    literal.push('"');
    literal
}

/// A scalar of YAML 1.2, always in double quotes.
pub fn yaml(text: &str) -> String {
    // The escapes of Python above 0x7e are also those of YAML.
    python(text)
}

/// Text of a GitHub Markdown table or paragraph that shows as these characters: what means something to Markdown
/// or HTML is escaped, and line breaks are blanks.
pub fn markdown(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|'
            | '~' | '@' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words_stay_one_word() {
        assert_eq!(shell("layers.0=gpu1").as_deref(), Some("layers.0=gpu1"));
        assert_eq!(shell("a b").as_deref(), Some("'a b'"));
        assert_eq!(shell("it's $(x)").as_deref(), Some(r"'it'\''s $(x)'"));
        assert_eq!(shell("").as_deref(), Some("''"));
        assert_eq!(shell("a\nb"), None);
    }

    #[test]
    fn csv_fields_are_no_formulas() {
        assert_eq!(csv("a,\"b\"").as_deref(), Some("\"a,\"\"b\"\"\""));
        assert_eq!(csv("gpu0").as_deref(), Some("gpu0"));
        for formula in ["=1+1", "-x", "+x", "@x", "\tx", "\rx"] {
            assert_eq!(csv(formula), None);
        }
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(python("a\"b\\c\n"), r#""a\"b\\c\U0000000a""#);
        assert_eq!(yaml("é"), "\"\\U000000e9\"");
        assert_eq!(markdown("a|b <i>\n`x`"), "a\\|b &lt;i&gt; \\`x\\`");
    }
}
