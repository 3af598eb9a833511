//! Why an answer differs from the recorded one, by the facts that were recorded with it.
//!
//! A question that became another one explains itself: its estimate, its constraints or its objectives are
//! others. Only where all of them are the same is it the search that went another way: another bound, other
//! effort, another of several equally good maps.

use serde_json::{Map, Value};

use super::ask::Now;
use super::judge::Difference;
use super::moves::moves;
use crate::units::{Ratio, format_bytes, told};

/// What kind of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The bytes or the costs of components.
    Estimate,
    /// The machine, rules and limits.
    Constraint,
    /// What is minimised, in which order and within which tolerances.
    Objective,
    /// The same problem with other values: the search found something better or worse.
    Search,
    /// The same problem and values, a weaker or stronger proof.
    Bound,
    /// The same problem and values, another map.
    Tie,
    /// More or fewer nodes.
    Effort,
    /// Nothing that was recorded differs: what is expected was edited.
    Expectation,
    /// Nothing was recorded that could tell.
    Unrecorded,
}

impl Class {
    /// As reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Estimate => "estimate changed",
            Self::Constraint => "constraint changed",
            Self::Objective => "objective changed",
            Self::Search => "search changed",
            Self::Bound => "bound changed",
            Self::Tie => "tie broken otherwise",
            Self::Effort => "solver effort changed",
            Self::Expectation => "expectation edited",
            Self::Unrecorded => "reason not recorded",
        }
    }
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What kind.
    pub class: Class,
    /// What moved, by how much.
    pub text: String,
}

/// Everything that explains the differences, the question's own changes first.
pub(super) fn reasons(
    recorded: Option<&Map<String, Value>>,
    now: &Now,
    differences: &[Difference],
) -> Vec<Reason> {
    let Some(recorded) = recorded.filter(|recorded| !recorded.is_empty()) else {
        let text = "no facts were recorded; `apportion ci --update` records them";
        return vec![Reason { class: Class::Unrecorded, text: text.to_owned() }];
    };
    let sides = Sides { old: recorded, new: &now.facts };
    let mut found = sides.estimate(differences);
    found.extend(sides.constraints());
    found.extend(sides.objectives());
    if found.is_empty() && sides.differ("problem") {
        let text = "the problem is another one; what was recorded does not tell which part of it";
        found.push(Reason { class: Class::Unrecorded, text: text.to_owned() });
    }
    if found.is_empty() {
        found = sides.search(differences);
    }
    found
}

/// Why a placement file is not what solving its question gives; `untrue` where it is not even valid.
///
/// `other_problem` says why the file states another problem than it did, and is empty where it does not.
pub(super) fn reasons_of_placement(
    recorded: &Map<String, Value>,
    now: &Now,
    (other_problem, untrue): (Vec<Reason>, bool),
    differences: &[Difference],
) -> Vec<Reason> {
    if !other_problem.is_empty() {
        return other_problem;
    }
    if untrue {
        let text = "the file says what is not so of its own map; it was edited since";
        return vec![Reason { class: Class::Expectation, text: text.to_owned() }];
    }
    Sides { old: recorded, new: &now.facts }.search(differences)
}

/// Facts as recorded and as they are.
struct Sides<'a> {
    old: &'a Map<String, Value>,
    new: &'a Map<String, Value>,
}

impl<'a> Sides<'a> {
    fn differ(&self, key: &str) -> bool {
        self.old.get(key).is_some_and(|old| Some(old) != self.new.get(key))
    }

    fn maps(&self, key: &str) -> (&'a Map<String, Value>, &'a Map<String, Value>) {
        (map(self.old.get(key)), map(self.new.get(key)))
    }

    /// Bytes and costs: what in the question made them others, of which kinds, on which devices.
    fn estimate(&self, differences: &[Difference]) -> Vec<Reason> {
        let mut texts = Vec::new();
        let (old, new) = self.maps("estimate");
        if old.is_empty() || old == new {
            return Vec::new();
        }
        let (asked, asked_now) = self.maps("asked");
        for (key, from, to) in changes(asked, asked_now) {
            match key {
                "tensors" => {}
                "parameters" => {
                    texts.push(format!("the model has {} parameters, not {}", say(to), say(from)));
                }
                _ => texts.push(format!("{key} from {} to {}", say(from), say(to))),
            }
        }
        let (config, config_now) = self.maps("config");
        for (key, from, to) in changes(config, config_now) {
            texts.push(format!("config key `{key}` from {} to {}", say(from), say(to)));
        }
        let kinds = texts.len();
        for (kind, from, to) in changes(old, new) {
            texts.extend(of_kind(kind, map(from), map(to)));
        }
        if texts.len() == kinds && differs(old, new, "bytes") {
            texts.push("bytes moved between components of one kind".to_owned());
        }
        if differs(old, new, "costs") {
            let what = "what transfers, chosen experts or times cost";
            texts.push(format!("{what} (how tokens are sent, routing statistics, speeds)"));
        }
        let (devices, devices_now) = self.maps("devices");
        for (id, from, to) in changes(devices, devices_now) {
            // Where the bytes of the device are expected, they are among the differences.
            let key = format!("devices.{id}");
            let of_device = |difference: &Difference| {
                let rest = difference.key.strip_prefix(&key);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if differences.iter().any(of_device) {
                continue;
            }
            let used = |device: Option<&Value>| map(device).get("used").and_then(Value::as_u64);
            if let (Some(from), Some(to)) = (used(from), used(to)) {
                texts.extend((from != to).then(|| format!("{id} now holds {}", moved(from, to))));
            }
        }
        all(Class::Estimate, texts)
    }

    /// The machine and the rules.
    fn constraints(&self) -> Vec<Reason> {
        let mut texts = Vec::new();
        let (old, new) = self.maps("devices");
        let same_devices = old.is_empty() || old.keys().eq(new.keys());
        for (id, from, to) in changes(old, new) {
            match (from, to) {
                (None, _) => texts.push(format!("device {id} is new")),
                (_, None) => texts.push(format!("device {id} is gone")),
                (from, to) => {
                    for (key, from, to) in changes(map(from), map(to)) {
                        if key == "used" || map(old.get(id)).len() <= 1 {
                            continue;
                        }
                        let numbers = (number(from), number(to));
                        texts.push(match (key, numbers) {
                            ("capacity" | "reserve" | "headroom", (Some(from), Some(to))) => {
                                format!("{key} of {id} {}", moved(from, to))
                            }
                            _ => format!("{key} of {id} from {} to {}", say(from), say(to)),
                        });
                    }
                }
            }
        }
        if texts.is_empty() && !same_devices {
            texts.push("the devices are in another order".to_owned());
        }
        let (rules, rules_now) = self.maps("rules");
        let named = texts.len();
        let (old, new) = (list(rules.get("in_force")), list(rules_now.get("in_force")));
        if !rules.is_empty() {
            texts.extend(
                new.iter().filter(|rule| !old.contains(rule)).map(|r| format!("added: {r}")),
            );
            texts.extend(
                old.iter().filter(|rule| !new.contains(rule)).map(|r| format!("gone: {r}")),
            );
        }
        // Other components, or other devices, are other places where one may be.
        let same_places = same_devices && !self.components_differ();
        if texts.len() == named && same_places && differs(rules, rules_now, "allowed") {
            texts.push("which components may be where, under the same rules".to_owned());
        }
        all(Class::Constraint, texts)
    }

    fn components_differ(&self) -> bool {
        let (old, new) = self.maps("estimate");
        old != new
    }

    fn objectives(&self) -> Vec<Reason> {
        let old = list(self.old.get("objectives"));
        let new = list(self.new.get("objectives"));
        if old.is_empty() || old == new {
            return Vec::new();
        }
        let split = |items: &[String]| -> Vec<(String, String)> {
            let pair =
                |item: &String| item.split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned()));
            items.iter().filter_map(pair).collect()
        };
        let (old, new) = (split(&old), split(&new));
        let mut texts = Vec::new();
        for (name, tolerance) in &new {
            match old.iter().find(|(other, _)| other == name) {
                None => texts.push(format!("{name} is minimised too")),
                Some((_, before)) if before != tolerance => {
                    texts.push(format!("tolerance of {name} from {before} to {tolerance}"));
                }
                Some(_) => {}
            }
        }
        for (name, _) in old.iter().filter(|(name, _)| new.iter().all(|(other, _)| other != name)) {
            texts.push(format!("{name} is no longer minimised"));
        }
        let names = |items: &[(String, String)], others: &[(String, String)]| -> Vec<String> {
            let both =
                items.iter().filter(|(name, _)| others.iter().any(|(other, _)| other == name));
            both.map(|(name, _)| name.clone()).collect()
        };
        if names(&old, &new) != names(&new, &old) {
            let order = |items: &[(String, String)]| {
                items.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
            };
            texts.push(format!("order from {} to {}", order(&old), order(&new)));
        }
        all(Class::Objective, texts)
    }

    /// The same problem: what the search made of it.
    fn search(&self, differences: &[Difference]) -> Vec<Reason> {
        let mut found = Vec::new();
        let mut values_differ = false;
        let (old, new) = self.maps("values");
        for (name, from, to) in changes(old, new) {
            let (from, to) = (map(from), map(to));
            if differs(from, to, "value") {
                values_differ = true;
                found.push(Reason { class: Class::Search, text: turned(name, "value", from, to) });
            }
            if differs(from, to, "bound") {
                found.push(Reason { class: Class::Bound, text: turned(name, "bound", from, to) });
            }
        }
        let expected_map = differences.iter().any(|difference| difference.key == "map");
        if !values_differ && (self.differ("map") || expected_map) {
            let moves = moves(map(self.old.get("map")), map(self.new.get("map")));
            found.push(Reason { class: Class::Tie, text: moves });
        }
        if self.differ("nodes") {
            let [from, to] = [self.old, self.new].map(|side| say(side.get("nodes")));
            found.push(Reason { class: Class::Effort, text: format!("nodes from {from} to {to}") });
        }
        if found.is_empty() {
            let text = "all that was recorded is as it was; what is expected was edited since";
            found.push(Reason { class: Class::Expectation, text: text.to_owned() });
        }
        found
    }
}

/// How a value of an objective, or its bound, became another.
fn turned(name: &str, what: &str, from: &Map<String, Value>, to: &Map<String, Value>) -> String {
    let [before, after] = [from, to].map(|side| say(side.get(what)));
    let ratio = |side: &Map<String, Value>| match side.get(what)? {
        Value::Number(number) => number.as_u64().map(|number| Ratio::new(number, 1)),
        Value::String(text) => Ratio::from_fraction(text),
        _ => None,
    };
    let word = match (ratio(from), ratio(to), what) {
        (Some(from), Some(to), "bound") if to < from => "weaker: ",
        (Some(from), Some(to), "bound") if to > from => "stronger: ",
        (Some(from), Some(to), _) if to < from => "better: ",
        (Some(from), Some(to), _) if to > from => "worse: ",
        _ => "",
    };
    format!("{word}{what} of {name} from {before} to {after}")
}

/// What changed about a kind of component, each and in all.
fn of_kind(kind: &str, old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let mut texts = Vec::new();
    if kind == "workspace" {
        for (key, from, to) in changes(old, new) {
            if let (Some(from), Some(to)) = (number(from), number(to)) {
                texts.push(format!("workspace ({}) {}", key.replace('_', " "), moved(from, to)));
            }
        }
        return texts;
    }
    let count = |side: &Map<String, Value>| number(side.get("count")).unwrap_or(0);
    let (before, after) = (count(old), count(new));
    if before != after {
        texts.push(format!("{kind}: {after} of them, not {before}"));
    }
    for (key, from, to) in changes(old, new).filter(|(key, ..)| *key != "count") {
        let (from, to) = (number(from).unwrap_or(0), number(to).unwrap_or(0));
        let each = from.abs_diff(to).checked_div(after).unwrap_or(0);
        let sum =
            key != "staging" && before == after && after > 1 && each * after == from.abs_diff(to);
        let sign = if to > from { '+' } else { '-' };
        let each =
            if sum { format!(", {sign}{} each of {after}", told(each)) } else { String::new() };
        texts.push(format!("{kind}: {} {}{each}", key.replace('_', " "), moved(from, to)));
    }
    texts
}

/// `from 1.00 GiB to 1.50 GiB (+512.00 MiB)`.
fn moved(from: u64, to: u64) -> String {
    let sign = if to > from { '+' } else { '-' };
    format!(
        "from {} to {} ({sign}{})",
        format_bytes(from),
        format_bytes(to),
        told(from.abs_diff(to))
    )
}

fn all(class: Class, texts: Vec<String>) -> Vec<Reason> {
    texts.into_iter().map(|text| Reason { class, text }).collect()
}

fn map(value: Option<&Value>) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.and_then(Value::as_object).unwrap_or(&NONE)
}

fn list(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn number(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_u64)
}

fn say(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn differs(old: &Map<String, Value>, new: &Map<String, Value>, key: &str) -> bool {
    old.contains_key(key) && old.get(key) != new.get(key)
}

type Change<'a> = (&'a str, Option<&'a Value>, Option<&'a Value>);

/// Entries that are not the same on both sides, those of the old one first.
fn changes<'a>(
    old: &'a Map<String, Value>,
    new: &'a Map<String, Value>,
) -> impl Iterator<Item = Change<'a>> {
    let there = old.iter().map(|(key, from)| (key.as_str(), Some(from), new.get(key)));
    let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
    let added = added.map(|(key, to)| (key.as_str(), None, Some(to)));
    there.chain(added).filter(|(_, from, to)| from != to)
}
