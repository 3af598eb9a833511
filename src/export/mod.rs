//! Maps in the words of other runtimes.
//!
//! An [`Exporter`] restates a verified placement as what one consumer reads: flags, a file, an environment
//! variable. It may only say what the consumer will do. Most consumers hold less apart than a map can, so each
//! names the finest [unit](Exporter::unit) it can place on its own and what it [places itself](Exporter::fixed)
//! whatever it is told; [`export`] compares both with the map before a word is written, and answers with a
//! [`Refusal`] that names the first component that cannot be said. [`project()`] moves whole units, when asked.
//!
//! # Adding a consumer
//!
//! 1. Read the consumer's source or documentation for how it parses a placement, what its finest unit is and what
//!    it does with everything the format cannot address. State both with the version in the module's heading.
//! 2. Write one file here with a unit struct that implements [`Exporter`], and add it to [`all`] in alphabetical
//!    order. Nothing else in the crate names it.
//! 3. [`Exporter::unit`] and [`Exporter::fixed`] cover what does not fit its units. What else it cannot do
//!    (devices in another order, no CPU, equal counts) is refused in [`Exporter::write`] by [`Refusal::new`],
//!    with the component and the wishes under which a map can be said.
//! 4. Options of its own are named in [`Exporter::options`], typed in `src/cli/args/export.rs` and read from
//!    [`Options`]; one that the consumer in question does not read is refused for it.
//! 5. Names of models and devices come from outside: quote them by the rules of the target language (see
//!    [`quote`]) or refuse what cannot be quoted. Never paste them.
//! 6. Tests: a golden file in `tests/golden/export/`, a refusal with its exact words, and a script in `tests/peers/`
//!    in which the consumer itself reads what was written.

mod accelerate;
mod again;
mod csv;
mod engines;
mod json;
mod ktransformers;
pub mod llama_cpp;
mod machine;
mod markdown;
mod mistralrs;
mod modules;
mod options;
mod pipeline;
pub mod quote;
mod sglang;
mod units;
mod vllm;

pub use again::command;
pub use options::Options;
pub use units::project;

use crate::error::{Error, printable};
use crate::hardware::{Device, DeviceKind};
use crate::model::ComponentId;
use crate::nearest::did_you_mean;
use crate::problem::{Placement, Problem};
use crate::scenario::{Granularity, Scenario};
use crate::verify::Measured;

/// A consumer of maps.
pub trait Exporter: Sync {
    /// What `--to` calls it.
    fn name(&self) -> &'static str;

    /// What is written, in a line.
    fn about(&self) -> &'static str;

    /// The names of the options it reads, without hyphens; see [`Options`].
    fn options(&self) -> &'static [&'static str] {
        &[]
    }

    /// The finest unit it can place on its own; `None` when it can say whatever a map can.
    ///
    /// # Errors
    /// An option that it reads with a value that it does not know.
    fn unit(&self, options: &Options) -> Result<Option<Granularity>, Error>;

    /// As [`Self::unit`], for a map whose model may have less that can be taken apart.
    ///
    /// # Errors
    /// As there, and a model whose parts it has no names for.
    fn unit_of(&self, plan: &Plan<'_>, options: &Options) -> Result<Option<Granularity>, Error> {
        let _ = plan;
        self.unit(options)
    }

    /// Whether it can say a map whose attention is on every device and whose experts are divided.
    fn replicated(&self) -> bool {
        false
    }

    /// Whether it is told of one machine only, so that a map over several nodes cannot be said.
    fn one_machine(&self) -> bool {
        false
    }

    /// The runtime by whose rules memory is planned for it, where a profile fits.
    fn runtime(&self) -> Option<&'static str> {
        None
    }

    /// Looks at what comes before any map: of which files and by which rules the bytes are.
    ///
    /// # Errors
    /// Bytes that say nothing of this consumer.
    fn check(&self, plan: &Plan<'_>) -> Result<(), Error> {
        let _ = plan;
        Ok(())
    }

    /// The device where it puts the component whatever it is told, with the reason as a clause; `None` for what it
    /// can be told.
    fn fixed(
        &self,
        plan: &Plan<'_>,
        options: &Options,
        id: ComponentId,
    ) -> Option<(usize, &'static str)> {
        let _ = (plan, options, id);
        None
    }

    /// Whether what is fixed goes where other components are, and not to the same device in every map: then no pin
    /// of `solve` says so.
    fn follows(&self) -> bool {
        false
    }

    /// The map that it makes of one whose units are whole, where it divides by a rule of its own; `None` where it
    /// keeps that map.
    fn reshape(&self, plan: &Plan<'_>, options: &Options) -> Option<Placement> {
        let _ = (plan, options);
        None
    }

    /// Restates a map whose units are whole and whose fixed components are where they are put.
    ///
    /// # Errors
    /// What it cannot say for another reason, or an option that makes no sense.
    fn write(&self, plan: &Plan<'_>, options: &Options) -> Result<Export, Stop>;
}

/// A verified placement with the question it answers.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The question.
    pub scenario: &'a Scenario,
    /// The problem it states.
    pub problem: &'a Problem,
    /// The map; [`crate::verify::verify`] has passed it.
    pub placement: &'a Placement,
    /// What was measured of it.
    pub measured: &'a Measured,
}

impl Plan<'_> {
    /// Each component with its device index, in canonical order.
    pub fn homes(&self) -> impl Iterator<Item = (ComponentId, usize)> {
        let ids = self.problem.components.iter().map(|c| c.demand.id);
        ids.zip(self.placement.device_of.iter().copied())
    }

    /// The device index of a component, if the problem has it.
    pub fn home(&self, id: ComponentId) -> Option<usize> {
        self.problem.index_of(id).map(|index| self.placement.device_of[index])
    }

    /// The device of that index.
    pub fn device(&self, index: usize) -> &Device {
        &self.problem.devices[index]
    }

    /// Whether the device of that index is a GPU.
    pub fn is_gpu(&self, index: usize) -> bool {
        self.device(index).kind == DeviceKind::Gpu
    }
}

/// What is written for a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// For stdout, or for the file of `-o`.
    pub text: String,
    /// Files beside it.
    pub beside: Vec<Beside>,
    /// What a person should know about it, each in a line.
    pub notes: Vec<String>,
}

impl Export {
    /// Only a text.
    pub fn of(text: String) -> Self {
        Self { text, beside: Vec::new(), notes: Vec::new() }
    }
}

/// A file beside the main one: `map.json` and a suffix `max_memory.json` make `map.max_memory.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// What follows the main file's name without its extension and a dot.
    pub suffix: &'static str,
    /// What it holds.
    pub text: String,
}

/// Why there is no export.
#[derive(Debug)]
pub enum Stop {
    /// The consumer cannot say this map: an answer.
    Refused(Refusal),
    /// It could not be asked.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a consumer cannot say of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The first component it cannot place so, in canonical order.
    pub component: ComponentId,
    /// Where the map has it.
    pub device: String,
    /// Why not, as a clause.
    pub reason: String,
    /// Options of `solve` under which the answer can be said, as words.
    pub wishes: Vec<String>,
    /// Whether [`project()`] makes it sayable.
    pub can_project: bool,
}

impl Refusal {
    /// One that no projection mends; `wishes` as they are typed.
    pub fn new<const N: usize>(
        plan: &Plan<'_>,
        component: ComponentId,
        reason: impl Into<String>,
        wishes: [&str; N],
    ) -> Self {
        let device = plan.home(component).map(|device| plan.device(device).id.clone());
        Self {
            component,
            device: device.unwrap_or_default(),
            reason: reason.into(),
            wishes: wishes.map(str::to_owned).to_vec(),
            can_project: false,
        }
    }

    /// `accelerate cannot hold layers.3.experts.5 on gpu1: ...`.
    pub fn sentence(&self, exporter: &dyn Exporter) -> String {
        format!(
            "{} cannot hold `{}` on {}: {}",
            exporter.name(),
            self.component,
            printable(&self.device),
            self.reason
        )
    }
}

/// Every consumer, in alphabetical order.
pub fn all() -> [&'static dyn Exporter; 9] {
    [
        &accelerate::Accelerate,
        &csv::Csv,
        &json::Json,
        &ktransformers::Ktransformers,
        &llama_cpp::LlamaCpp,
        &markdown::Markdown,
        &mistralrs::MistralRs,
        &sglang::Sglang,
        &vllm::Vllm,
    ]
}

/// The consumer of that name.
///
/// # Errors
/// A name that is none's.
pub fn named(name: &str) -> Result<&'static dyn Exporter, Error> {
    all().into_iter().find(|exporter| exporter.name() == name).ok_or_else(|| {
        let names = || all().into_iter().map(Exporter::name);
        let list = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let hint = did_you_mean(name, names())
            .unwrap_or_else(|| "`apportion export --list` says what each is".to_owned());
        Error::new("export to").object(name).expected(format!("one of {list}")).hint(hint)
    })
}

/// Restates the map for a consumer, after comparing it with what the consumer can hold apart.
///
/// # Errors
/// A map it cannot say, and options that are not its own or make no sense.
pub fn export(exporter: &dyn Exporter, plan: &Plan<'_>, options: &Options) -> Result<Export, Stop> {
    options.check(exporter)?;
    exporter.check(plan)?;
    if exporter.one_machine() {
        machine::one(plan)?;
    }
    if let Some(refusal) = units::first_split(exporter, plan, options)? {
        return Err(refusal.into());
    }
    exporter.write(plan, options)
}

/// `1 module`, `2 modules`.
fn counted(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// The shell line that leaves a consumer one GPU.
fn visible_gpu(plan: &Plan<'_>, gpu: usize) -> String {
    pipeline::visible(plan, std::iter::once(gpu))
}
