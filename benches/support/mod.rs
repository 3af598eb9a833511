//! What the rows of a bench are made of.

#[cfg(feature = "candle")]
pub mod cache;
pub mod clock;
pub mod instance;
pub mod machine;
#[cfg(feature = "candle")]
pub mod mixtral;
#[cfg(feature = "candle")]
pub mod placed;
pub mod plot;
pub mod quiet;
pub mod sparse;
pub mod table;
