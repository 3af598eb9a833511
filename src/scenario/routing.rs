//! What routing statistics change in the problem: how often a token visits an expert.

use super::Scenario;
use crate::error::Error;
use crate::model::ComponentId;
use crate::problem::ObjectiveKind;
use crate::routing::Statistics;
use crate::runtime::SendRule;

/// The most sets of statistics that one placement is made for.
const STATISTICS_MAX: usize = 16;

impl Scenario {
    /// Whether the statistics are of this model, and whether traffic can be counted by them where it is an
    /// objective.
    pub(super) fn check_routing(&self) -> Result<(), Error> {
        let statistics = &self.limits.routing;
        statistics.iter().try_for_each(|one| one.fits(&self.model))?;
        let refuse = |expected: String, found: String| {
            Error::new("use the routing statistics").expected(expected).found(found)
        };
        if statistics.len() > STATISTICS_MAX {
            let expected = format!("at most {STATISTICS_MAX} of them");
            return Err(refuse(expected, statistics.len().to_string()));
        }
        let counts = self.objectives.iter().any(|o| o.kind == ObjectiveKind::Traffic);
        match (counts && !statistics.is_empty(), self.send_rule()) {
            (true, SendRule::PerDevice) => Err(refuse(
                "sends per expert, by whose counts traffic is a sum".to_owned(),
                "sends per device, which statistics do not price".to_owned(),
            )
            .hint("ask for `--objective decode_latency`, which prices both, or for --sends per-expert")),
            (true, SendRule::PerExpert) if statistics.len() > 1 => Err(refuse(
                "one file where traffic is an objective".to_owned(),
                format!("{}: the worst of several is no sum", statistics.len()),
            )
            .hint("ask for `--objective decode_latency`, which is the worst of theirs")),
            _ => Ok(()),
        }
    }

    /// Whether a token is sent to every chosen expert that is away from home.
    pub fn sends_per_expert(&self) -> bool {
        self.send_rule() == SendRule::PerExpert
    }

    /// The statistics that traffic is counted by. Several, or sends per device, leave traffic as it is when
    /// every expert is as likely as any other.
    pub(super) fn counted(&self) -> Option<&Statistics> {
        match self.limits.routing.as_slice() {
            [one] if self.send_rule() == SendRule::PerExpert => Some(one),
            _ => None,
        }
    }

    /// How many of the tokens that were counted chose the expert; `None` without statistics.
    pub(super) fn counted_visits(&self, id: ComponentId) -> Option<u64> {
        let ComponentId::Expert(layer, expert) = id else { return None };
        let row = self.counted()?.counts.get(usize::try_from(layer).ok()?)?;
        row.get(usize::try_from(expert).ok()?).copied()
    }
}
