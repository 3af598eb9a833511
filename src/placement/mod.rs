//! The map: which device each component lives on, in memory and on disk.
//!
//! # placement.yaml, version 1
//!
//! A file says everything needed to check it: the model as a family and its config facts, how it is
//! stored and used, the machine, the constraints, what was minimised and what was proven, the bytes on
//! each device, and the map. Keys stand in this order, and equal answers give equal files, byte for
//! byte: no times, no paths, no host names.
//!
//! | key | holds |
//! |---|---|
//! | `version` | `1` |
//! | `model` | `name`, `family`, `fingerprint` (SHA-256 over the model's tensors), `config` |
//! | `quantization`, `context`, `batch`, `kv_type`, `staging` | how it is stored, used and loaded |
//! | `hardware[]` | `id`, `kind` (`gpu` or `cpu`), `capacity_bytes`, `reserve_bytes`; where speeds or links are known, `node`, `bandwidth_bytes_per_second`, `bandwidth_by_type` (other rates by storage type), `flops` |
//! | `links` | where some are known: `between[]` (`ends`: two devices, two nodes or one of each), `within[]` (`node`: between its devices) and `default`, each with `latency_ps` and `bytes_per_second` |
//! | `constraints` | `default_pins`, and `pins[]` and `forbids[]` as `GLOB=DEVICE`; where there are some, `headroom[]` as `[DEVICE=]SIZE`, `max_devices`, `max_moved_bytes` (away from `current`), `sends`, `layer_devices` (`sequential` or `concurrent`), `granularity` (`layer`, `experts` or `fused_matrix`), `attention` (`replicated`: the map is of the experts, all else is on every device, and `traffic` is of nothing) |
//! | `routing[]` | where it was made for some, routing statistics: `model`, `text`, `source`, `tokens`, `top_k`, `counts` as in [their own files](crate::routing), and `set_counts` with one text per layer, `0,1:5 0,2:7` for sets and how many tokens chose them |
//! | `affinity` | where attention is replicated and pairs were counted, `tokens`, `top_k`, `pair_counts[]`: a matrix for each pair of consecutive layers with experts |
//! | `current` | where `migration` is an objective, the map it counts from; `(nowhere)` for what must be loaded wherever it goes |
//! | `problem` | SHA-256 over the problem all of this states ([`crate::scenario::fingerprint`]) |
//! | `status`, `limit` | `optimal`, or `feasible` and the limit (`nodes`, `time`, `precision`) that stopped the proof |
//! | `objectives[]` | `name`, `value`, `optimum`, `bound`, `gap`, `tolerance`, `cap` |
//! | `traffic` | `hand_overs`, `remote_experts`, `expected_transfers_per_token` |
//! | `solver` | `name`, `nodes` |
//! | `devices[]` | `id` and bytes: `used`, `weights`, `kv_cache`, `workspace`, `reserve`, `staging` |
//! | `map` | lines of names with ranges; the grammar is [below](#the-map) |
//!
//! Bytes are integers and every other exact value is a fraction such as `8/8`; `gap` has nine decimals
//! and is (optimum - bound) / optimum. `cap` is the optimum with its tolerance on top, floored for
//! bytes.
//!
//! # The map
//!
//! ```text
//! line     = name ": " device
//! name     = "embedding" | "final_norm" | "output_head"
//!          | "layers." numbers "." ( "attention" | "router" | "mlp" | "shared_expert" )
//!          | "layers." numbers ".experts." ( numbers | "up" | "gate" | "gate_up" | "down" )
//! numbers  = range { "," range }
//! range    = number [ "-" number ]          both ends included
//! ```
//!
//! Numbers ascend, so `layers.1-15.experts.0,2,4-6` names each of its 15 x 5 experts once. Every component
//! of the model must be named exactly once over all lines.

mod certified;
mod check;
mod diff;
pub(crate) mod emit;
mod model;
mod network;
mod ranges;
mod read;
mod record;
mod routing;
mod wishes;
mod write;

pub use certified::uncertified;
pub use check::{Difference, differences};
pub use diff::{Changed, Diff, Moved, Side};
pub(crate) use ranges::named_by;
pub use ranges::{Line, expand, lines};
pub(crate) use record::limit_name;
pub use record::{DeviceRecord, ObjectiveRecord, Record, Status, TrafficRecord};

pub use crate::problem::Placement;
