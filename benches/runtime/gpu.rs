//! What needs a GPU.

use std::time::Duration;

use apportion::load::decoder::{Decoder, Mode, Wanted};
use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama;

use super::speed::prompt;
use super::support::clock::median;
use super::support::mixtral::{Type, real, write};
use super::support::placed::{Question, clocked, read_per_token};
use super::{Failure, milliseconds, over, rate, row};

/// Two budgeted devices on one GPU, half of the experts on either, against candle's own model on all of it.
pub fn gpu(layers: u64) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = write(folder.path(), real(layers), Type::Q4K)?;
    let question = Question { on_gpu: true, ..Question::new(&path, None, 2)? };
    let instance = format!("{layers} layers in Q4_K, two devices on one GPU");
    let (loaded, placed) = clocked(|| question.load())?;
    let bytes: u64 = placed.devices.iter().map(|d| d.ledger.balance().weights_bytes()).sum();
    let (rest, expert) = read_per_token(&placed);
    let mut ours = Decoder::new(placed, Mode::Sequential)?;
    row("load", &instance, &rate(bytes, loaded), "", 1.0, None);
    if let Some(memory) = ours.placed().devices[0].driver_memory() {
        let taken = memory.total_bytes - memory.free_bytes;
        let shown = |bytes: u64| format!("{} MiB", bytes >> 20);
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let ratio = taken as f64 / bytes as f64;
        row(
            "the driver's used memory, beside planned weights",
            &instance,
            &shown(taken),
            &shown(bytes),
            ratio,
            None,
        );
    }
    let ours_times =
        gpu_steps(&mut |token, _| Ok(ours.forward(0, &[token], Wanted::Last)?.remove(0)))?;
    drop(ours);
    let device = Device::new_cuda(0)?;
    let mut file = std::io::BufReader::new(std::fs::File::open(&path)?);
    let content = Content::read(&mut file)?;
    let mut model = quantized_llama::ModelWeights::from_gguf(content, &mut file, &device)?;
    let theirs_times = gpu_steps(&mut |token, at| {
        let tokens = Tensor::new(&[[token]], &device)?;
        Ok(model.forward(&tokens, at)?.flatten_all()?.to_vec1()?)
    })?;
    let what = "decode, beside candle's quantized_llama on the whole GPU";
    row(
        what,
        &instance,
        &milliseconds(ours_times),
        &milliseconds(theirs_times),
        over(theirs_times, ours_times),
        None,
    );
    let per_token = rest + 2 * layers * expert;
    row(
        "bytes of weights read in decode",
        &instance,
        &rate(per_token, ours_times),
        &rate(per_token, theirs_times),
        1.0,
        None,
    );
    Ok(())
}

/// The median time of a token.
pub fn gpu_steps(
    forward: &mut dyn FnMut(u32, usize) -> Result<Vec<f32>, Failure>,
) -> Result<Duration, Failure> {
    let mut times = Vec::new();
    for (step, token) in prompt().into_iter().take(72).enumerate() {
        let (time, logits) = clocked(|| forward(token, step))?;
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err("a logit is no number".into());
        }
        if step >= 8 {
            times.push(time);
        }
    }
    Ok(median(times))
}
