//! Certificates: bounds known by hand, and bounds of random prices against complete enumeration.

mod soundness;
mod values;
