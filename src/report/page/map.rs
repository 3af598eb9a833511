//! The map as a table: a row per layer, a cell per run of experts on one device, and what the layer sends.

use std::fmt::Write;

use super::grid::{Home, Row, Run, SINGLE_MAX};
use super::transfers::{Sent, Transfers};
use super::{View, share};
use crate::hardware::DeviceKind;
use crate::report::markup::{escaped, shown};
use crate::units::format_bytes;

/// How cells are made to fit: by the number of experts.
struct Fit {
    class: &'static str,
    /// The fewest columns that have room for a letter.
    letter_columns: usize,
}

fn fit(experts: usize) -> Fit {
    match experts {
        0 => Fit { class: "full few", letter_columns: 1 },
        1..=SINGLE_MAX => Fit { class: "full", letter_columns: 1 },
        25..=64 => Fit { class: "full wide", letter_columns: 1 },
        65..=128 => Fit { class: "e128", letter_columns: 1 },
        129..=256 => Fit { class: "e256", letter_columns: 3 },
        _ => Fit { class: "e512", letter_columns: 4 },
    }
}

/// How wide a map of many experts is: all of them equally many whole pixels, or their columns would look uneven.
pub(super) fn rules(view: &View<'_>) -> String {
    let experts = view.grid.experts();
    let [narrow, wide] = match experts {
        0..=64 => return String::new(),
        65..=128 => [8, 9],
        129..=256 => [3, 4],
        _ => [2, 3],
    };
    let parts = view.grid.columns.len() - experts;
    let sent = view.transfers.as_ref().map_or(0, |all| if all.are_crossings { 2 } else { 3 });
    // The widths of columns in the style sheet.
    let [screen, phone] = [[84, 42, 0, 184, 238], [64, 30, 0, 96, 130]]
        .map(|[name, part, none, two, three]| name + part * parts + [none, 0, two, three][sent]);
    format!(
        ".map{{width:{}px}}.c-expert{{width:{narrow}px}}\n\
         @media (min-width:1500px){{.map{{width:{}px}}.c-expert{{width:{wide}px}}}}\n\
         @media screen and (max-width:760px){{.map{{width:{}px}}}}\n",
        screen + narrow * experts,
        screen + wide * experts,
        phone + narrow * experts,
    )
}

/// The height of rows: a long model must still be seen at once.
fn height(rows: usize) -> &'static str {
    match rows {
        0..=44 => "h16",
        45..=80 => "h12",
        81..=160 => "h9",
        _ => "h6",
    }
}

pub(super) fn section(view: &View<'_>) -> String {
    let grid = &view.grid;
    let fit = fit(grid.experts());
    let mut out = format!(
        "<section aria-labelledby=\"map\"><h2 id=\"map\">The map</h2>\n<p class=\"note\">{}</p>\n{}\
         <div class=\"scroll nav\" data-nav=\"map\" tabindex=\"0\" role=\"region\" aria-label=\"layers and experts\">\n\
         <table class=\"map {} {}\" role=\"grid\" aria-label=\"which device holds what\">\n",
        note(view),
        legend(view),
        fit.class,
        height(grid.rows.len()),
    );
    head(&mut out, view);
    out.push_str("<tbody>\n");
    let last = grid.rows.len().saturating_sub(1);
    for (index, row) in grid.rows.iter().enumerate() {
        let sent =
            view.transfers.as_ref().and_then(|transfers| transfers.beside(row, index == last));
        body_row(&mut out, view, row, sent.as_ref(), &fit);
    }
    out.push_str("</tbody></table></div>\n");
    let text = crate::report::map(view.problem, view.placement, 100);
    let _ = writeln!(
        out,
        "<details><summary>The same as text</summary><pre>{}</pre></details></section>",
        escaped(&text)
    );
    out
}

fn note(view: &View<'_>) -> String {
    let mut text = String::from(
        "A row per layer in the order a token passes them; letters say which device, as colours do.",
    );
    match &view.transfers {
        None => text.push_str(" Crossings between layers are not known without pair counts."),
        Some(transfers) if transfers.are_crossings => text.push_str(
            " On the right, expected transfers per token on the way from the layer before.",
        ),
        Some(_) => text.push_str(
            " On the right, expected transfers per token: to the layer\u{2019}s home if the one before is \
             elsewhere (as dark or light as text), and there and back to its remote experts.",
        ),
    }
    if view.grid.is_sorted {
        text.push_str(
            " Experts of a layer stand by device here and not by number: there are too many to draw one by one.",
        );
    }
    text
}

/// Which letter and colour is which device.
pub(super) fn legend(view: &View<'_>) -> String {
    let mut out = String::from("<ul class=\"legend\">");
    for (index, device) in view.problem.devices.iter().enumerate() {
        let kind = if device.kind == DeviceKind::Cpu { "host memory" } else { "GPU" };
        let _ = write!(
            out,
            "<li><span class=\"chip d{index}\">{}</span>{} <span class=\"soft\">{kind}, {}</span></li>",
            view.letter(index),
            shown(&device.id),
            format_bytes(device.capacity_bytes),
        );
    }
    let everywhere = view.grid.rows.iter().flat_map(|row| &row.runs);
    if everywhere.into_iter().any(|run| run.home == Home::Everywhere) {
        out.push_str("<li><span class=\"chip all\">*</span>on every device</li>");
    }
    out.push_str("</ul>\n");
    out
}

fn head(out: &mut String, view: &View<'_>) {
    let grid = &view.grid;
    out.push_str("<colgroup><col class=\"c-name\"/>");
    for column in &grid.columns {
        let class = if column.is_expert() { "c-expert" } else { "c-part" };
        let _ = write!(out, "<col class=\"{class}\"/>");
    }
    if let Some(transfers) = &view.transfers {
        let remote = if transfers.are_crossings { "" } else { "<col class=\"c-remote\"/>" };
        let _ = write!(out, "{remote}<col class=\"c-num\"/><col class=\"c-sent\"/>");
    }
    out.push_str("</colgroup>\n<thead><tr><th scope=\"col\">layer</th>");
    for column in grid.columns.iter().filter(|column| !column.is_expert()) {
        let _ =
            write!(out, "<th scope=\"col\" title=\"{}\">{}</th>", column.words(), column.name());
    }
    match grid.experts() {
        0 => {}
        experts @ 1..=16 => {
            for expert in 0..experts {
                let _ = write!(out, "<th scope=\"col\" title=\"expert {expert}\">{expert}</th>");
            }
        }
        experts => {
            let _ = write!(
                out,
                "<th scope=\"colgroup\" colspan=\"{experts}\" class=\"l\">experts 0\u{2013}{}</th>",
                experts - 1
            );
        }
    }
    if let Some(transfers) = &view.transfers {
        let remote = "<th scope=\"col\" class=\"r\">remote</th>";
        let remote = if transfers.are_crossings { "" } else { remote };
        let _ = write!(
            out,
            "{remote}<th scope=\"colgroup\" colspan=\"2\" class=\"r\">transfers per token</th>"
        );
    }
    out.push_str("</tr></thead>\n");
}

fn body_row(out: &mut String, view: &View<'_>, row: &Row, sent: Option<&Sent>, fit: &Fit) {
    let over = if sent.is_some_and(|sent| sent.hand_overs > 0) { " class=\"over\"" } else { "" };
    let _ = write!(out, "<tr data-row=\"\"{over}><th scope=\"row\">{}</th>", row.name);
    let mut at = 0;
    for run in &row.runs {
        empty(out, run.first - at);
        cell(out, view, run, fit);
        at = run.first + run.columns;
    }
    empty(out, view.grid.columns.len() - at);
    if let Some(transfers) = &view.transfers {
        beside(out, transfers, row, sent);
    }
    out.push_str("</tr>\n");
}

fn empty(out: &mut String, columns: usize) {
    let _ = match columns {
        0 => Ok(()),
        1 => write!(out, "<td></td>"),
        _ => write!(out, "<td colspan=\"{columns}\"></td>"),
    };
}

fn cell(out: &mut String, view: &View<'_>, run: &Run, fit: &Fit) {
    let span =
        if run.columns > 1 { format!(" colspan=\"{}\"", run.columns) } else { String::new() };
    let expert = view.grid.columns[run.first].is_expert();
    let has_room = !expert || run.columns >= fit.letter_columns;
    let class = match run.home {
        Home::On(device) if has_room => format!("d{device}"),
        Home::On(device) => format!("\"n d{device}\""),
        Home::Everywhere => "all".to_owned(),
    };
    let letter = match run.home {
        Home::On(device) if has_room => view.letter(device),
        Home::On(_) => "",
        Home::Everywhere => "*",
    };
    let class = class.trim_matches('"');
    let _ = write!(out, "<td class=\"{class}\"{span} title=\"{}\">{letter}</td>", told(view, run));
}

/// `layers.3.experts.0-7: 0 = gpu0, 1.20 GiB`.
pub(super) fn told(view: &View<'_>, run: &Run) -> String {
    let home = match run.home {
        Home::On(device) => {
            format!("{} = {}", view.letter(device), shown(&view.problem.devices[device].id))
        }
        Home::Everywhere => "* = every device".to_owned(),
    };
    let cache = match run.kv_cache_bytes {
        0 => String::new(),
        bytes => format!(", KV cache {}", format_bytes(bytes)),
    };
    format!("{}: {home}, {}{cache}", run.name, format_bytes(run.weights_bytes))
}

fn beside(out: &mut String, transfers: &Transfers, row: &Row, sent: Option<&Sent>) {
    let columns = if transfers.are_crossings { 2 } else { 3 };
    let Some(sent) = sent else {
        let _ = write!(out, "<td class=\"num\" colspan=\"{columns}\"></td>");
        return;
    };
    if !transfers.are_crossings {
        let count =
            if sent.remote_experts > 0 { sent.remote_experts.to_string() } else { String::new() };
        let _ = write!(out, "<td class=\"num\">{count}</td>");
    }
    let number = if sent.units() > 0 { transfers.number(sent.units()) } else { String::new() };
    let hand = share(sent.hand_units, transfers.most);
    let _ = write!(
        out,
        "<td class=\"num\">{number}</td><td class=\"sent\" data-units=\"{}\" title=\"{}\">\
         <svg width=\"100%\" height=\"6\" aria-hidden=\"true\">\
         <rect class=\"hand\" width=\"{hand}%\" height=\"6\"/>\
         <rect class=\"away\" x=\"{hand}%\" width=\"{}%\" height=\"6\"/></svg></td>",
        sent.units(),
        transfers.told(row, sent),
        share(sent.away_units, transfers.most),
    );
}
