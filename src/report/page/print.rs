//! The page on one sheet of paper: A4 upright, made as small as what is on it needs.
//!
//! Pages are laid out without knowing how tall words become, so the height is estimated from what there is, on the
//! safe side; the check in a browser counts the sheets.

use super::View;
use super::timeline::Replay;

/// What is inside the margins of a sheet, in CSS pixels.
const SHEET: (f64, f64) = (718.0, 1046.0);
/// More devices than this have no panels on paper.
const PANELS_MAX: usize = 16;

/// Rules for paper.
pub(super) fn rules(view: &View<'_>) -> String {
    let wide = width(view);
    let mut zoom: f64 = 0.75;
    // The smaller it is printed, the more goes side by side.
    for _ in 0..60 {
        let across = SHEET.0 / zoom;
        if across >= wide && height(view, across) * zoom <= SHEET.1 {
            break;
        }
        zoom *= 0.97;
    }
    let panels = if view.problem.devices.len() > PANELS_MAX { ".load{display:none}" } else { "" };
    format!(
        "@page{{size:A4 portrait;margin:10mm}}\n\
         @media print{{body{{zoom:{zoom:.3}}}.map{{width:100%}}{}{panels}}}\n",
        even_rows(view, zoom)
    )
}

/// Rows of the map as tall as a whole number of pixels of the sheet, or some would look taller than others.
fn even_rows(view: &View<'_>, zoom: f64) -> String {
    let pixels = (row_height(view.grid.rows.len()) * zoom).floor().max(3.0);
    format!(
        ".map{{--high:{:.4}px}}.map td,.map tbody th{{font-size:{:.3}px;line-height:1.3}}",
        pixels / zoom,
        ((pixels - 1.0) / 1.3 / zoom).min(11.0)
    )
}

/// How tall a row of the map is on screens.
fn row_height(rows: usize) -> f64 {
    match rows {
        0..=44 => 17.0,
        45..=80 => 13.0,
        81..=160 => 10.0,
        _ => 7.0,
    }
}

/// The least width at which nothing is cut.
fn width(view: &View<'_>) -> f64 {
    match view.grid.experts() {
        0..=24 => 960.0,
        25..=64 => 1000.0,
        65..=128 => 1400.0,
        _ => 1200.0,
    }
}

/// How tall it will be, at this width.
fn height(view: &View<'_>, across: f64) -> f64 {
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let devices = count(view.problem.devices.len());
    let legend = (devices * 190.0 / across).ceil() * 24.0;
    let head = 260.0 + 24.0 * count(view.record.scenario.limits.routing.len());
    let memory = 120.0 + devices * 32.0;
    let rows = count(view.grid.rows.len());
    let row = row_height(view.grid.rows.len());
    let map = 130.0 + legend + rows * row;
    // The wider, the fewer lines a description takes.
    let lines = (2400.0 / across).clamp(1.0, 3.0).ceil();
    let bounds = 120.0 + count(view.record.objectives.len()) * (32.0 + 20.0 * lines);
    let habits = 140.0 + count(view.baselines.len()) * (34.0 + 20.0 * lines);
    let middle = if view.grid.experts() <= 24 {
        map.max(bounds + habits + 40.0)
    } else {
        map + bounds.max(habits) + 40.0
    };
    let load = match view.replay {
        Replay::Done { .. } if view.problem.devices.len() <= PANELS_MAX => {
            150.0 + (devices / (across / 300.0).floor().max(1.0)).ceil() * 164.0
        }
        _ => 90.0,
    };
    (head + memory + middle + load + 220.0) * 1.03
}
