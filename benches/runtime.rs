//! The runtime beside plain reading and beside candle's own models: one Markdown table, ratios within one run.
//!
//! `cargo bench --bench runtime` measures everything, `cargo bench --bench runtime -- load decode` parts of it;
//! `README.md` beside this says what the parts are. Needs 14 GB of memory and as much in the folder for
//! temporary files.

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apportion::load::decoder::{Decoder, Mode, Wanted};
use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::{mixtral, quantized_llama};

use support::clock::{alternating, median};
use support::mixtral::{Shape, Type, config, real, write};
use support::placed::{Heard, Question, clocked, read_per_token};
use support::{cache, machine};

type Failure = Box<dyn Error>;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Each part by name; those that need a process of their own run as children of this one.
const PARTS: [(&str, fn() -> Result<(), Failure>); 8] = [
    ("load", load),
    ("memory", memory),
    ("quantize", quantize),
    ("decode", decode),
    ("quantized", quantized),
    ("two", two_devices),
    ("gpu", || gpu(4)),
    ("gpu-full", || gpu(32)),
];

/// What needs a GPU, and is only measured when it is named.
const ON_GPU: [&str; 2] = ["gpu", "gpu-full"];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let own: Vec<&str> = arguments.iter().map(String::as_str).filter(|&a| a != "--bench").collect();
    if let ["--child", part, path] = own[..] {
        return child(part, Path::new(path));
    }
    if let Some(unknown) = own.iter().find(|name| PARTS.iter().all(|part| part.0 != **name)) {
        let names: Vec<&str> = PARTS.iter().map(|part| part.0).collect();
        return Err(format!("expected {}, found `{unknown}`", names.join(", ")).into());
    }
    // Tests compile benches and run them without `--bench`.
    if own.is_empty() && arguments.is_empty() {
        return Ok(());
    }
    println!(
        "{}\n\n| what | on what | ours | theirs | ratio | target | |\n|---|---|---|---|---|---|---|",
        machine::line()
    );
    for (name, part) in PARTS {
        if own.contains(&name) || (own.is_empty() && !ON_GPU.contains(&name)) {
            part()?;
        }
    }
    Ok(())
}

/// One row; `ratio` is how much better ours is, or whatever the target is about.
fn row(what: &str, instance: &str, ours: &str, theirs: &str, ratio: f64, target: Option<f64>) {
    let verdict = match target {
        Some(target) if ratio >= target => "met",
        Some(_) => "**missed**",
        None => "",
    };
    let target = target.map_or(String::new(), |target| format!("{target:.2}"));
    println!("| {what} | {instance} | {ours} | {theirs} | {ratio:.2} | {target} | {verdict} |");
}

fn rate(bytes: u64, time: Duration) -> String {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let rate = bytes as f64 / time.as_secs_f64() / 1e9;
    format!("{rate:.2} GB/s")
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn over(theirs: Duration, ours: Duration) -> f64 {
    theirs.as_secs_f64() / ours.as_secs_f64()
}

/// Loading against reading, and against candle's own loading.
fn load() -> Result<(), Failure> {
    for (what, shape, stored, quant) in [
        ("1 layer in f32", real(1), Type::F32, Some("f32")),
        ("4 layers in Q4_K", real(4), Type::Q4K, None),
    ] {
        let folder = tempfile::tempdir()?;
        let path = write(folder.path(), shape, stored)?;
        let threads = cache::threads();
        let question = Question { threads, ..Question::new(&path, quant, 1)? };
        let bytes = std::fs::metadata(&path)?.len();
        for cold in [false, true] {
            let before = || if cold { cache::forget(&path) } else { cache::warm(&path) };
            let [ours, plain, theirs] = alternating(
                if cold { 3 } else { 5 },
                [
                    &mut || {
                        before()?;
                        Ok(clocked(|| question.load())?.0)
                    },
                    &mut || {
                        before()?;
                        Ok(clocked(|| cache::read(&path, threads))?.0)
                    },
                    &mut || {
                        before()?;
                        Ok(clocked(|| candle_load(&path, shape, stored))?.0)
                    },
                ],
            )?;
            let how = if cold { "from disk" } else { "from cache" };
            let instance = format!("{what}, {how}");
            row(
                "load, beside a plain parallel read",
                &instance,
                &rate(bytes, ours),
                &rate(bytes, plain),
                over(plain, ours),
                Some(0.9),
            );
            row(
                "load, beside candle's own",
                &instance,
                &rate(bytes, ours),
                &rate(bytes, theirs),
                over(theirs, ours),
                Some(1.0),
            );
        }
    }
    Ok(())
}

fn candle_load(path: &Path, shape: Shape, stored: Type) -> Result<(), Failure> {
    if stored == Type::Q4K {
        theirs_quantized(path).map(drop)
    } else {
        theirs(path, shape).map(drop)
    }
}

#[allow(
    unsafe_code,
    reason = "candle's own way to load, and what it maps was written for this by us"
)]
fn theirs(path: &Path, shape: Shape) -> Result<mixtral::Model, Failure> {
    // SAFETY: nobody changes the file while it is mapped: it is in a folder of our own.
    let weights = unsafe {
        candle_nn::VarBuilder::from_mmaped_safetensors(&[path], DType::F32, &Device::Cpu)?
    };
    let config: mixtral::Config = serde_json::from_str(&config(shape, "4096"))?;
    Ok(mixtral::Model::new(&config, weights)?)
}

fn theirs_quantized(path: &Path) -> Result<quantized_llama::ModelWeights, Failure> {
    let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
    let content = Content::read(&mut file)?;
    Ok(quantized_llama::ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?)
}

/// What a load takes at most: in a process of its own, which has nothing else.
fn memory() -> Result<(), Failure> {
    for (what, shape, stored, quant) in [
        ("1 layer in f32", real(1), Type::F32, "f32"),
        ("4 layers in Q4_K", real(4), Type::Q4K, "stored"),
        ("narrow, bf16 to q4_k_m", narrow(1), Type::Bf16, "q4_k_m"),
    ] {
        let folder = tempfile::tempdir()?;
        let path = write(folder.path(), shape, stored)?;
        let said = run_child(&format!("memory:{quant}"), &path, &[])?;
        let [planned, staged, peak] = said[..] else {
            return Err("the child said something else".into());
        };
        let most = planned + staged + 64.0 * MEBIBYTE;
        let shown = |bytes: f64| format!("{:.0} MiB", bytes / MEBIBYTE);
        row(
            "peak memory, beside planned bytes + staged + 64 MiB",
            what,
            &shown(peak),
            &shown(most),
            most / peak,
            Some(1.0),
        );
    }
    Ok(())
}

/// A quarter of an expert's width: quantizing takes long.
fn narrow(layers: u64) -> Shape {
    Shape { width: 3584, ..real(layers) }
}

/// Two threads against one.
fn quantize() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = write(folder.path(), narrow(1), Type::Bf16)?;
    let narrow_question = Question::new(&path, Some("q4_k_m"), 1)?;
    let with = |threads| Question { threads, ..narrow_question.clone() };
    let (two, one) = (with(2), with(1));
    let [two, one] = alternating(
        3,
        [&mut || Ok(clocked(|| two.load())?.0), &mut || Ok(clocked(|| one.load())?.0)],
    )?;
    row(
        "quantize on load, 2 threads beside 1",
        "narrow, bf16 to q4_k_m",
        &milliseconds(two),
        &milliseconds(one),
        over(one, two),
        Some(1.8),
    );
    Ok(())
}

const PROMPT: u32 = 512;

fn prompt() -> Vec<u32> {
    (0..PROMPT).map(|i| (i * 7919 + 13) % 8192).collect()
}

/// One device in 32 bit against candle's Mixtral.
fn decode() -> Result<(), Failure> {
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
fn quantized() -> Result<(), Failure> {
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

type Forward<'a> = dyn FnMut(&Tensor, usize) -> Result<Tensor, Failure> + 'a;

/// The prompt again and again, each at the position where it would be first; the first time does not count.
fn prefill(ours: &mut Decoder, theirs: &mut Forward<'_>) -> Result<([Duration; 2], f32), Failure> {
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
fn steps(
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

/// Two budgeted devices, a thread each in both modes, half of the experts on either.
fn two_devices() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = write(folder.path(), real(4), Type::Q4K)?;
    // Before the first use candle decides how many threads it has.
    let one = [("RAYON_NUM_THREADS", "1"), ("CANDLE_NUM_THREADS", "1")];
    let said = run_child("two", &path, &one)?;
    let [sequential, concurrent, ceiling, equal] = said[..] else {
        return Err("the child said something else".into());
    };
    let shown = |seconds: f64| milliseconds(Duration::from_secs_f64(seconds));
    let gain = sequential / concurrent;
    let instance = "4 layers in Q4_K, experts 4 + 4, a thread per device";
    row(
        "decode, concurrent beside sequential",
        instance,
        &shown(concurrent),
        &shown(sequential),
        gain,
        Some(1.2),
    );
    row(
        "of the ceiling that the routing allows",
        instance,
        &format!("{gain:.3}"),
        &format!("{ceiling:.3}"),
        gain / ceiling,
        Some(0.85),
    );
    row("transfers measured beside planned", instance, "", "", equal, Some(1.0));
    Ok(())
}

/// Two budgeted devices on one GPU, half of the experts on either, against candle's own model on all of it.
fn gpu(layers: u64) -> Result<(), Failure> {
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
fn gpu_steps(
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

fn run_child(part: &str, path: &Path, environment: &[(&str, &str)]) -> Result<Vec<f64>, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--child", part]).arg(path).envs(environment.iter().copied());
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the child for `{part}` failed").into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

fn child(part: &str, path: &Path) -> Result<(), Failure> {
    if part == "two" {
        return two_child(path);
    }
    let quant = part.strip_prefix("memory:").filter(|name| *name != "stored");
    let question = Question { threads: 2, ..Question::new(path, quant, 1)? };
    let placed = question.load()?;
    let balance = placed.devices[0].ledger.balance();
    let peak = machine::peak_bytes().ok_or("this system does not say what a process took")?;
    println!("{} {} {peak}", balance.weights_bytes(), balance.peak_staged_bytes);
    Ok(())
}

fn two_child(path: &Path) -> Result<(), Failure> {
    const TOKENS: u64 = 40;
    let question = Question::new(path, None, 2)?;
    let mut times = [Vec::new(), Vec::new()];
    let mut both = Vec::new();
    for mode in [Mode::Sequential, Mode::Concurrent] {
        let mut decoder = Decoder::new(question.load()?, mode)?;
        let heard = Arc::new(Mutex::new(Heard::new(&question, 8)));
        decoder.observe(Some(Box::new(Arc::clone(&heard))));
        both.push((decoder, heard));
    }
    for (step, token) in (0..TOKENS).zip(prompt()) {
        for ((decoder, _), times) in both.iter_mut().zip(&mut times) {
            let (time, _) = clocked(|| Ok(decoder.forward(0, &[token], Wanted::Last)?))?;
            if step >= 8 {
                times.push(time);
            }
        }
    }
    let mut equal = true;
    let mut ceiling = 1.0;
    for (decoder, heard) in &both {
        let heard = heard.lock().map_err(|_| "an observer failed")?;
        let planned = TOKENS * heard.sends.of_chain() + heard.sends.to_experts();
        equal &= decoder.transfers().activations == planned;
        let (rest_bytes, expert_bytes) = read_per_token(decoder.placed());
        ceiling = heard.ceiling(TOKENS, rest_bytes, expert_bytes);
    }
    let [sequential, concurrent] = times.map(median);
    let equal = f64::from(u8::from(equal));
    println!("{} {} {ceiling} {equal}", sequential.as_secs_f64(), concurrent.as_secs_f64());
    Ok(())
}
