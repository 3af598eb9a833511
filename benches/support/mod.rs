//! What the rows of a bench are made of.

pub mod clock;
pub mod instance;
pub mod machine;
pub mod plot;
pub mod sparse;
pub mod table;
