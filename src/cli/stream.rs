//! Tokens on their way to stdout, as they come: text, or numbers separated by blanks.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use apportion::error::Error;
use apportion::load::generate::Follow;

/// What was told so far, and where it goes.
pub struct Stream<'a> {
    follow: Option<Follow<'a>>,
    /// All there is so far, where tokens have text.
    text: String,
    told: usize,
    silent: bool,
    terminal: bool,
    /// Whether the reader has gone.
    pub closed: bool,
    stop: &'a AtomicBool,
}

impl<'a> Stream<'a> {
    /// Nothing yet. Without `follow` tokens are numbers; `silent` only gathers; `stop` is set when nobody reads
    /// on.
    pub fn new(follow: Option<Follow<'a>>, silent: bool, stop: &'a AtomicBool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { follow, text: String::new(), told: 0, silent, terminal, closed: false, stop }
    }

    /// One more token.
    pub fn tell(&mut self, token: u32) -> Result<(), Error> {
        let piece = match &mut self.follow {
            Some(follow) => follow.push(token)?,
            None if self.told == 0 => token.to_string(),
            None => format!(" {token}"),
        };
        self.told += 1;
        self.write(piece)
    }

    /// The whole text where tokens have text, its last piece written and the line ended.
    pub fn finish(mut self) -> Result<Option<String>, Error> {
        let Some(follow) = self.follow.take() else {
            self.end_line()?;
            return Ok(None);
        };
        self.write(follow.finish()?)?;
        let text = std::mem::take(&mut self.text);
        self.end_line()?;
        Ok(Some(text))
    }

    fn end_line(&mut self) -> Result<(), Error> {
        if self.told == 0 { Ok(()) } else { self.write("\n".to_owned()) }
    }

    fn write(&mut self, piece: String) -> Result<(), Error> {
        self.text.push_str(&piece);
        if self.silent || self.closed || piece.is_empty() {
            return Ok(());
        }
        let piece = if self.terminal { harmless(&piece) } else { piece };
        let mut out = io::stdout().lock();
        match out.write_all(piece.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                self.stop.store(true, Ordering::Relaxed);
                Ok(())
            }
            written => {
                written.map_err(|error| Error::new("write to stdout").found(error.to_string()))
            }
        }
    }
}

/// Text that cannot drive a terminal, whatever a model was made to say; lines and tabs stay.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_drive_a_terminal() {
        assert_eq!(harmless("a\tb\n\u{1b}[2J\u{e9}"), "a\tb\n\\u{1b}[2J\u{e9}");
    }

    #[test]
    fn numbers_have_no_text() {
        let stop = AtomicBool::new(false);
        let mut stream = Stream::new(None, true, &stop);
        stream.tell(5).unwrap();
        stream.tell(17).unwrap();
        assert_eq!(stream.text, "5 17");
        assert_eq!(stream.finish().unwrap(), None);
    }
}
