//! Pins and forbidden places: from patterns over names to the devices each component may use.
//!
//! A pattern that does nothing and rules that leave a component homeless are refused here, where the
//! words of the user are still known; the planner only ever sees the sets of devices that remain.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use globset::{Glob, GlobMatcher};

use super::{Attention, Scenario};
use crate::error::Error;
use crate::hardware::DeviceKind;
use crate::model::ComponentId;
use crate::problem::{Component, DeviceSet, Rule};

/// What a constraint demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConstraintKind {
    /// Only on the device.
    Pin,
    /// Anywhere but on the device.
    Forbid,
}

/// A rule as the user states it: a pattern over component names, and a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Constraint {
    /// Pin or forbid.
    pub kind: ConstraintKind,
    /// A glob over component names; `*` also crosses dots.
    pub pattern: String,
    /// The id of a device.
    pub device: String,
}

impl Constraint {
    /// Reads `GLOB=DEVICE`.
    ///
    /// ```
    /// use apportion::scenario::{Constraint, ConstraintKind};
    /// let pin = Constraint::parse(ConstraintKind::Pin, "layers.3.experts.*=gpu1").unwrap();
    /// assert_eq!((pin.pattern.as_str(), pin.device.as_str()), ("layers.3.experts.*", "gpu1"));
    /// assert!(Constraint::parse(ConstraintKind::Pin, "=gpu1").is_err());
    /// ```
    pub fn parse(kind: ConstraintKind, text: &str) -> Result<Self, Error> {
        let refuse = || Error::new(format!("read {}", kind.option())).object(text);
        let expected = "a pattern and a device, as in `layers.3.experts.*=gpu1`";
        let (pattern, device) =
            text.rsplit_once('=').ok_or_else(|| refuse().expected(expected).found("no `=`"))?;
        let (pattern, device) = (pattern.trim(), device.trim());
        if pattern.is_empty() || device.is_empty() {
            let missing = if pattern.is_empty() { "no pattern" } else { "no device" };
            return Err(refuse().expected(expected).found(missing));
        }
        let constraint = Self { kind, pattern: pattern.to_owned(), device: device.to_owned() };
        constraint.matcher()?;
        Ok(constraint)
    }

    /// `GLOB=DEVICE`, as [`Self::parse`] reads it.
    pub fn assignment(&self) -> String {
        format!("{}={}", self.pattern, self.device)
    }

    fn matcher(&self) -> Result<GlobMatcher, Error> {
        const CHARS_MAX: usize = 256;
        let refuse = || Error::new("use the pattern").object(&self.pattern);
        if self.pattern.len() > CHARS_MAX {
            return Err(refuse().expected(format!("at most {CHARS_MAX} characters")));
        }
        let glob = Glob::new(&self.pattern).map_err(|e| refuse().found(e.kind().to_string()))?;
        Ok(glob.compile_matcher())
    }

    /// The devices it leaves to what it matches.
    fn devices(&self, scenario: &Scenario) -> Result<DeviceSet, Error> {
        let all = &scenario.hardware.devices;
        let device = scenario.hardware.index_of(&self.device).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|d| d.id.clone()).collect();
            Error::new("apply")
                .object(self.to_string())
                .expected("a device of this machine")
                .found(format!("`{}`", self.device))
                .hint(format!("the devices are {}", quoted(&names)))
        })?;
        Ok(match self.kind {
            ConstraintKind::Pin => DeviceSet::only(device),
            ConstraintKind::Forbid => DeviceSet::first(all.len()).without(DeviceSet::only(device)),
        })
    }
}

impl ConstraintKind {
    /// The option that states it.
    pub fn option(self) -> &'static str {
        match self {
            Self::Pin => "--pin",
            Self::Forbid => "--forbid",
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}={}", self.kind.option(), self.pattern, self.device)
    }
}

/// Applies the constraints, the runtime's own rule, then the default pins where nothing else speaks, to `allowed` of every
/// component, and returns the rules in force.
pub(super) fn apply(scenario: &Scenario, components: &mut [Component]) -> Result<Vec<Rule>, Error> {
    let mut rules = scenario
        .constraints
        .iter()
        .map(|constraint| to_rule(constraint, scenario, components))
        .collect::<Result<Vec<_>, _>>()?;
    rules.extend(runtime_rule(scenario, components));
    // Replicated attention divides every layer's experts, the first layer's too.
    if scenario.default_pins && scenario.limits.attention == Attention::Single {
        rules.extend(default_rules(scenario, components, &rules));
    }
    narrow(components, &rules)?;
    Ok(rules)
}

fn to_rule(
    constraint: &Constraint,
    scenario: &Scenario,
    components: &[Component],
) -> Result<Rule, Error> {
    let devices = constraint.devices(scenario)?;
    let matched = matching(&constraint.matcher()?, components);
    if matched.is_empty() {
        let names: Vec<_> = components.iter().map(|c| c.demand.id.to_string()).collect();
        return Err(Error::new("apply")
            .object(constraint.to_string())
            .expected("a pattern that matches a component")
            .found("no match")
            .hint(format!(
                "the nearest names are {}",
                quoted(&nearest(&constraint.pattern, names))
            )));
    }
    Ok(Rule {
        text: constraint.to_string(),
        default: false,
        fixed: false,
        devices,
        components: matched,
    })
}

fn matching(matcher: &GlobMatcher, components: &[Component]) -> Vec<usize> {
    let names = components.iter().map(|c| c.demand.id.to_string());
    names.enumerate().filter(|(_, name)| matcher.is_match(name)).map(|(index, _)| index).collect()
}

/// Where the runtime itself keeps the embedding, when there is such a place among the devices.
fn runtime_rule(scenario: &Scenario, components: &[Component]) -> Option<Rule> {
    let devices = scenario.hardware.devices.iter().enumerate();
    let cpus = devices.filter(|(_, device)| device.kind == DeviceKind::Cpu);
    let host = DeviceSet(cpus.fold(0, |set, (d, _)| set | DeviceSet::only(d).0));
    let embedding = components.iter().position(|c| c.demand.id == ComponentId::Embedding)?;
    let runtime = &scenario.load.runtime;
    (runtime.rules().embedding_on_host && !host.is_empty()).then(|| Rule {
        text: format!("{} keeps the token embedding on the host", runtime.name()),
        default: false,
        fixed: true,
        devices: host,
        components: vec![embedding],
    })
}

/// Token ids enter at the first GPU, and the first layer's feed-forward part stays beside them.
fn default_rules(scenario: &Scenario, components: &[Component], explicit: &[Rule]) -> Vec<Rule> {
    let spoken_for: BTreeSet<ComponentId> = explicit
        .iter()
        .flat_map(|rule| &rule.components)
        .map(|&index| components[index].lives_with)
        .collect();
    let device = &scenario.hardware.devices[0].id;
    let mut by_pattern: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for (index, component) in components.iter().enumerate() {
        if let Some(pattern) = default_pattern(component.demand.id)
            && !spoken_for.contains(&component.lives_with)
        {
            by_pattern.entry(pattern).or_default().push(index);
        }
    }
    by_pattern
        .into_iter()
        .map(|((_, pattern), components)| Rule {
            text: format!("--pin {pattern}={device}"),
            default: true,
            fixed: false,
            devices: DeviceSet::only(0),
            components,
        })
        .collect()
}

fn default_pattern(id: ComponentId) -> Option<(usize, &'static str)> {
    match id {
        ComponentId::Embedding => Some((0, "embedding")),
        ComponentId::Mlp(0) => Some((1, "layers.0.mlp")),
        ComponentId::SharedExpert(0) => Some((2, "layers.0.shared_expert")),
        ComponentId::Expert(0, _) | ComponentId::ExpertMatrix(0, _) => {
            Some((3, "layers.0.experts.*"))
        }
        _ => None,
    }
}

/// Intersects over each group that lives together and writes the result to all of its members.
fn narrow(components: &mut [Component], rules: &[Rule]) -> Result<(), Error> {
    let mut allowed: BTreeMap<ComponentId, DeviceSet> = BTreeMap::new();
    for (position, rule) in rules.iter().enumerate() {
        for &index in &rule.components {
            let component = &components[index];
            let left = allowed.entry(component.lives_with).or_insert(component.allowed);
            *left = left.and(rule.devices);
            if left.is_empty() {
                return Err(contradiction(components, &rules[..=position], index));
            }
        }
    }
    for component in components {
        if let Some(&left) = allowed.get(&component.lives_with) {
            component.allowed = left;
        }
    }
    Ok(())
}

/// Names the rules that together leave `components[index]` nowhere; the last of `rules` is one.
fn contradiction(components: &[Component], rules: &[Rule], index: usize) -> Error {
    let group = components[index].lives_with;
    let touches = |rule: &&Rule| rule.components.iter().any(|&i| components[i].lives_with == group);
    let touching: Vec<&Rule> = rules.iter().filter(touches).collect();
    // Two rules that exclude each other say it shortest; otherwise it takes all of them.
    let pair = touching.last().and_then(|last| {
        let first = touching.iter().find(|rule| rule.devices.and(last.devices).is_empty())?;
        Some(vec![first.text.clone(), last.text.clone()])
    });
    let named = pair.unwrap_or_else(|| touching.iter().map(|rule| rule.text.clone()).collect());
    let error = Error::new("apply the pins and forbidden places")
        .object(components[index].demand.id.to_string())
        .expected("at least one device left")
        .found(format!("none under {}", quoted(&named)));
    let together = components.iter().filter(|c| c.lives_with == group);
    let together: Vec<String> = together.map(|c| c.demand.id.to_string()).collect();
    if together.len() > 1 {
        error.hint(format!("{} live together", quoted(&together)))
    } else {
        error
    }
}

/// The three names that look most like `pattern`.
fn nearest(pattern: &str, mut names: Vec<String>) -> Vec<String> {
    let shared = |name: &str| pattern.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    // A typo late in the name is likelier than one early; further ties keep the canonical order.
    names.sort_by_cached_key(|name| (strsim::levenshtein(pattern, name), Reverse(shared(name))));
    names.truncate(3);
    names
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
