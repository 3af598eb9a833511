//! What the page looks like: on screens of any width, light and dark, and on one sheet of paper.
//!
//! Its colours are those of the project's other pictures. No rule contains a name of anything.

use super::palette;
use crate::hardware::Device;

/// What is behind everything, light and dark: the page, and what is set off from it.
#[cfg(test)]
pub(super) const PAPERS: [[&str; 2]; 2] = [["#ffffff", "#f6f8fa"], ["#0d1117", "#151b23"]];
/// What words are written in, most important first; the last one warns.
#[cfg(test)]
pub(super) const INKS: [[&str; 3]; 2] =
    [["#1f2328", "#59636e", "#9a1b1b"], ["#e6edf3", "#9ba5b0", "#ff9d94"]];
/// Lines that carry meaning: intervals and limits; edges of what is drawn.
#[cfg(test)]
pub(super) const LINES: [[&str; 2]; 2] = [["#0b57a4", "#7d8590"], ["#6cb6ff", "#7d8590"]];

/// The whole style sheet, with what is ruled by the size of the map and for paper.
pub(super) fn sheet(devices: &[Device], own: &str) -> String {
    let palette = palette::rules(devices);
    let marks = palette::marks(devices);
    format!("{BASE}{palette}{marks}{own}")
}

const BASE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::*;

    /// A sheet of paper within its margins is narrower than many a window; what is for phones is not for it.
    #[test]
    fn what_is_for_phones_is_for_screens_only() {
        assert!(BASE.contains("@media screen and (max-width:760px){"));
        assert!(!BASE.contains("@media (max-width"));
    }

    #[test]
    fn the_sheet_has_the_colours_that_are_checked() {
        for colour in
            PAPERS.iter().flatten().chain(INKS.iter().flatten()).chain(LINES.iter().flatten())
        {
            assert!(BASE.contains(&format!(":{colour};")), "{colour}");
        }
        assert!(
            !BASE.contains("url(") || BASE.matches("url(").count() == BASE.matches("url(#").count()
        );
    }
}
