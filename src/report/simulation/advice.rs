//! What lowers the peak, by how much, and what nothing lowers.

use super::{Replayed, is_gpu};
use crate::report::{Align, Table, percent, wrap};
use crate::simulate::{Advice, Variant};
use crate::units::format_bytes;

/// One change at a time, then the best of all together.
pub(super) fn advice(replayed: &Replayed<'_>, advice: &Advice, width: usize) -> String {
    let Advice { asked, single, best, tried, too_large } = advice;
    let mut text = format!("what would help, of {tried} ways to load it, each replayed\n");
    let mut table = Table::new(&[
        ("change", Align::Left),
        ("fits", Align::Left),
        ("fullest", Align::Left),
        ("peak", Align::Right),
        ("", Align::Right),
        ("", Align::Right),
    ]);
    table.row(row(replayed, "(as asked)", asked, asked));
    for variant in single {
        table.row(row(replayed, &variant.changes.join(" "), variant, asked));
    }
    if best.changes.len() > 1 {
        table.row(row(replayed, "the best together", best, asked));
    }
    text.push_str(&table.render());
    let peak = "peak: of the load that fits, else what it would take if there were room";
    text.push_str(&wrap(peak, width));
    text.push_str(&wrap(&conclusion(replayed, advice), width));
    for &device in too_large {
        let run = &replayed.simulation.devices[device];
        let stays = asked.stays_bytes[device];
        let line = format!(
            "nothing helps: after the load {} stay on {}, {} more than may be used",
            format_bytes(stays),
            run.id,
            format_bytes(stays.saturating_sub(run.usable_bytes)),
        );
        text.push_str(&wrap(&line, width));
    }
    text
}

fn row(replayed: &Replayed<'_>, name: &str, variant: &Variant, asked: &Variant) -> [String; 6] {
    let at = variant.worst_device;
    let (peak, before) = (variant.peak_bytes[at], asked.peak_bytes[at]);
    let change = match peak.cmp(&before) {
        std::cmp::Ordering::Less => format!("-{}", format_bytes(before - peak)),
        std::cmp::Ordering::Equal => "=".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", format_bytes(peak - before)),
    };
    [
        name.to_owned(),
        if variant.fits { "yes" } else { "no" }.to_owned(),
        replayed.simulation.devices[at].id.clone(),
        format_bytes(peak),
        percent(variant.worst),
        change,
    ]
}

fn conclusion(replayed: &Replayed<'_>, advice: &Advice) -> String {
    let Advice { asked, best, too_large, .. } = advice;
    if best.changes.is_empty() {
        return if too_large.is_empty() {
            "best: as it is; no change lowers the fullest device".to_owned()
        } else {
            "no change makes it fit".to_owned()
        };
    }
    let gpus = replayed.simulation.devices.iter().enumerate().filter(|(_, run)| is_gpu(run));
    let saved: Vec<String> = gpus
        .filter_map(|(at, run)| {
            let less = asked.peak_bytes[at].checked_sub(best.peak_bytes[at])?;
            (less > 0).then(|| format!("{} less on {}", format_bytes(less), run.id))
        })
        .collect();
    let fits = if best.fits { "it fits" } else { "it does not fit either" };
    let saved = if saved.is_empty() { "no less memory".to_owned() } else { saved.join(", ") };
    format!("best: {}: {fits}, {saved}", best.changes.join(" "))
}
