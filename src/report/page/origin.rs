//! Where a map comes from: what it was solved for, by what, and how to check it.

use std::fmt::Write;

use super::View;
use crate::report::markup::{escaped, shown, visible};
use crate::report::quantization;
use crate::units::grouped;

pub(super) fn section(view: &View<'_>) -> String {
    let record = view.record;
    let scenario = &record.scenario;
    let entries = [
        ("model", format!("{}, {}", shown(&scenario.model.name), shown(&scenario.model.family))),
        ("its fingerprint", format!("<code>{}</code>", shown(&scenario.model.fingerprint))),
        ("quantization", escaped(&visible(&quantization(&scenario.scheme), 200))),
        ("problem", format!("<code>{}</code>", shown(&record.problem))),
        ("solved by", format!("{}, {} nodes", shown(&record.solver), grouped(record.nodes))),
        (
            "verified by",
            format!(
                "apportion {}; <code>apportion check PLACEMENT</code> does it again",
                env!("CARGO_PKG_VERSION")
            ),
        ),
    ];
    let mut out = String::from(
        "<section aria-labelledby=\"origin\"><h2 id=\"origin\">Where this comes from</h2>\n<dl class=\"origin\">",
    );
    for (name, value) in entries {
        let _ = write!(out, "<dt>{name}</dt><dd>{value}</dd>");
    }
    out.push_str("</dl></section>\n");
    out
}
