//! Where quantizing stages.

use super::choose;
use crate::error::Error;

/// Where the 16-bit matrix lives while its quantized copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Staging {
    /// On the device that gets the weights, as bitsandbytes does.
    Device,
    /// In host memory.
    Host,
    /// Nowhere: the file already holds quantized weights.
    None,
}

impl Staging {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Device, Self::Host, Self::None];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Host => "host",
            Self::None => "none",
        }
    }

    /// Reads a name; case does not matter.
    ///
    /// # Errors
    /// Another name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        choose(text, "read the staging", &Self::ALL, Self::name)
    }
}
