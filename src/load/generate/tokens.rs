//! Text to tokens and back, by a tokenizer.json.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::str::FromStr;

use crate::error::Error;
use crate::files;

/// A larger file is refused, in bytes: those of the largest vocabularies have 35 million.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What stands where bytes are no character, or not yet.
const NO_CHARACTER: char = '\u{fffd}';

/// Tokens that wait for the rest of a character: one has at most four bytes, and a token at least one.
const HELD_MAX: usize = 16;

/// Tokens of the prompt that are decoded with what follows, because the first token of a text loses the
/// blank before it.
const CONTEXT: usize = 8;

/// A vocabulary and the rules that cut text into it.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    source: String,
}

impl Tokenizer {
    /// Reads a tokenizer.json; what it says of cutting and padding batches for training is left out.
    ///
    /// # Errors
    /// A file of more than 64 MiB, and anything the `tokenizers` crate cannot read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        const OPERATION: &str = "read the tokenizer";
        let source = path.display().to_string();
        let text = files::read_at_most(path, OPERATION, FILE_BYTES_MAX)?;
        let refuse = |why: String| {
            Error::new(OPERATION).object(&source).expected("a tokenizer.json").found(why)
        };
        let parse = || {
            let mut inner = tokenizers::Tokenizer::from_str(&text)?;
            inner.with_truncation(None)?;
            inner.with_padding(None);
            Ok(inner)
        };
        let inner = guarded(parse).map_err(refuse)?;
        Ok(Self { inner, source })
    }

    /// The tokens of a text, with the special ones around it that the file asks for.
    ///
    /// # Errors
    /// Text the file's rules cannot cut.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding = guarded(|| self.inner.encode_fast(text, true)).map_err(|why| {
            Error::new("cut the text into tokens").object(&self.source).found(why)
        })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text that follows a prompt, token by token.
    ///
    /// # Errors
    /// A prompt the file's rules cannot put together.
    pub fn after<'a>(&'a self, prompt: &[u32]) -> Result<Follow<'a>, Error> {
        let ids = prompt[prompt.len().saturating_sub(CONTEXT)..].to_vec();
        let shown = self.decode(&ids)?.trim_end_matches(NO_CHARACTER).to_owned();
        Ok(Follow { tokenizer: self, known: ids.len(), ids, shown })
    }

    fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        guarded(|| self.inner.decode(ids, true))
            .map_err(|why| Error::new("put the tokens together").object(&self.source).found(why))
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is where a panic becomes an [`Error`], so that nobody needs to hear of it: for the panic
/// hook of a program.
pub fn panics_are_errors() -> bool {
    GUARDED.get()
}

/// Work of the `tokenizers` crate, which panics on files that contradict themselves.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    GUARDED.set(true);
    // Whoever gets the error has nothing left that the work could have half done but its caches.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    match done {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("rules that contradict each other".to_owned()),
    }
}

/// Text as it grows.
#[derive(Debug)]
pub struct Follow<'a> {
    tokenizer: &'a Tokenizer,
    /// The tokens whose text was handed out last, then those that wait.
    ids: Vec<u32>,
    known: usize,
    /// The text of the known ones.
    shown: String,
}

impl Follow<'_> {
    /// What one more token adds: whole characters, none while one is incomplete. Special tokens add
    /// nothing.
    ///
    /// # Errors
    /// What the file's rules cannot put together.
    pub fn push(&mut self, token: u32) -> Result<String, Error> {
        self.ids.push(token);
        let text = self.tokenizer.decode(&self.ids)?;
        let new = text.get(self.shown.len()..).unwrap_or_default();
        let waits = new.is_empty() || new.ends_with(NO_CHARACTER);
        if waits && self.ids.len() - self.known < HELD_MAX {
            return Ok(String::new());
        }
        // A few tokens are decoded again with the next ones: what one means depends on its neighbours.
        self.ids.drain(..self.known);
        self.known = self.ids.len();
        self.shown = self.tokenizer.decode(&self.ids)?;
        Ok(new.to_owned())
    }

    /// What was held back because it could have been the beginning of a character.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(self) -> Result<String, Error> {
        let text = self.tokenizer.decode(&self.ids)?;
        Ok(text.get(self.shown.len()..).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    /// In the manner of Llama: blanks as `\u{2581}`, single bytes for what the vocabulary lacks.
    fn tokenizer(truncation: &Value) -> Tokenizer {
        read(&file(truncation)).unwrap()
    }

    fn read(file: &Value) -> Result<Tokenizer, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        fs::write(&path, file.to_string()).unwrap();
        Tokenizer::read(&path)
    }

    fn file(truncation: &Value) -> Value {
        let mut vocabulary = serde_json::Map::new();
        for token in ["<unk>", "<s>", "</s>"] {
            vocabulary.insert(token.to_owned(), json!(vocabulary.len()));
        }
        for byte in 0..=255 {
            vocabulary.insert(format!("<0x{byte:02X}>"), json!(vocabulary.len()));
        }
        for token in ["\u{2581}", "h", "i", "hi", "\u{2581}hi", "!"] {
            vocabulary.insert(token.to_owned(), json!(vocabulary.len()));
        }
        let special = |id: u32, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        };
        json!({
            "version": "1.0",
            "truncation": truncation,
            "padding": null,
            "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "\u{2581}"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
            ]},
            "pre_tokenizer": null,
            "post_processor": {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                           {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]},
            "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
                "byte_fallback": true, "vocab": vocabulary,
                "merges": ["h i", "\u{2581} hi"]},
        })
    }

    const HI: u32 = 259 + 4;
    const MARK: u32 = 259 + 5;

    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(|byte| u32::from(byte) + 3).collect()
    }

    #[test]
    fn text_becomes_tokens_with_the_first_one_before() {
        let tokenizer = tokenizer(&Value::Null);
        assert_eq!(tokenizer.encode("hi!").unwrap(), [1, HI, MARK]);
        let emoji = tokenizer.encode("hi \u{1f600}").unwrap();
        assert_eq!(emoji[..2], [1, HI]);
        assert_eq!(emoji[3..], bytes("\u{1f600}"));
        assert_eq!(tokenizer.encode("").unwrap(), [1]);
    }

    #[test]
    fn a_file_that_cuts_for_training_does_not_cut_prompts() {
        let cutting = tokenizer(&json!({"direction": "Right", "max_length": 2,
                                        "strategy": "LongestFirst", "stride": 0}));
        assert_eq!(cutting.encode("hi! hi! hi!").unwrap().len(), 7);
    }

    #[test]
    fn characters_come_whole_and_blanks_stay() {
        let tokenizer = tokenizer(&Value::Null);
        let mut follow = tokenizer.after(&[1, HI]).unwrap();
        assert_eq!(follow.push(HI).unwrap(), " hi");
        let mut parts = Vec::new();
        for token in bytes("\u{1f600}\u{e9}") {
            parts.push(follow.push(token).unwrap());
        }
        assert_eq!(parts.concat(), "\u{1f600}\u{e9}");
        assert_eq!(parts[3], "\u{1f600}");
        assert_eq!(parts[5], "\u{e9}");
        assert_eq!(follow.push(2).unwrap(), "", "special tokens are not shown");
        assert_eq!(follow.push(MARK).unwrap(), "!");
        assert_eq!(follow.finish().unwrap(), "");
    }

    #[test]
    fn a_text_begins_without_the_blank_of_its_first_word() {
        let tokenizer = tokenizer(&Value::Null);
        let mut follow = tokenizer.after(&[1]).unwrap();
        assert_eq!(follow.push(HI).unwrap(), "hi");
        assert_eq!(follow.push(HI).unwrap(), " hi");
    }

    #[test]
    fn a_character_begun_in_the_prompt_is_finished() {
        let tokenizer = tokenizer(&Value::Null);
        let [first, second] = bytes("\u{e9}")[..] else { unreachable!("two bytes") };
        let mut follow = tokenizer.after(&[1, HI, first]).unwrap();
        assert_eq!(follow.push(second).unwrap(), "\u{e9}");
    }

    #[test]
    fn bytes_that_never_become_a_character_are_shown_in_the_end() {
        let tokenizer = tokenizer(&Value::Null);
        let mut follow = tokenizer.after(&[1, HI]).unwrap();
        assert_eq!(follow.push(3 + 0xff).unwrap(), "");
        assert_eq!(follow.finish().unwrap(), "\u{fffd}");
        let mut follow = tokenizer.after(&[1, HI]).unwrap();
        let mut text = String::new();
        for _ in 0..40 {
            text.push_str(&follow.push(3 + 0xff).unwrap());
        }
        assert_eq!(text.chars().count(), 32, "two times sixteen are given up");
        text.push_str(&follow.finish().unwrap());
        assert_eq!(text, "\u{fffd}".repeat(40));
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        for content in ["{}", "[1]", "{\"model\": {\"type\": \"BPE\"}}", "text"] {
            fs::write(&path, content).unwrap();
            let message = Tokenizer::read(&path).unwrap_err().to_string();
            assert!(message.contains("expected a tokenizer.json"), "{message}");
        }
        assert!(Tokenizer::read(&folder.path().join("none")).is_err());
    }

    #[test]
    fn rules_that_contradict_each_other_are_an_error() {
        let mut file = file(&Value::Null);
        file["post_processor"]["single"][0]["SpecialToken"]["id"] = json!("<other>");
        let mut message = String::new();
        if let Err(error) = read(&file).and_then(|tokenizer| tokenizer.encode("hi")) {
            message = error.to_string();
        }
        assert!(message.ends_with("rules that contradict each other"), "{message}");
        assert!(!panics_are_errors());
    }

    /// Replaces the `at`-th value, counted in depth, by another; what is left to count otherwise.
    fn replace(value: &mut Value, at: usize, new: &Value) -> Option<usize> {
        let Some(mut left) = at.checked_sub(1) else {
            *value = new.clone();
            return None;
        };
        match value {
            Value::Array(values) => {
                for value in values {
                    left = replace(value, left, new)?;
                }
            }
            Value::Object(values) => {
                for (_, value) in values.iter_mut() {
                    left = replace(value, left, new)?;
                }
            }
            _ => {}
        }
        Some(left)
    }

    #[test]
    fn damaged_files_are_refused_or_used_and_nothing_else() {
        let whole = file(&Value::Null);
        let values = [
            json!(null),
            json!(0),
            json!(-1),
            json!(u32::MAX),
            json!(u64::MAX),
            json!(1e300),
            json!(true),
            json!(""),
            json!("(("),
            json!("<0xZZ>"),
            json!("\u{e9}"),
            json!("BPE"),
            json!("Unigram"),
            json!("ByteLevel"),
            json!("Metaspace"),
            json!([]),
            json!({}),
            json!(["a"]),
            json!([["a", 0.5]]),
            json!({"Regex": "("}),
            json!({"type": "Split"}),
            json!({"a": 1}),
        ];
        let (mut refused, mut used) = (0, 0);
        let mut at = 1;
        loop {
            let mut counted = false;
            for new in &values {
                let mut damaged = whole.clone();
                counted = replace(&mut damaged, at, new).is_none();
                if !counted {
                    break;
                }
                let Ok(tokenizer) = read(&damaged) else {
                    refused += 1;
                    continue;
                };
                used += 1;
                let tokens = tokenizer.encode("hi \u{1f600} hi! <s>").unwrap_or_default();
                let Ok(mut follow) = tokenizer.after(&tokens) else { continue };
                for token in tokens.into_iter().chain([0, 3 + 0xe9, 500, u32::MAX]) {
                    let _ = follow.push(token);
                }
                let _ = follow.finish();
            }
            if !counted {
                break;
            }
            // The vocabulary is long and all alike.
            at += if at > 140 { 7 } else { 1 };
        }
        assert!(refused > 300 && used > 300, "{refused} {used}");
    }
}
