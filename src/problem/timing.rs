//! What a step takes, as plain numbers: all that an objective of time knows.
//!
//! A step passes the chain of embedding, layers and head once. In a layer the home works first (attention
//! and router), then every device that holds something of the feed-forward part which the step visits.
//! Times are whole picoseconds, rounded up where they come from divisions.

use crate::runtime::{LayerDevices, SendRule};

/// Which experts of a layer a step visits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Draw {
    /// So many of them, any set of that size as likely as any other: sizes with their weights. Empty for a
    /// layer without experts.
    Even(Vec<(u32, u64)>),
    /// These sets of experts (ascending numbers within the layer), with their weights.
    Sets(Vec<(Vec<u32>, u64)>),
}

impl Draw {
    /// The most sets a layer's draw may list.
    pub const SETS_MAX: usize = 4096;

    /// The sum of all weights.
    pub fn weight(&self) -> u128 {
        match self {
            Self::Even(sizes) => sizes.iter().map(|&(_, weight)| u128::from(weight)).sum(),
            Self::Sets(sets) => sets.iter().map(|&(_, weight)| u128::from(weight)).sum(),
        }
    }
}

/// What one kind of step takes: what everything costs everywhere, and how the runtime goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Per component and device: what a visit of the component takes there. For embedding, attention,
    /// router, mlp, shared expert, final norm and head that is what a step takes; for an expert what a step
    /// takes that visits it.
    pub visit_ps: Vec<Vec<u64>>,
    /// Per device and device: until the first byte of what the one sends is at the other; 0 from a device
    /// to itself.
    pub latency_ps: Vec<Vec<u64>>,
    /// Per device and device: for every token that is sent; 0 from a device to itself.
    pub token_ps: Vec<Vec<u64>>,
    /// Tokens of a step, in thousandths: what a hand-over sends, and what is sent for a part that every
    /// token visits.
    pub tokens_milli: u64,
    /// Per component, in thousandths of a token: what is sent to an expert which a step visits; what a matrix
    /// of experts gives to the next, or home, in tokens as wide as the model; 0 for others.
    pub expert_tokens_milli: Vec<u64>,
    /// Whether a device is sent to once for each visited expert, or once.
    pub sends: SendRule,
    /// Whether the devices of one layer take turns or work at the same time.
    pub devices: LayerDevices,
    /// Per set of routing statistics, per layer: what a step visits. The value of the objective is that
    /// of the set under which a step takes longest.
    pub draws: Vec<Vec<Draw>>,
}

impl Timing {
    /// No single time may be longer: about 18 minutes.
    pub const PS_MAX: u64 = 1 << 50;

    /// What it takes to send so many tokens, in thousandths.
    pub fn send_ps(&self, from: usize, to: usize, tokens_milli: u64) -> u64 {
        let tokens = u128::from(self.token_ps[from][to]) * u128::from(tokens_milli);
        let tokens = u64::try_from(tokens.div_ceil(1000)).unwrap_or(u64::MAX);
        self.latency_ps[from][to].saturating_add(tokens)
    }

    /// What a change of device along the chain takes.
    pub fn hand_over_ps(&self, from: usize, to: usize) -> u64 {
        if from == to { 0 } else { self.send_ps(from, to, self.tokens_milli) }
    }

    /// There and back.
    pub fn round_trip_ps(&self, home: usize, device: usize, tokens_milli: u64) -> u64 {
        if home == device {
            return 0;
        }
        let there = self.send_ps(home, device, tokens_milli);
        there.saturating_add(self.send_ps(device, home, tokens_milli))
    }
}
