//! Whether a model of an allocator does what a real one did.

use serde_json::{Value, json};

use crate::error::printable;
use crate::simulate::{Comparison, Trace, TraceEvent, Usage};
use crate::units::grouped;

/// Equal, or the first difference.
pub fn trace(trace: &Trace, comparison: &Comparison) -> String {
    let name = trace.allocator().name();
    let count = grouped(u64::try_from(trace.events.len()).unwrap_or(u64::MAX));
    let source = printable(&trace.source);
    match comparison {
        Comparison::Equal => format!(
            "equal: the model {name} has what {source} had after each of {count} events\n\
             peak: {} bytes reserved, {} allocated\n",
            grouped(trace.peak.reserved_bytes),
            grouped(trace.peak.allocated_bytes),
        ),
        Comparison::Differs { event, recorded, model, granted } => {
            let after = recorded.after();
            let granted = match granted {
                Some(true) => ", request granted",
                Some(false) => ", request refused",
                None => "",
            };
            format!(
                "differs: the model {name} and {source}, after event {} of {count}: {}\n\
                 recorded: {}\n\
                 model:    {}{granted}\n",
                grouped(u64::try_from(*event).unwrap_or(u64::MAX)),
                what(recorded),
                usage(after),
                usage(*model),
            )
        }
    }
}

fn what(event: &TraceEvent) -> String {
    match event {
        TraceEvent::Alloc { id, bytes, .. } => format!("{id} gets {} bytes", grouped(*bytes)),
        TraceEvent::Free { id, .. } => format!("{id} is freed"),
        TraceEvent::Fail { bytes, .. } => {
            format!("a request of {} bytes finds no room", grouped(*bytes))
        }
    }
}

fn usage(usage: Usage) -> String {
    format!(
        "{} bytes reserved, {} allocated",
        grouped(usage.reserved_bytes),
        grouped(usage.allocated_bytes)
    )
}

/// The same as an object.
pub fn trace_json(trace: &Trace, comparison: &Comparison) -> Value {
    let bytes = |usage: Usage| {
        json!({
            "reserved_bytes": usage.reserved_bytes,
            "allocated_bytes": usage.allocated_bytes,
        })
    };
    let difference = match comparison {
        Comparison::Equal => Value::Null,
        Comparison::Differs { event, recorded, model, granted } => json!({
            "event": event,
            "what": what(recorded),
            "recorded": bytes(recorded.after()),
            "model": bytes(*model),
            "granted": granted,
        }),
    };
    json!({
        "equal": *comparison == Comparison::Equal,
        "source": trace.source,
        "allocator": trace.allocator().name(),
        "total_bytes": trace.total_bytes,
        "events": trace.events.len(),
        "peak": bytes(trace.peak),
        "difference": difference,
    })
}
