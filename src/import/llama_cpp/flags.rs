//! The flags of a command line: which place something, which are of no consequence for that, which are refused.

use super::known::{IGNORED, PLACING, REFUSED};
use crate::error::Error;
use crate::nearest::did_you_mean;

const OPERATION: &str = "read the flags of llama.cpp";
/// What `llama_max_tensor_buft_overrides` answers.
const OVERRIDES_MAX: usize = 4096;

/// What a command line says about places, cache and batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// `--rpc`, in order.
    pub(super) servers: Vec<String>,
    /// `-dev`; an empty list is `none`.
    pub(super) devices: Option<Vec<String>>,
    /// `-ngl`; `None` for all of them.
    pub(super) gpu_layers: Option<u32>,
    /// Whether `-ngl` was there.
    pub(super) layers_said: bool,
    /// `-ts` as typed, checked.
    pub(super) tensor_split: Vec<f32>,
    /// Patterns with buffers, in order.
    pub(super) overrides: Vec<(String, String)>,
    /// `-mg` under `-sm none`.
    pub(super) only: Option<u32>,
    /// `--fit`.
    pub(super) fits: bool,
    /// `-c`; 0 for what the model was trained for.
    pub(super) context: Option<u64>,
    /// `-np`.
    pub(super) sequences: Option<u64>,
    /// `-kvu`.
    pub(super) unified: Option<bool>,
    /// `-ctk`, `-ctv`.
    pub(super) key_type: Option<String>,
    /// See `key_type`.
    pub(super) value_type: Option<String>,
    /// `-fa`; `None` also for `auto`.
    pub(super) flash: Option<bool>,
    /// `-b`.
    pub(super) batch: Option<u64>,
    /// `-ub`.
    pub(super) micro_batch: Option<u64>,
    /// Flags that say nothing about places.
    pub(super) ignored: Vec<String>,
}

/// What `--cpu-moe` and its like put into a pattern (`LLM_FFN_EXPS_REGEX` and `LLM_FFN_DENSE_REGEX` of llama.cpp).
const EXPERTS: &str = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps";
const DENSE: &str = r"\.ffn_(up|down|gate)\.";

/// Reads the words behind the program's name, which may be there.
///
/// # Errors
/// Flags that are not known (with the nearest), that are refused, and values that llama.cpp would not take.
pub(super) fn read(words: &[String]) -> Result<Line, Error> {
    let mut line = Line { fits: true, ..Line::default() };
    let mut split_mode = String::from("layer");
    let mut main = 0;
    let program = words.first().is_some_and(|word| !word.starts_with('-'));
    let mut rest = words[usize::from(program)..].iter();
    while let Some(flag) = rest.next() {
        let mut value = || {
            let missing = || Error::new(OPERATION).place(flag).expected("a value").found("the end");
            rest.next().map(String::as_str).ok_or_else(missing)
        };
        match flag.as_str() {
            "--rpc" => line.servers = value()?.split(',').map(str::to_owned).collect(),
            "-dev" | "--device" => line.devices = Some(devices(value()?)),
            "-ngl" | "--gpu-layers" | "--n-gpu-layers" => {
                line.gpu_layers = layers(flag, value()?)?;
                line.layers_said = true;
            }
            "-ts" | "--tensor-split" => line.tensor_split = shares(flag, value()?)?,
            "-ot" | "--override-tensor" => overrides(flag, value()?, &mut line.overrides)?,
            "-cmoe" | "--cpu-moe" => line.overrides.push((EXPERTS.to_owned(), "CPU".to_owned())),
            "-ncmoe" | "--n-cpu-moe" => first(flag, value()?, EXPERTS, &mut line.overrides)?,
            "-ncffn" | "--n-cpu-ffn" => first(flag, value()?, DENSE, &mut line.overrides)?,
            "-sm" | "--split-mode" => value()?.clone_into(&mut split_mode),
            "-mg" | "--main-gpu" => main = number(flag, value()?, 0, 63)?,
            "-fit" | "--fit" => line.fits = switch(flag, value()?)?.unwrap_or(true),
            "-c" | "--ctx-size" => line.context = Some(number(flag, value()?, 0, 1 << 31)?),
            "-np" | "--parallel" => line.sequences = Some(number(flag, value()?, 1, 1 << 20)?),
            "-kvu" | "--kv-unified" => line.unified = Some(true),
            "-no-kvu" | "--no-kv-unified" => line.unified = Some(false),
            "-ctk" | "--cache-type-k" => line.key_type = Some(value()?.to_owned()),
            "-ctv" | "--cache-type-v" => line.value_type = Some(value()?.to_owned()),
            "-fa" | "--flash-attn" => line.flash = switch(flag, value()?)?,
            "-b" | "--batch-size" => line.batch = Some(number(flag, value()?, 1, 1 << 31)?),
            "-ub" | "--ubatch-size" => line.micro_batch = Some(number(flag, value()?, 1, 1 << 31)?),
            _ => other(flag, &mut value, &mut line.ignored)?,
        }
    }
    line.only = only(&split_mode, main)?;
    if line.overrides.len() > OVERRIDES_MAX {
        return Err(Error::new(OPERATION)
            .place("-ot")
            .expected(format!("at most {OVERRIDES_MAX} patterns"))
            .found(line.overrides.len().to_string()));
    }
    Ok(line)
}

/// A flag that places nothing.
fn other<'a>(
    flag: &str,
    value: &mut dyn FnMut() -> Result<&'a str, Error>,
    ignored: &mut Vec<String>,
) -> Result<(), Error> {
    let refuse = || Error::new(OPERATION).place(flag);
    if let Some((_, why)) = REFUSED.iter().find(|(flags, _)| flags.contains(&flag)) {
        return Err(refuse().expected("a flag that a placement can follow").found(*why));
    }
    if let Some((_, values)) = IGNORED.iter().find(|(flags, _)| flags.contains(&flag)) {
        ignored.push(flag.to_owned());
        for _ in 0..*values {
            value()?;
        }
        return Ok(());
    }
    let known = IGNORED.iter().flat_map(|(flags, _)| flags.iter().copied()).chain(PLACING);
    let error = refuse().expected("a flag that this program knows").found("another word");
    Err(match did_you_mean(flag, known) {
        Some(hint) => error.hint(hint),
        None => error.hint("leave it out if it says nothing about memory"),
    })
}

fn devices(value: &str) -> Vec<String> {
    if value == "none" { Vec::new() } else { value.split(',').map(str::to_owned).collect() }
}

fn layers(flag: &str, value: &str) -> Result<Option<u32>, Error> {
    if matches!(value, "auto" | "all" | "-1" | "-2") {
        return Ok(None);
    }
    number(flag, value, 0, i64::from(i32::MAX).unsigned_abs()).map(Some)
}

fn number<T: TryFrom<u64>>(flag: &str, value: &str, least: u64, most: u64) -> Result<T, Error> {
    let parsed = value.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
    parsed.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        Error::new(OPERATION)
            .place(flag)
            .expected(format!("a whole number from {least} to {most}"))
            .found(format!("`{value}`"))
    })
}

/// Shares as `strtof` reads them.
fn shares(flag: &str, value: &str) -> Result<Vec<f32>, Error> {
    const SHARES_MAX: usize = 15;
    let refuse = || Error::new(OPERATION).place(flag);
    let parse = |text: &str| {
        let share = text.trim().parse::<f32>().ok();
        share
            .filter(|share| share.is_finite() && *share >= 0.0 && !text.contains(['n', 'N']))
            .ok_or_else(|| {
                refuse().expected("shares of zero or more, as in `3,1`").found(format!("`{text}`"))
            })
    };
    // Several separators count as one.
    let parts = value.split([',', '/']).filter(|part| !part.is_empty());
    let shares = parts.map(parse).collect::<Result<Vec<_>, _>>()?;
    match shares.len() {
        1..=SHARES_MAX => Ok(shares),
        count => {
            Err(refuse().expected(format!("1 to {SHARES_MAX} shares")).found(count.to_string()))
        }
    }
}

fn overrides(flag: &str, value: &str, into: &mut Vec<(String, String)>) -> Result<(), Error> {
    for one in value.split(',') {
        let (pattern, buffer) = one.split_once('=').ok_or_else(|| {
            Error::new(OPERATION)
                .place(flag)
                .expected("PATTERN=BUFFER, separated by commas")
                .found(format!("`{one}`"))
                .hint("a comma ends a pattern, also within braces")
        })?;
        into.push((pattern.to_owned(), buffer.to_owned()));
    }
    Ok(())
}

/// The same for the first so many layers, to the host.
fn first(flag: &str, value: &str, of: &str, into: &mut Vec<(String, String)>) -> Result<(), Error> {
    let layers: u32 = number(flag, value, 0, 4096)?;
    into.extend((0..layers).map(|layer| (format!(r"blk\.{layer}{of}"), "CPU".to_owned())));
    Ok(())
}

/// `None` for `auto`.
fn switch(flag: &str, value: &str) -> Result<Option<bool>, Error> {
    match value {
        "on" | "enabled" | "true" | "1" => Ok(Some(true)),
        "off" | "disabled" | "false" | "0" => Ok(Some(false)),
        "auto" | "-1" => Ok(None),
        other => {
            Err(Error::new(OPERATION).place(flag).expected("on or off").found(format!("`{other}`")))
        }
    }
}

fn only(split_mode: &str, main: u32) -> Result<Option<u32>, Error> {
    let refuse = || Error::new(OPERATION).place(format!("-sm {split_mode}"));
    match split_mode {
        "layer" => Ok(None),
        "none" => Ok(Some(main)),
        "row" | "tensor" => Err(refuse()
            .expected("whole tensors on devices, as with `-sm layer`")
            .found("tensors that are split over devices, which no placement here has")),
        _ => Err(refuse().expected("none, layer, row or tensor")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Line, Error> {
        read(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_places_is_read_and_what_does_not_is_listed() {
        let read = line("llama-server -m x.gguf -t 8 --rpc a:1,b:2 -dev RPC0,CUDA0 -ngl 33 -ts 3,1 -ot a=CPU,b=CUDA0 -ncmoe 2 -cmoe --fit off").unwrap();
        assert_eq!(read.servers, ["a:1", "b:2"]);
        assert_eq!(read.devices.unwrap(), ["RPC0", "CUDA0"]);
        assert_eq!((read.gpu_layers, read.fits), (Some(33), false));
        assert_eq!(read.ignored, ["-m", "-t"]);
        let patterns: Vec<&str> = read.overrides.iter().map(|(p, _)| p.as_str()).collect();
        assert_eq!(patterns[..2], ["a", "b"]);
        assert_eq!(patterns[2], r"blk\.0\.ffn_(up|down|gate|gate_up)_(ch|)exps");
        assert_eq!(patterns.len(), 5);
    }

    #[test]
    fn what_is_not_understood_is_an_error_by_name() {
        for (text, named) in [
            ("-sm row", "split over devices"),
            ("-sm tensor", "split over devices"),
            ("--swa-full", "sliding layers"),
            ("-nkvo", "away from its layers"),
            ("--lora x", "beside the model"),
            ("-md x", "drafts"),
            ("-ngl many", "`many`"),
            ("-ngl", "a value"),
            ("-ts a,b", "`a`"),
            ("-ts nan", "`nan`"),
            ("-ts -1", "`-1`"),
            ("-ot abc", "PATTERN=BUFFER"),
            ("-ncmoe 999999999", "4096"),
            ("--tensor-splt 1", "another word"),
            ("-fa yes", "on or off"),
        ] {
            let message = line(text).unwrap_err().to_string();
            assert!(message.contains(named), "{text}: {message}");
        }
        let hint = line("--tensor-splt 1").unwrap_err();
        assert!(hint.hint_text().unwrap().contains("--tensor-split"));
    }
}
