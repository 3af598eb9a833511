//! What moved between two maps, by their lines.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::ComponentId;
use crate::placement::{lines, named_by};

/// No recorded map is taken to name more.
const COMPONENTS_MAX: u64 = 1_000_000;

/// Which components moved from where to where, by lines of two maps.
pub(super) fn moves(old: &Map<String, Value>, new: &Map<String, Value>) -> String {
    const SHOWN: usize = 6;
    if old.is_empty() || new.is_empty() {
        return "another map with the same values; it was too long to record".to_owned();
    }
    let (homes, homes_now) = (homes(old), homes(new));
    let mut ways: BTreeMap<(&str, &str), Vec<ComponentId>> = BTreeMap::new();
    for (id, from) in &homes {
        match homes_now.get(id) {
            Some(to) if to != from => ways.entry((*from, *to)).or_default().push(*id),
            _ => {}
        }
    }
    if ways.is_empty() {
        return "another map is expected than the one that was recorded, which is still found"
            .to_owned();
    }
    let mut texts = Vec::new();
    for ((from, to), ids) in &ways {
        let homes: Vec<(ComponentId, usize)> = ids.iter().map(|&id| (id, 0)).collect();
        texts.extend(
            lines(&homes).into_iter().map(|line| format!("{} from {from} to {to}", line.name)),
        );
    }
    let more = texts.len().saturating_sub(SHOWN);
    texts.truncate(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("the same values, another map: {}{more}", texts.join("; "))
}

/// Each component's device by the lines of a map; what is no such line is passed over.
fn homes(map: &Map<String, Value>) -> BTreeMap<ComponentId, &str> {
    let mut homes = BTreeMap::new();
    for (name, device) in map {
        let Some(device) = device.as_str() else { continue };
        // No model has as many components, whatever the file says.
        let left = COMPONENTS_MAX.saturating_sub(u64::try_from(homes.len()).unwrap_or(u64::MAX));
        homes.extend(named_by(name, left).unwrap_or_default().into_iter().map(|id| (id, device)));
    }
    homes
}
