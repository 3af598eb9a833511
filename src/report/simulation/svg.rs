//! Memory over the load as a picture.

use super::Replayed;

/// The whole file.
pub fn simulation_svg(_replayed: &Replayed<'_>) -> String {
    String::new()
}
