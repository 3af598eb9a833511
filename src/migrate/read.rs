//! Reads a plan as hostile input.
//!
//! What comes out is a well-formed claim: the two placements belong together and pass the verifier, every step names a
//! component and places that there are. Whether the steps lead where they should is for [`Plan::replay`].

use serde::Deserialize;

use super::facts::Facts;
use super::write::{FILES, FROM, HOST, TO, VERSION, WHAT};
use super::{Caches, Claims, Place, Plan, Step};
use crate::error::Error;
use crate::model::{ComponentId, Model};
use crate::placement::Record;
use crate::yaml;

const OPERATION: &str = "read the migration plan";

/// Only what says that the rest can be read.
#[derive(Deserialize)]
#[serde(expecting = "the keys of a migration plan")]
struct HeadEntry {
    apportion: String,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a migration plan")]
struct FileEntry {
    #[expect(dead_code, reason = "checked through `HeadEntry` before the rest is read")]
    apportion: String,
    #[expect(dead_code, reason = "checked through `HeadEntry` before the rest is read")]
    version: u64,
    caches: String,
    moved_bytes: u64,
    loaded_bytes: u64,
    host_bytes: u64,
    whole: bool,
    devices: Vec<DeviceEntry>,
    steps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a device")]
struct DeviceEntry {
    id: String,
    limit_bytes: u64,
    start_bytes: u64,
    peak_bytes: u64,
    end_bytes: u64,
}

impl Plan {
    /// Whether a text is a plan by its first lines, and not a placement.
    pub fn is_one(text: &str) -> bool {
        text.lines().take(8).any(|line| line == format!("apportion: {WHAT}"))
    }

    /// Reads the text of a plan; `source` names it in messages. As with placements, one about a checkpoint's own
    /// bytes needs the model read from that checkpoint.
    ///
    /// # Errors
    /// Text that is not such a file, and where; one that is cut off; placements that do not belong together;
    /// components and devices that there are not.
    pub fn from_yaml(text: &str, source: &str, checkpoint: Option<&Model>) -> Result<Self, Error> {
        let refuse = || Error::new(OPERATION).object(source);
        let parts = parts(text).ok_or_else(|| {
            refuse()
                .expected(format!("a plan, then `{FROM}` and `{TO}`, each before a placement"))
                .found("something else")
                .hint("the file is cut off, or it is no plan; `apportion rebalance --plan` writes one")
        })?;
        let [plan, from, to] = parts;
        let head: HeadEntry = yaml::from_str(plan, OPERATION, source)?;
        if head.apportion != WHAT {
            return Err(refuse().place("apportion").expected(WHAT).found(head.apportion));
        }
        if head.version != VERSION {
            let version = head.version.to_string();
            return Err(refuse().place("version").expected(VERSION.to_string()).found(version));
        }
        let file: FileEntry = yaml::from_str(plan, OPERATION, source)?;
        let from = Record::from_yaml(from, &format!("{source} (from)"), checkpoint)?;
        let to = Record::from_yaml(to, &format!("{source} (to)"), checkpoint)?;
        let facts = Facts::of(&from, &to).map_err(|error| error.object(source))?;
        let steps = steps(&facts, &file.steps).map_err(|error| error.object(source))?;
        check_devices(&facts, &file.devices).map_err(|error| error.object(source))?;
        if file.caches != facts.caches.name() {
            let known = Caches::ALL.iter().any(|caches| caches.name() == file.caches);
            let expected = format!("`{}`, as the placements ask for", facts.caches.name());
            let found =
                if known { file.caches } else { format!("`{}`, no such word", file.caches) };
            return Err(refuse().place("caches").expected(expected).found(found));
        }
        let of_device = |d: &DeviceEntry| [d.start_bytes, d.peak_bytes, d.end_bytes];
        let claims = Claims {
            moved_bytes: file.moved_bytes,
            loaded_bytes: file.loaded_bytes,
            host_bytes: file.host_bytes,
            whole: file.whole,
            devices: file.devices.iter().map(of_device).collect(),
        };
        Ok(Self::assembled(from, to, facts, steps, claims))
    }
}

/// The three documents.
fn parts(text: &str) -> Option<[&str; 3]> {
    let (plan, rest) = text.split_once(&format!("\n{FROM}\n"))?;
    let (from, to) = rest.split_once(&format!("\n{TO}\n"))?;
    Some([plan, from, to])
}

fn check_devices(facts: &Facts, entries: &[DeviceEntry]) -> Result<(), Error> {
    let expected: Vec<(String, u64)> =
        facts.rooms.iter().map(|room| (room.id.clone(), room.limit_bytes)).collect();
    let found: Vec<(String, u64)> =
        entries.iter().map(|device| (device.id.clone(), device.limit_bytes)).collect();
    if expected == found {
        return Ok(());
    }
    let list = |devices: &[(String, u64)]| {
        let each: Vec<String> = devices.iter().map(|(id, limit)| format!("{id} {limit}")).collect();
        each.join(", ")
    };
    Err(Error::new(OPERATION)
        .place("devices")
        .expected(format!("those of the placement it leads to: {}", list(&expected)))
        .found(list(&found)))
}

fn steps(facts: &Facts, lines: &[String]) -> Result<Vec<Step>, Error> {
    let resized = facts.resized_first();
    let one = |(index, line): (usize, &String)| {
        let refuse = || Error::new(OPERATION).place(format!("step {}, `{line}`", index + 1));
        let parts: Vec<&str> = line.split(' ').collect();
        let [name, from, "->", to] = parts[..] else {
            return Err(refuse().expected("a line such as `layers.3.experts.5 gpu0 -> gpu1`"));
        };
        let component: ComponentId = name.parse().map_err(|error: Error| {
            refuse().expected("the name of a component").found(error.to_string())
        })?;
        let found = facts.pieces.binary_search_by(|piece| piece.id.cmp(&component));
        let piece = found.map(|index| &facts.pieces[index]).map_err(|_| {
            refuse().expected("a component of the model").found(format!("`{component}`"))
        })?;
        let place = |word: &str| {
            let device = facts.rooms.iter().position(|room| room.id == word);
            match word {
                HOST => Ok(Place::Host),
                FILES => Ok(Place::Files),
                _ => device.map(Place::Device).ok_or_else(|| {
                    refuse()
                        .expected(format!("a device of the plan, `{HOST}` or `{FILES}`"))
                        .found(format!("`{word}`"))
                }),
            }
        };
        let (from, to) = (place(from)?, place(to)?);
        let bytes = piece.bytes(to != Place::Files, resized);
        Ok(Step {
            component,
            from,
            to,
            weights_bytes: bytes.weights,
            kv_cache_bytes: bytes.kv_cache,
        })
    };
    lines.iter().enumerate().map(one).collect()
}
