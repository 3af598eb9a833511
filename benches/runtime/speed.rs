//! One device beside candle's own models: prefill and decode.

use std::time::Duration;

use apportion::load::decoder::{Decoder, Mode, Wanted};
use candle_core::{Device, Tensor};

use super::support::cache;
use super::support::clock::median;
use super::support::mixtral::{Shape, Type, real, write};
use super::support::placed::{Question, clocked};
use super::theirs::{theirs, theirs_quantized};
use super::{Failure, milliseconds, over, row};

pub const PROMPT: u32 = 512;

pub fn prompt() -> Vec<u32> {
    (0..PROMPT).map(|i| (i * 7919 + 13) % 8192).collect()
}

/// One device in 32 bit against candle's Mixtral.
pub fn decode() -> Result<(), Failure> {
    let shape = Shape { width: 7168, ..real(1) };
    let folder = tempfile::tempdir()?;
    let path = write(folder.path(), shape, Type::F32)?;
    let question = Question { threads: cache::threads(), ..Question::new(&path, Some("f32"), 1)? };
    let mut ours = Decoder::new(question.load()?, Mode::Sequential)?;
    let mut model = theirs(&path, shape)?;
    // Their cache cannot be emptied, so both begin with the one prompt and go on from there.
    let prompt = prompt();
    let ([a, b], same) =
        prefill(&mut ours, &mut |tokens, at| Ok(model.forward(tokens, at)?.flatten_all()?))?;
    row(
        "prefill of 512 tokens, beside candle's Mixtral",
        "half-width experts, f32",
        &milliseconds(a),
        &milliseconds(b),
        over(b, a),
        Some(1.0),
    );
    let [a, b] =
        steps(&mut ours, &mut |tokens, at| Ok(model.forward(tokens, at)?.flatten_all()?), &prompt)?;
    row(
        "decode, beside candle's Mixtral",
        "half-width experts, f32",
        &milliseconds(a),
        &milliseconds(b),
        over(b, a),
        Some(0.97),
    );
    if same > 1e-2 {
        return Err(format!("the logits differ by {same}").into());
    }
    Ok(())
}

/// One device in 4-bit blocks against candle's quantized model, both with the second copy.
pub fn quantized() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = write(folder.path(), real(2), Type::Q4K)?;
    let threads = cache::threads();
    let question = Question { threads, cpu_repack: true, ..Question::new(&path, None, 1)? };
    let mut ours = Decoder::new(question.load()?, Mode::Sequential)?;
    let mut model = theirs_quantized(&path)?;
    let prompt = prompt();
    let mut forward = |tokens: &Tensor, at| Ok(model.forward(tokens, at)?.flatten_all()?);
    let ([a, b], same) = prefill(&mut ours, &mut forward)?;
    row(
        "prefill of 512 tokens, beside candle's quantized_llama",
        "2 layers in Q4_K, repacked",
        &milliseconds(a),
        &milliseconds(b),
        over(b, a),
        Some(1.0),
    );
    let [a, b] = steps(&mut ours, &mut forward, &prompt)?;
    row(
        "decode, beside candle's quantized_llama",
        "2 layers in Q4_K, repacked",
        &milliseconds(a),
        &milliseconds(b),
        over(b, a),
        Some(1.0),
    );
    if same > 0.1 {
        return Err(format!("the logits differ by {same}").into());
    }
    Ok(())
}

pub type Forward<'a> = dyn FnMut(&Tensor, usize) -> Result<Tensor, Failure> + 'a;

/// The prompt again and again, each at the position where it would be first; the first time does not count.
pub fn prefill(
    ours: &mut Decoder,
    theirs: &mut Forward<'_>,
) -> Result<([Duration; 2], f32), Failure> {
    let prompt = prompt();
    let tokens = Tensor::new(&prompt[..], &Device::Cpu)?.unsqueeze(0)?;
    let mut times = [Vec::new(), Vec::new()];
    let mut apart = 0.0_f32;
    for round in 0..4 {
        let at = round * prompt.len();
        let (a, logits) = clocked(|| Ok(ours.forward(0, &prompt, Wanted::Last)?))?;
        let (b, other) = clocked(|| Ok(theirs(&tokens, at)?.to_vec1::<f32>()?))?;
        let most = logits[0].iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        apart = apart.max(most);
        if round > 0 {
            times[0].push(a);
            times[1].push(b);
        }
    }
    Ok((times.map(median), apart))
}

/// Token by token, in turn.
pub fn steps(
    ours: &mut Decoder,
    theirs: &mut Forward<'_>,
    prompt: &[u32],
) -> Result<[Duration; 2], Failure> {
    let mut times = [Vec::new(), Vec::new()];
    for (step, token) in prompt.iter().take(48).enumerate() {
        let at = ours.tokens(0);
        let tokens = Tensor::new(&[[*token]], &Device::Cpu)?;
        let (a, _) = clocked(|| Ok(ours.forward(0, &[*token], Wanted::Last)?))?;
        let (b, _) = clocked(|| Ok(theirs(&tokens, at)?.to_vec1::<f32>()?))?;
        if step >= 8 {
            times[0].push(a);
            times[1].push(b);
        }
    }
    Ok(times.map(median))
}
