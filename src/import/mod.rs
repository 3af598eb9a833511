//! Maps that were made for other runtimes, as placements.
//!
//! An [`Importer`] reads what one consumer is told and says where that puts every component of a question's
//! model. What it means is the consumer's business and stands in its file here; what it is worth is for
//! [`crate::verify`]. A map that leaves out parts of the model, puts one in two places or names a device that the
//! question has not is an error with that name; what the consumer itself would overlook is a note.
//!
//! # Adding a format
//!
//! One file with a unit struct that implements [`Importer`], added to [`all`]. It reads hostile input: bounded
//! before it is expanded, no panics, every message with the place. `Homes::placement` finishes what all of them
//! share: which components must follow others, and which have no place.

mod accelerate;
mod llama_cpp;

use std::collections::BTreeMap;

use crate::error::Error;
use crate::export::Options;
use crate::model::ComponentId;
use crate::nearest::did_you_mean;
use crate::problem::{Placement, Problem};
use crate::scenario::{Attention, Scenario};

/// A format of maps.
pub trait Importer: Sync {
    /// What `--from` calls it.
    fn name(&self) -> &'static str;

    /// What is read, in a line.
    fn about(&self) -> &'static str;

    /// The names of the options it reads, without hyphens; see [`Options`].
    fn options(&self) -> &'static [&'static str] {
        &[]
    }

    /// Where the map puts the components of the question.
    ///
    /// # Errors
    /// A text that is no such map, and one that does not say one place on this machine for each component.
    fn read(&self, text: &str, question: &Question<'_>) -> Result<Import, Error>;
}

/// What a map is read for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The model, its use and the machine.
    pub scenario: &'a Scenario,
    /// The problem it states.
    pub problem: &'a Problem,
    /// What the format calls the devices, as far as that was said.
    pub options: &'a Options,
}

/// A map that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Where everything is; it may violate whatever the question demands.
    pub placement: Placement,
    /// What is odd about it, a sentence each.
    pub notes: Vec<String>,
}

/// Every format, in alphabetical order.
pub fn all() -> [&'static dyn Importer; 2] {
    [&accelerate::Accelerate, &llama_cpp::LlamaCpp]
}

/// The format of that name.
///
/// # Errors
/// A name that is none's.
pub fn named(name: &str) -> Result<&'static dyn Importer, Error> {
    all().into_iter().find(|importer| importer.name() == name).ok_or_else(|| {
        let names = || all().into_iter().map(Importer::name);
        let list = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let error = Error::new("read a map from").object(name).expected(format!("one of {list}"));
        match did_you_mean(name, names()) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

/// Reads a map of that format.
///
/// # Errors
/// As [`Importer::read`], options that the format does not read, and a question with attention on every device: no format here says such a map.
pub fn import(
    importer: &dyn Importer,
    text: &str,
    question: &Question<'_>,
) -> Result<Import, Error> {
    if let Some(other) = question.options.unread(importer.options()) {
        let whose = all().into_iter().filter(|one| one.options().contains(&other));
        let whose: Vec<String> = whose.map(|one| format!("--from {}", one.name())).collect();
        return Err(Error::new(format!("read a map from {}", importer.name()))
            .place(format!("--{other}"))
            .expected(format!("it with {} only", whose.join(" or "))));
    }
    if question.scenario.limits.attention == Attention::Replicated {
        return Err(Error::new(format!("read a map from {}", importer.name()))
            .expected("a question with one home for each layer's attention")
            .found("--attention replicated"));
    }
    importer.read(text, question)
}

/// Devices of components as a format says them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Homes {
    /// By component.
    pub(crate) of: BTreeMap<ComponentId, usize>,
    /// What is odd.
    pub(crate) notes: Vec<String>,
}

impl Homes {
    /// As a placement. Routers, and the final norm, are planned together with what they belong to; a map that has
    /// them elsewhere is read as if it had not, with a note. All matrices of a layer's experts are where its
    /// experts are.
    ///
    /// # Errors
    /// A component without a device.
    pub(crate) fn placement(mut self, problem: &Problem) -> Result<Import, Error> {
        let mut device_of = Vec::with_capacity(problem.components.len());
        for component in &problem.components {
            let id = component.demand.id;
            let home = self.home(problem, id).ok_or_else(|| {
                Error::new("read the map")
                    .object(id.to_string())
                    .expected("a device for it")
                    .found("none")
            })?;
            device_of.push(home);
        }
        let mut apart: Option<(ComponentId, ComponentId)> = None;
        let mut followers = 0;
        for (index, component) in problem.components.iter().enumerate() {
            let (id, with) = (component.demand.id, component.lives_with);
            let small = matches!(id, ComponentId::Router(_) | ComponentId::FinalNorm);
            let Some(leader) = problem.index_of(with).filter(|_| small) else { continue };
            if device_of[index] != device_of[leader] {
                device_of[index] = device_of[leader];
                apart.get_or_insert((id, with));
                followers += 1;
            }
        }
        if let Some((id, with)) = apart {
            let more = match followers {
                1 => String::new(),
                more => format!(" (and {} more)", more - 1),
            };
            self.notes.push(format!("`{id}`{more} is counted on the device of `{with}`"));
        }
        Ok(Import { placement: Placement { device_of }, notes: self.notes })
    }

    fn home(&self, problem: &Problem, id: ComponentId) -> Option<usize> {
        let at = |id| self.of.get(&id).copied();
        match id {
            ComponentId::ExpertMatrix(layer, _) => {
                at(id).or_else(|| at(ComponentId::Expert(layer, 0)))
            }
            // A second copy of the matrix, where a runtime makes one, is nowhere said otherwise.
            ComponentId::OutputHead if problem.index_of(ComponentId::Embedding).is_some() => {
                at(id).or_else(|| at(ComponentId::Embedding))
            }
            id => at(id),
        }
    }
}
