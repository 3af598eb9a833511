//! The rules a profile consists of: their names, what each may say, and what they say together.

use std::collections::BTreeMap;

use super::KvType;
use crate::error::Error;
use crate::quant::{Staging, choose};
use crate::units::{Ratio, parse_bytes};

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Bytes, as a number or with a unit, at most 1 TiB.
    Bytes,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Types of the KV cache, separated by commas.
    KvTypes,
    /// A fraction above zero and at most one, as `9/10`.
    Fraction,
}

const BYTES_MAX: u64 = 1 << 40;
const TOKENS_MAX: u64 = 1 << 31;

/// Every rule, in the order they are printed: what it may say and what it decides.
pub(super) const RULES: [(&str, Form); 24] = [
    ("kv_types", Form::KvTypes),
    ("kv_cells_multiple", Form::Count(1, 1 << 16)),
    ("kv_sequences", Form::Word(&["together", "separate"])),
    ("kv_window", Form::Word(&["kept", "converted", "ignored"])),
    ("kv_window_extra_tokens", Form::Count(0, TOKENS_MAX)),
    ("kv_window_spare_cells", Form::Count(0, 1 << 16)),
    ("kv_latent", Form::Word(&["kept", "expanded"])),
    ("kv_latent_value_width", Form::Count(0, 1 << 20)),
    ("workspace", Form::Word(&["reference", "ggml_graph", "torch"])),
    ("micro_batch_tokens", Form::Count(1, TOKENS_MAX)),
    ("micro_batch", Form::Word(&["together", "separate", "filled"])),
    ("activation_bytes", Form::Count(1, 8)),
    ("flash_attention", Form::Word(&["true", "false"])),
    ("mask_bytes", Form::Count(0, 8)),
    ("logits_tokens", Form::Count(1, TOKENS_MAX)),
    ("staging", Form::Word(&["scheme", "device", "host", "none"])),
    ("rounding", Form::Word(&["none", "torch", "ggml_cuda"])),
    ("driver_context_bytes", Form::Bytes),
    ("blas_workspace_bytes", Form::Bytes),
    ("graph_copies", Form::Count(1, 16)),
    ("usable_fraction", Form::Fraction),
    ("embedding", Form::Word(&["anywhere", "host"])),
    ("sends", Form::Word(&["per_expert", "per_device"])),
    ("layer_devices", Form::Word(&["sequential", "concurrent"])),
];

/// Whether sequences share something or have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequences {
    /// One for all of them.
    Together,
    /// One each.
    Separate,
}

/// Whose tokens a micro-batch is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MicroBatch {
    /// Those of all sequences, as far as there are any.
    Together,
    /// Those of each sequence, as far as there are any.
    Separate,
    /// It is full, whatever is asked.
    Filled,
}

/// The closed set of ways to size activations; [`crate::memory`] states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    /// The reference runtime's buffers.
    Reference,
    /// The high-water mark of one ggml graph.
    GgmlGraph,
    /// Tensors that PyTorch keeps alive together.
    Torch,
}

/// What an allocator adds to a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Nothing.
    None,
    /// PyTorch's caching allocator.
    Torch,
    /// ggml's CUDA buffers.
    GgmlCuda,
}

/// How a token is sent to the experts that are not on their layer's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendRule {
    /// There and back for every chosen expert.
    PerExpert,
    /// There and back once for every device with a chosen expert.
    PerDevice,
}

impl SendRule {
    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::PerExpert => "per_expert",
            Self::PerDevice => "per_device",
        }
    }
}

/// How the devices that hold parts of one layer go about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerDevices {
    /// One after the other.
    Sequential,
    /// At the same time.
    Concurrent,
}

impl LayerDevices {
    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Concurrent => "concurrent",
        }
    }
}

/// What a layer with a sliding window keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// Only the window that the model's config says.
    Kept,
    /// The window where the architecture that its files are converted to has one.
    Converted,
    /// The whole context.
    Ignored,
}

/// The rules as values; the profile's documentation says what each decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Types the KV cache can have.
    pub kv_types: Vec<KvType>,
    /// A cache has a multiple of this many cells, one per token.
    pub kv_cells_multiple: u64,
    /// Whether sequences share one cache.
    pub kv_sequences: Sequences,
    /// What of its sliding window a layer keeps.
    pub windows: Windows,
    /// Cells such a layer has beyond its window, before rounding.
    pub kv_window_extra_tokens: u64,
    /// Cells such a layer has on top, after rounding.
    pub kv_window_spare_cells: u64,
    /// Whether latent attention keeps full keys and values.
    pub latent_expanded: bool,
    /// Elements of a value kept beside a latent key.
    pub kv_latent_value_width: u64,
    /// How activations are sized.
    pub workspace: Activations,
    /// Tokens of a prompt computed at once.
    pub micro_batch_tokens: u64,
    /// Whether that many of all sequences or of each.
    pub micro_batch: MicroBatch,
    /// Bytes of an activation.
    pub activation_bytes: u64,
    /// Whether scores are never written.
    pub flash_attention: bool,
    /// Bytes of the mask per token and cell.
    pub mask_bytes: u64,
    /// Tokens of a sequence that logits are computed for at once.
    pub logits_tokens: u64,
    /// Where quantizing stages; `None` where the scheme says.
    pub staging: Option<Staging>,
    /// What the allocator adds to each tensor.
    pub rounding: Rounding,
    /// What the driver takes of each GPU that is used.
    pub driver_context_bytes: u64,
    /// What the matrix library keeps on each GPU.
    pub blas_workspace_bytes: u64,
    /// Copies of a graph's inputs where several GPUs take turns.
    pub graph_copies: u64,
    /// How much of a GPU the runtime uses.
    pub usable_fraction: Ratio,
    /// Whether the token embedding never leaves host memory.
    pub embedding_on_host: bool,
    /// How a token is sent to experts elsewhere.
    pub sends: SendRule,
    /// Whether the devices of a layer take turns.
    pub layer_devices: LayerDevices,
}

/// The value as it is kept and compared, or what was expected instead.
pub(super) fn canonical(form: Form, text: &str) -> Result<String, Error> {
    let refuse = |expected: String| {
        Error::new("use the value").expected(expected).found(format!("`{}`", text.trim()))
    };
    match form {
        Form::Bytes => parse_bytes(text)
            .ok()
            .filter(|&bytes| bytes <= BYTES_MAX)
            .map(|bytes| bytes.to_string())
            .ok_or_else(|| refuse("a size such as `300MiB`, at most 1 TiB".to_owned())),
        Form::Count(min, max) => text
            .trim()
            .parse::<u64>()
            .ok()
            .filter(|count| (min..=max).contains(count))
            .map(|count| count.to_string())
            .ok_or_else(|| refuse(format!("a whole number from {min} to {max}"))),
        Form::Word(words) => choose(text, "use the value", words, |word| word).map(str::to_owned),
        Form::KvTypes => {
            let types =
                text.split(',').map(KvType::parse).collect::<Result<Vec<KvType>, Error>>()?;
            let mut types: Vec<&str> = types.into_iter().map(KvType::name).collect();
            let all = types.len();
            types.sort_unstable();
            types.dedup();
            if types.len() < all {
                return Err(refuse("each type once".to_owned()));
            }
            let named = KvType::ALL.iter().map(|t| t.name()).filter(|name| types.contains(name));
            Ok(named.collect::<Vec<_>>().join(", "))
        }
        Form::Fraction => fraction(text)
            .filter(|f| f.numerator() > 0 && f.numerator() <= f.denominator())
            .map(|f| f.to_string())
            .ok_or_else(|| refuse("a fraction such as `9/10`, at most 1/1".to_owned())),
    }
}

fn fraction(text: &str) -> Option<Ratio> {
    const DENOMINATOR_MAX: u64 = 1_000_000;
    let (numerator, denominator) = text.trim().split_once('/')?;
    let denominator = denominator.parse().ok().filter(|d| (1..=DENOMINATOR_MAX).contains(d))?;
    Some(Ratio::new(numerator.parse().ok()?, denominator))
}

impl Rules {
    /// From canonical values of every rule.
    pub(super) fn of(values: &BTreeMap<&'static str, String>) -> Self {
        let text = |rule: &str| values.get(rule).map_or("", String::as_str);
        let number = |rule: &str| text(rule).parse().unwrap_or(0);
        let sequences = |rule: &str| {
            if text(rule) == "together" { Sequences::Together } else { Sequences::Separate }
        };
        Self {
            kv_types: text("kv_types").split(',').flat_map(KvType::parse).collect(),
            kv_cells_multiple: number("kv_cells_multiple").max(1),
            kv_sequences: sequences("kv_sequences"),
            windows: match text("kv_window") {
                "kept" => Windows::Kept,
                "converted" => Windows::Converted,
                _ => Windows::Ignored,
            },
            kv_window_extra_tokens: number("kv_window_extra_tokens"),
            kv_window_spare_cells: number("kv_window_spare_cells"),
            latent_expanded: text("kv_latent") == "expanded",
            kv_latent_value_width: number("kv_latent_value_width"),
            workspace: match text("workspace") {
                "ggml_graph" => Activations::GgmlGraph,
                "torch" => Activations::Torch,
                _ => Activations::Reference,
            },
            micro_batch_tokens: number("micro_batch_tokens"),
            micro_batch: match text("micro_batch") {
                "together" => MicroBatch::Together,
                "filled" => MicroBatch::Filled,
                _ => MicroBatch::Separate,
            },
            activation_bytes: number("activation_bytes"),
            flash_attention: text("flash_attention") == "true",
            mask_bytes: number("mask_bytes"),
            logits_tokens: number("logits_tokens"),
            staging: Staging::parse(text("staging")).ok(),
            rounding: match text("rounding") {
                "torch" => Rounding::Torch,
                "ggml_cuda" => Rounding::GgmlCuda,
                _ => Rounding::None,
            },
            driver_context_bytes: number("driver_context_bytes"),
            blas_workspace_bytes: number("blas_workspace_bytes"),
            graph_copies: number("graph_copies").max(1),
            usable_fraction: fraction(text("usable_fraction")).unwrap_or(Ratio::new(1, 1)),
            embedding_on_host: text("embedding") == "host",
            sends: if text("sends") == "per_device" {
                SendRule::PerDevice
            } else {
                SendRule::PerExpert
            },
            layer_devices: if text("layer_devices") == "concurrent" {
                LayerDevices::Concurrent
            } else {
                LayerDevices::Sequential
            },
        }
    }
}
