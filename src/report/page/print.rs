//! The page on one sheet of paper: A4, made as small as what is on it needs.

use super::View;

/// Rules for paper.
pub(super) fn rules(view: &View<'_>) -> String {
    let _ = view;
    "@page{size:A4 portrait;margin:10mm}\n".to_owned()
}
