//! What each layer sends: where activations are handed over, and the way to experts that are elsewhere.

use std::collections::BTreeMap;

use super::grid::Row;
use crate::objective::{crossings_by_layer, traffic_by_layer};
use crate::placement::Placement;
use crate::problem::Problem;
use crate::report::{decimal, plural};
use crate::units::Ratio;

/// What a row of the map sends per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) hand_overs: u64,
    pub(super) remote_experts: u64,
    /// Of hand-overs, in units.
    pub(super) hand_units: u64,
    /// There and back to what is remote; or crossings from the layer before.
    pub(super) away_units: u64,
}

impl Sent {
    pub(super) fn units(&self) -> u64 {
        self.hand_units.saturating_add(self.away_units)
    }
}

/// All rows'.
#[derive(Clone, Debug)]
pub(super) struct Transfers {
    /// Per layer; `None` for the way to the head.
    rows: BTreeMap<Option<u32>, Sent>,
    /// What units are one over.
    pub(super) denominator: u64,
    /// Whether attention is replicated, and what is sent are crossings from layer to layer.
    pub(super) are_crossings: bool,
    /// The most that a row sends.
    pub(super) most: u64,
}

impl Transfers {
    /// Nothing where crossings cannot be told, because pairs were not counted.
    pub(super) fn of(problem: &Problem, placement: &Placement) -> Option<Self> {
        let denominator = problem.traffic_denominator;
        let are_crossings = problem.is_replicated();
        if are_crossings && problem.affinity.is_none() {
            return None;
        }
        let rows: BTreeMap<Option<u32>, Sent> = if are_crossings {
            let crossing =
                |(layer, away_units)| (Some(layer), Sent { away_units, ..Sent::default() });
            crossings_by_layer(problem, placement).into_iter().map(crossing).collect()
        } else {
            let layers = traffic_by_layer(problem, placement).into_iter();
            layers
                .map(|layer| {
                    let sent = Sent {
                        hand_overs: layer.hand_overs,
                        remote_experts: layer.remote_experts,
                        hand_units: layer.hand_overs.saturating_mul(denominator),
                        away_units: layer.sends_units,
                    };
                    (layer.layer, sent)
                })
                .collect()
        };
        let most = rows.values().map(Sent::units).max().unwrap_or(0);
        Some(Self { rows, denominator, are_crossings, most })
    }

    /// What is told beside a row of the map; the way to the head beside the last one.
    pub(super) fn beside(&self, row: &Row, is_last: bool) -> Option<Sent> {
        let key = row.layer.map(Some).or(is_last.then_some(None));
        key.and_then(|key| self.rows.get(&key)).copied()
    }

    /// Units as transfers per token.
    pub(super) fn number(&self, units: u64) -> String {
        decimal(Ratio::new(units, self.denominator))
    }

    /// `layer 3: 1 hand-over, 2 remote experts, 3 expected transfers per token`.
    pub(super) fn told(&self, row: &Row, sent: &Sent) -> String {
        let layer =
            row.layer.map_or_else(|| "to the head".to_owned(), |layer| format!("layer {layer}"));
        let number = self.number(sent.units());
        if self.are_crossings {
            return format!("{layer}: {number} expected crossings per token from the layer before");
        }
        format!(
            "{layer}: {}, {}, {number} expected transfers per token",
            plural(sent.hand_overs, "hand-over"),
            plural(sent.remote_experts, "remote expert"),
        )
    }
}
