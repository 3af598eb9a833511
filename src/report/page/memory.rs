//! Memory per device by purpose against capacity, as bars.

use std::fmt::Write;

use super::{View, share};
use crate::hardware::DeviceKind;
use crate::report::markup::shown;
use crate::report::percent;
use crate::units::{format_bytes, grouped};
use crate::verify::DeviceUse;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Weights,
    KvCache,
    Workspace,
    /// What staging takes beyond KV cache and workspace, whose place it has while loading.
    Staging,
    Reserve,
    Headroom,
    Free,
}

impl Purpose {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::KvCache => "kv_cache",
            Self::Workspace => "workspace",
            Self::Staging => "staging",
            Self::Reserve => "reserve",
            Self::Headroom => "headroom",
            Self::Free => "free",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::KvCache => "KV cache",
            Self::Workspace => "workspace",
            Self::Staging => "staging beyond what runs later, loading only",
            Self::Reserve => "reserve",
            Self::Headroom => "headroom",
            Self::Free => "free",
        }
    }

    /// As in the bars of the terminal.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Weights => "W",
            Self::KvCache => "K",
            Self::Workspace => "o",
            Self::Staging => "s",
            Self::Reserve => "r",
            Self::Headroom => "h",
            Self::Free => "",
        }
    }

    /// The pattern over the colour of the device, or what stands in its place.
    pub(super) fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Weights => None,
            Self::KvCache => Some("fill=\"url(#kv)\""),
            Self::Workspace => Some("fill=\"url(#work)\""),
            Self::Staging => Some("class=\"staged\""),
            Self::Reserve => Some("fill=\"url(#reserve)\""),
            Self::Headroom => Some("fill=\"url(#head)\""),
            Self::Free => Some("class=\"hit\""),
        }
    }

    /// Whether the colour of the device is under it.
    pub(super) fn is_coloured(self) -> bool {
        matches!(self, Self::Weights | Self::KvCache | Self::Workspace)
    }
}

/// A part of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) purpose: Purpose,
    pub(super) from_bytes: u64,
    pub(super) bytes: u64,
}

/// The parts of a device's bar from left to right: together its capacity, or what is used where that is more.
pub(super) fn segments(used: &DeviceUse) -> Vec<Segment> {
    let running = used.kv_cache_bytes.saturating_add(used.workspace_bytes);
    let taken = used.used_bytes.saturating_add(used.headroom_bytes);
    let parts = [
        (Purpose::Weights, used.weights_bytes.saturating_add(used.rounding_bytes)),
        (Purpose::KvCache, used.kv_cache_bytes),
        (Purpose::Workspace, used.workspace_bytes),
        (Purpose::Staging, used.staging_bytes.saturating_sub(running)),
        (Purpose::Reserve, used.reserve_bytes),
        (Purpose::Headroom, used.headroom_bytes),
        (Purpose::Free, used.capacity_bytes.saturating_sub(taken)),
    ];
    let mut from_bytes: u64 = 0;
    let mut all = Vec::new();
    for (purpose, bytes) in parts.into_iter().filter(|&(_, bytes)| bytes > 0) {
        all.push(Segment { purpose, from_bytes, bytes });
        from_bytes = from_bytes.saturating_add(bytes);
    }
    all
}

/// What the whole width of a device's bar stands for: GPUs have one scale, so that they can be compared; host
/// memory, which is often many times theirs, has its own.
pub(super) fn scale_bytes(view: &View<'_>, device: usize) -> u64 {
    let devices = &view.problem.devices;
    let kind = devices[device].kind;
    let alike = devices.iter().filter(|other| other.kind == kind);
    alike.map(|other| other.capacity_bytes).max().unwrap_or(1)
}

/// `weights 11.37 GiB (12,210,446,336 bytes), 0.20 GiB of it rounding`.
pub(super) fn told(used: &DeviceUse, segment: &Segment) -> String {
    let Segment { purpose, bytes, .. } = *segment;
    let mut text =
        format!("{} {} ({} bytes)", purpose.words(), format_bytes(bytes), grouped(bytes));
    if purpose == Purpose::Weights && used.rounding_bytes > 0 {
        let _ = write!(text, ", {} of it rounding", format_bytes(used.rounding_bytes));
    }
    text
}

pub(super) fn section(view: &View<'_>) -> String {
    let mut out = String::from(
        "<section aria-labelledby=\"memory\"><h2 id=\"memory\">Memory per device</h2>\n",
    );
    let _ = write!(out, "<p class=\"note\">{}</p>\n{}", note(view), legend(view));
    out.push_str("<div class=\"nav\" data-nav=\"memory\">\n");
    for device in 0..view.problem.devices.len() {
        row(&mut out, view, device);
    }
    out.push_str("</div>\n");
    out.push_str(&table(view));
    out.push_str("</section>\n");
    out
}

fn note(view: &View<'_>) -> &'static str {
    let host = view.problem.devices.iter().any(|device| device.kind == DeviceKind::Cpu);
    if host {
        "Bars of GPUs have one scale, that of host memory is its own. A bar ends where the device does."
    } else {
        "All bars have one scale; a bar ends where the device does."
    }
}

/// The signs that are used.
fn legend(view: &View<'_>) -> String {
    let used = &view.measured.devices;
    let there =
        |purpose: Purpose| used.iter().flat_map(segments).any(|segment| segment.purpose == purpose);
    let all = [
        Purpose::Weights,
        Purpose::KvCache,
        Purpose::Workspace,
        Purpose::Staging,
        Purpose::Reserve,
        Purpose::Headroom,
    ];
    let mut out = String::from("<ul class=\"legend\">");
    for purpose in all.into_iter().filter(|&purpose| there(purpose)) {
        let under = if purpose.is_coloured() { "d0" } else { "track" };
        let over = purpose.pattern();
        let over = over.map(|fill| format!("<rect width=\"22\" height=\"12\" {fill}/>"));
        let _ = write!(
            out,
            "<li><svg width=\"22\" height=\"12\" aria-hidden=\"true\"><rect width=\"22\" height=\"12\" \
             class=\"{under}\"/>{}</svg>{} {}</li>",
            over.unwrap_or_default(),
            purpose.letter(),
            purpose.words(),
        );
    }
    if used.iter().any(|used| used.staging_bytes > 0) {
        out.push_str(
            "<li><svg width=\"22\" height=\"12\" aria-hidden=\"true\"><rect y=\"5\" width=\"22\" \
             height=\"3\" class=\"ink\"/></svg>staged while loading, in the place of \
             KV cache and workspace</li>",
        );
    }
    out.push_str(
        "<li><svg width=\"22\" height=\"12\" aria-hidden=\"true\"><rect width=\"22\" \
                  height=\"12\" class=\"track\"/></svg>free</li></ul>\n",
    );
    out
}

fn row(out: &mut String, view: &View<'_>, index: usize) {
    let (device, used) = (&view.problem.devices[index], &view.measured.devices[index]);
    let name = shown(&device.id);
    let scale = scale_bytes(view, index);
    let _ = write!(
        out,
        "<div class=\"device\"><div class=\"name\"><span class=\"chip d{index}\">{}</span> {name}</div>\n\
         <svg class=\"bar\" width=\"100%\" height=\"26\" data-row=\"\" data-device=\"{index}\" \
         role=\"group\" aria-label=\"{name}\">\
         <rect class=\"track\" y=\"4\" width=\"{}%\" height=\"18\" data-capacity=\"{}\"/>",
        view.letter(index),
        share(device.capacity_bytes, scale),
        device.capacity_bytes,
    );
    for segment in segments(used) {
        let (x, width) = (share(segment.from_bytes, scale), share(segment.bytes, scale));
        let under =
            if segment.purpose.is_coloured() { format!("d{index}") } else { "track".to_owned() };
        let over = segment.purpose.pattern();
        let over = over.map(|fill| {
            format!("<rect x=\"{x}%\" y=\"4\" width=\"{width}%\" height=\"18\" {fill}/>")
        });
        let _ = write!(
            out,
            "<g role=\"img\" data-purpose=\"{}\" data-bytes=\"{}\"><title>{name}: {}</title>\
             <rect x=\"{x}%\" y=\"4\" width=\"{width}%\" height=\"18\" class=\"{under}\"/>{}{}</g>",
            segment.purpose.name(),
            segment.bytes,
            told(used, &segment),
            over.unwrap_or_default(),
            letter(&segment, index, scale),
        );
    }
    staged(out, used, &name, scale);
    let _ = writeln!(
        out,
        "</svg>\n<div class=\"of\"><b>{}</b> of {} <span class=\"soft\">{}</span></div></div>",
        format_bytes(used.used_bytes),
        format_bytes(device.capacity_bytes),
        percent(used.utilization()),
    );
}

/// The letter, where there is room for it on the smallest of screens.
fn letter(segment: &Segment, device: usize, scale: u64) -> String {
    let wide = u128::from(segment.bytes) * 100 >= u128::from(scale) * 4;
    let middle = segment.from_bytes.saturating_add(segment.bytes / 2);
    match segment.purpose {
        Purpose::Free => String::new(),
        _ if !wide => String::new(),
        purpose => {
            let class = if purpose.is_coloured() { format!("k{device}") } else { "ink".to_owned() };
            format!(
                "<text x=\"{}%\" y=\"17\" class=\"{class}\" aria-hidden=\"true\">{}</text>",
                share(middle, scale),
                purpose.letter()
            )
        }
    }
}

/// A strip below the bar, from where the weights end: what is there only while loading.
fn staged(out: &mut String, used: &DeviceUse, name: &str, scale: u64) {
    if used.staging_bytes == 0 {
        return;
    }
    let from = used.weights_bytes.saturating_add(used.rounding_bytes);
    let _ = write!(
        out,
        "<g role=\"img\" data-purpose=\"staged\" data-bytes=\"{0}\"><title>{name}: staged while loading \
         {1} ({2} bytes)</title><rect x=\"{3}%\" y=\"23\" width=\"{4}%\" height=\"3\" \
         class=\"ink\"/></g>",
        used.staging_bytes,
        format_bytes(used.staging_bytes),
        grouped(used.staging_bytes),
        share(from, scale),
        share(used.staging_bytes, scale),
    );
}

/// Every byte, for who wants to add them up.
fn table(view: &View<'_>) -> String {
    let mut out = String::from(
        "<details><summary>Every byte</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"bytes per device\"><table class=\"data\"><thead><tr><th scope=\"col\">device</th>",
    );
    let columns = [
        "weights",
        "rounding",
        "KV cache",
        "workspace",
        "staging",
        "reserve",
        "used",
        "headroom",
        "capacity",
    ];
    for column in columns {
        let _ = write!(out, "<th scope=\"col\" class=\"r\">{column}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for (device, used) in view.problem.devices.iter().zip(&view.measured.devices) {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", shown(&device.id));
        let bytes = [
            used.weights_bytes,
            used.rounding_bytes,
            used.kv_cache_bytes,
            used.workspace_bytes,
            used.staging_bytes,
            used.reserve_bytes,
            used.used_bytes,
            used.headroom_bytes,
            used.capacity_bytes,
        ];
        for bytes in bytes {
            let _ = write!(out, "<td class=\"r\">{}</td>", grouped(bytes));
        }
        out.push_str("</tr>\n");
    }
    out.push_str(
        "</tbody></table></div><p class=\"note\">used = weights + rounding + reserve + the larger of \
         (KV cache + workspace) and staging</p></details>\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_bar_fill_the_device() {
        let used = DeviceUse {
            weights_bytes: 48,
            rounding_bytes: 2,
            kv_cache_bytes: 10,
            workspace_bytes: 5,
            staging_bytes: 30,
            reserve_bytes: 7,
            used_bytes: 87,
            capacity_bytes: 100,
            headroom_bytes: 4,
        };
        let found: Vec<_> =
            segments(&used).iter().map(|s| (s.purpose.letter(), s.from_bytes, s.bytes)).collect();
        let expected = [
            ("W", 0, 50),
            ("K", 50, 10),
            ("o", 60, 5),
            ("s", 65, 15),
            ("r", 80, 7),
            ("h", 87, 4),
            ("", 91, 9),
        ];
        assert_eq!(found, expected);
        assert_eq!(segments(&DeviceUse { capacity_bytes: 9, ..DeviceUse::default() }).len(), 1);
    }
}
