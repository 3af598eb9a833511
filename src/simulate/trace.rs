//! What a real allocator did, and whether its model does the same.
//!
//! A trace is a file of JSON lines: a head, one line per event with what the allocator had after it, and an end.
//!
//! ```text
//! {"apportion_trace":1,"source":"torch 2.10","expandable_segments":false,"total_bytes":17179869184}
//! {"alloc":1,"bytes":1000,"reserved":2097152,"allocated":1024}
//! {"fail":99999999999,"reserved":2097152,"allocated":1024}
//! {"free":1,"reserved":2097152,"allocated":0}
//! {"end":3,"peak_reserved":2097152,"peak_allocated":1024}
//! ```
//!
//! `alloc` and `free` name a piece of memory by a number, `fail` is a request of so many bytes that found no room;
//! `total_bytes` is what the allocator could have from the driver.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::allocator::{AllocatorKind, Handle, Usage};
use crate::error::Error;
use crate::files::read_at_most;
use crate::hardware::DeviceKind;
use crate::units::BYTES_MAX;

const OPERATION: &str = "read the trace";

/// A trace of more than a million events is smaller.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// Memory was handed out under this number.
    Alloc {
        /// The number.
        id: u64,
        /// What was asked for.
        bytes: u64,
        /// What there was then.
        after: Usage,
    },
    /// It came back.
    Free {
        /// The number.
        id: u64,
        /// What there was then.
        after: Usage,
    },
    /// A request found no room.
    Fail {
        /// What was asked for.
        bytes: u64,
        /// What there was then.
        after: Usage,
    },
}

impl TraceEvent {
    /// What the allocator had after it.
    pub fn after(&self) -> Usage {
        match self {
            Self::Alloc { after, .. } | Self::Free { after, .. } | Self::Fail { after, .. } => {
                *after
            }
        }
    }
}

/// What a real allocator did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Which allocator.
    pub source: String,
    /// Whether its segments could grow.
    pub expandable_segments: bool,
    /// What it could have from the driver.
    pub total_bytes: u64,
    /// What happened; every number that is freed was handed out before.
    pub events: Vec<TraceEvent>,
    /// The most it had and handed out at the end of any event.
    pub peak: Usage,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The model had the same after every event.
    Equal,
    /// It did not after this one, and what it had.
    Differs {
        /// The number of the event, from 1; its line in the file is one more.
        event: usize,
        /// What was recorded; a failure there or here is a difference by itself.
        recorded: TraceEvent,
        /// What the model had.
        model: Usage,
        /// Whether the model found room; `None` where nothing was asked for.
        granted: Option<bool>,
    },
}

#[derive(Deserialize)]
#[serde(expecting = "the head of a trace")]
struct Head {
    apportion_trace: u64,
    source: String,
    expandable_segments: bool,
    total_bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an event of a trace")]
struct Line {
    alloc: Option<u64>,
    free: Option<u64>,
    fail: Option<u64>,
    end: Option<u64>,
    bytes: Option<u64>,
    reserved: Option<u64>,
    allocated: Option<u64>,
    peak_reserved: Option<u64>,
    peak_allocated: Option<u64>,
}

impl Trace {
    /// Reads a file.
    ///
    /// # Errors
    /// What is no trace of version 1, ends before its end, or contradicts itself, with the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_at_most(path, OPERATION, FILE_BYTES_MAX)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a trace; `source` names it in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, source: &str) -> Result<Self, Error> {
        let refuse =
            |line: usize| Error::new(OPERATION).object(source).place(format!("line {line}"));
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let (_, first) = lines.next().unwrap_or((1, ""));
        let head: Head = serde_json::from_str(first)
            .map_err(|error| refuse(1).expected("the head of a trace").found(error.to_string()))?;
        if head.apportion_trace != 1 {
            let version = head.apportion_trace.to_string();
            return Err(refuse(1).expected("apportion_trace 1").found(version));
        }
        if head.total_bytes > BYTES_MAX {
            return Err(refuse(1).expected("total_bytes of at most 1024 PiB").found("more"));
        }
        let mut reading = Reading { total_bytes: head.total_bytes, ..Reading::default() };
        let mut ended = false;
        for (number, line) in lines {
            if ended {
                return Err(refuse(number).expected("nothing after the end").found("a line"));
            }
            let line: Line = serde_json::from_str(line).map_err(|error| {
                refuse(number).expected("an event of a trace").found(error.to_string())
            })?;
            ended = reading
                .take(&line)
                .map_err(|(expected, found)| refuse(number).expected(expected).found(found))?;
        }
        if !ended {
            let count = reading.events.len();
            return Err(Error::new(OPERATION)
                .object(source)
                .expected("a line with `end` as the last")
                .found(format!("none after {count} events"))
                .hint("the file was cut; record it again"));
        }
        Ok(Self {
            source: head.source,
            expandable_segments: head.expandable_segments,
            total_bytes: head.total_bytes,
            events: reading.events,
            peak: reading.peak,
        })
    }

    /// The model of what it is a trace of.
    pub fn allocator(&self) -> AllocatorKind {
        if self.expandable_segments { AllocatorKind::TorchExpandable } else { AllocatorKind::Torch }
    }

    /// Asks the model for the same and compares after every event.
    pub fn compare(&self) -> Comparison {
        let mut allocator = self.allocator().fresh(DeviceKind::Gpu, self.total_bytes);
        let mut held: BTreeMap<u64, Handle> = BTreeMap::new();
        for (index, &recorded) in self.events.iter().enumerate() {
            let granted = match recorded {
                TraceEvent::Alloc { id, bytes, .. } => {
                    let handle = allocator.alloc(bytes).ok();
                    Some(handle.map(|handle| held.insert(id, handle)).is_some())
                }
                TraceEvent::Fail { bytes, .. } => {
                    Some(allocator.alloc(bytes).map(|handle| allocator.free(handle)).is_ok())
                }
                TraceEvent::Free { id, .. } => {
                    held.remove(&id).into_iter().for_each(|handle| allocator.free(handle));
                    None
                }
            };
            let model = allocator.usage();
            let expected = match recorded {
                TraceEvent::Alloc { .. } => Some(true),
                TraceEvent::Fail { .. } => Some(false),
                TraceEvent::Free { .. } => None,
            };
            if granted != expected || model != recorded.after() {
                return Comparison::Differs { event: index + 1, recorded, model, granted };
            }
        }
        Comparison::Equal
    }
}

/// A trace as far as it was read.
#[derive(Default)]
struct Reading {
    total_bytes: u64,
    events: Vec<TraceEvent>,
    /// Numbers that are handed out.
    live: BTreeSet<u64>,
    peak: Usage,
}

/// What was expected and what was found.
type Wrong = (String, String);

impl Reading {
    /// Takes a line; true for the end.
    fn take(&mut self, line: &Line) -> Result<bool, Wrong> {
        let kinds = [line.alloc, line.free, line.fail, line.end];
        let wrong = |expected: &str, found: &str| Err((expected.to_owned(), found.to_owned()));
        if kinds.iter().flatten().count() != 1 {
            return wrong("one of alloc, free, fail and end", "another number of them");
        }
        if let Some(count) = line.end {
            return self.end(count, line).map(|()| true);
        }
        let after = self.after(line)?;
        let event = match (line.alloc, line.free, line.fail, line.bytes) {
            (Some(id), _, _, Some(bytes)) => {
                if !self.live.insert(id) {
                    return wrong("a number that is not in use", &id.to_string());
                }
                TraceEvent::Alloc { id, bytes, after }
            }
            (Some(_), _, _, None) => return wrong("`bytes` beside `alloc`", "none"),
            (_, Some(id), _, None) => {
                if !self.live.remove(&id) {
                    return wrong("a number that was handed out", &id.to_string());
                }
                TraceEvent::Free { id, after }
            }
            (_, _, Some(bytes), None) => TraceEvent::Fail { bytes, after },
            _ => return wrong("`bytes` beside `alloc` alone", "it elsewhere"),
        };
        self.events.push(event);
        self.peak.reserved_bytes = self.peak.reserved_bytes.max(after.reserved_bytes);
        self.peak.allocated_bytes = self.peak.allocated_bytes.max(after.allocated_bytes);
        Ok(false)
    }

    fn after(&self, line: &Line) -> Result<Usage, Wrong> {
        let (Some(reserved_bytes), Some(allocated_bytes), None, None) =
            (line.reserved, line.allocated, line.peak_reserved, line.peak_allocated)
        else {
            return Err(("`reserved` and `allocated`".to_owned(), "others".to_owned()));
        };
        let total = self.total_bytes;
        if allocated_bytes > reserved_bytes || reserved_bytes > total {
            return Err((
                format!("allocated <= reserved <= total, which is {total}"),
                format!("{allocated_bytes} and {reserved_bytes}"),
            ));
        }
        Ok(Usage { reserved_bytes, allocated_bytes })
    }

    fn end(&self, count: u64, line: &Line) -> Result<(), Wrong> {
        let found = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        if count != found {
            return Err((format!("{found} events"), format!("an end after {count}")));
        }
        let stated = (line.peak_reserved, line.peak_allocated);
        let peak = (Some(self.peak.reserved_bytes), Some(self.peak.allocated_bytes));
        if stated != peak {
            let text = |(reserved, allocated): (Option<u64>, Option<u64>)| {
                let bytes = |value: Option<u64>| value.map_or("none".to_owned(), |v| v.to_string());
                format!("peaks of {} and {}", bytes(reserved), bytes(allocated))
            };
            return Err((text(peak), text(stated)));
        }
        Ok(())
    }
}
