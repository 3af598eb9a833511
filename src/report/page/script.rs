//! What the page's one script is and how the page says that it is the one.
//!
//! The script moves focus by arrow keys and shows what is pointed at; everything it shows is in the page without it.

use sha2::{Digest, Sha256};

/// Written without `<` and `&`, so that the page is well-formed for readers of XML too; names nothing.
pub(super) const SCRIPT: &str = include_str!("script.js");

/// A source of the content security policy: the text whose hash this is.
pub(super) fn source(text: &str) -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(text)))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * at) & 63).unwrap_or(0);
            out.push(if at <= chunk.len() { char::from(LETTERS[index]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), coded);
        }
        assert_eq!(source(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }

    #[test]
    fn the_script_is_text_in_any_reader() {
        assert!(!SCRIPT.contains(['<', '&']) && !SCRIPT.contains("//"));
        assert!(
            !["fetch", "import", "eval", "http", "innerHTML"]
                .iter()
                .any(|word| SCRIPT.contains(word))
        );
    }
}
