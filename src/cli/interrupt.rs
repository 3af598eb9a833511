//! Ctrl-C: the first one asks the work to end where it may, the second one ends the program.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use apportion::error::Error;

/// What shells report for a program that Ctrl-C ended: 128 and the number of SIGINT.
pub const STATUS: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the answer becomes true at Ctrl-C.
///
/// # Errors
/// A system without such signals.
pub fn flag() -> Result<&'static AtomicBool, Error> {
    let handle = || {
        if ASKED.swap(true, Ordering::Relaxed) {
            process::exit(i32::from(STATUS));
        }
        super::say("ending; Ctrl-C again ends it at once");
    };
    ctrlc::set_handler(handle)
        .map_err(|error| Error::new("listen for Ctrl-C").found(error.to_string()))?;
    Ok(&ASKED)
}
