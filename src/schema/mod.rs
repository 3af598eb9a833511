//! JSON schemas of every file format, for editors and for other programs.
//!
//! They say which keys there are and what each may hold. The readers of this crate are stricter: they also ask
//! whether names exist and figures agree. What a schema refuses a reader refuses; a test holds them together.

use crate::error::Error;
use crate::nearest::did_you_mean;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// Which command writes or reads it.
    pub about: &'static str,
    /// Whether the schema is of a line of the file, and not of all of it.
    pub lines: bool,
    /// The schema, JSON Schema draft 7.
    pub schema: &'static str,
}

const fn whole(name: &'static str, about: &'static str, schema: &'static str) -> Format {
    Format { name, about, lines: false, schema }
}

const fn lines(name: &'static str, about: &'static str, schema: &'static str) -> Format {
    Format { name, about, lines: true, schema }
}

/// All of them, by name.
pub const FORMATS: [Format; 12] = [
    whole("catalogue", "known models: models/catalogue.yaml", include_str!("catalogue.json")),
    whole(
        "certificate",
        "proofs of bounds: `solve --certificate`",
        include_str!("certificate.json"),
    ),
    whole("expectations", "placements held fixed: `ci`", include_str!("expectations.json")),
    whole("family", "tensors of a model family: models/*.yaml", include_str!("family.json")),
    whole("hardware", "a machine: `--hardware`, `calibrate -o`", include_str!("hardware.json")),
    lines("journal", "how far a migration is: `generate --journal`", include_str!("journal.json")),
    lines("memory-log", "memory over time: `--memory-log`", include_str!("memory-log.json")),
    whole("placement", "a solved map: `solve -o`", include_str!("placement.json")),
    whole("plan", "moves to the next placement: `rebalance --plan`", include_str!("plan.json")),
    whole("routing", "how often experts are chosen: `profile -o`", include_str!("routing.json")),
    whole(
        "runtime-profile",
        "what a runtime keeps in memory: `--runtime-profile`",
        include_str!("runtime-profile.json"),
    ),
    lines("trace", "what an allocator did: `simulate --trace`", include_str!("trace.json")),
];

/// The format of this name.
///
/// # Errors
/// Another name, with the nearest.
///
/// ```
/// let format = apportion::schema::format("placement").unwrap();
/// assert!(format.schema.contains("capacity_bytes"));
/// ```
pub fn format(name: &str) -> Result<Format, Error> {
    let names = || FORMATS.iter().map(|format| format.name);
    FORMATS.iter().find(|format| format.name == name).copied().ok_or_else(|| {
        let list = || format!("the formats are {}", names().collect::<Vec<_>>().join(", "));
        Error::new("find the schema")
            .object(name)
            .expected("the name of a file format")
            .hint(did_you_mean(name, names()).unwrap_or_else(list))
    })
}
