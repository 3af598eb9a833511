//! What every placement of a small problem costs, for all objectives and both kinds of sends.

use apportion::placement::Placement;
use apportion::problem::{ObjectiveKind, ObjectiveValue, Problem, Sends};
use apportion::units::Ratio;
use apportion::verify::verify;

use crate::support::{enumerate, placements};

/// The objectives, and what one placement has of them.
pub type Values = Vec<(ObjectiveKind, ObjectiveValue)>;

pub const KINDS: [ObjectiveKind; 5] = [
    ObjectiveKind::SpillBytes,
    ObjectiveKind::PeakUtilization,
    ObjectiveKind::Traffic,
    ObjectiveKind::DevicesUsed,
    ObjectiveKind::Migration,
];

/// The values of every placement that respects the problem; `None` when there are more than `most` to look
/// at.
pub fn all_values(problem: &Problem, most: u64) -> Option<Vec<Values>> {
    if placements(problem) > most {
        return None;
    }
    let values = |placement: Placement| {
        let measured = verify(problem, &placement).ok()?;
        let devices = u64::try_from(problem.devices_max.unwrap_or(usize::MAX)).unwrap();
        let used = measured.value(ObjectiveKind::DevicesUsed);
        if used > ObjectiveValue::Count(devices) {
            return None;
        }
        let value = |kind| match (kind, problem.sends) {
            (ObjectiveKind::Traffic, Sends::PerDevice { experts, experts_per_token }) => {
                let chain = measured.traffic.hand_overs * problem.traffic_denominator;
                let sent = sent(problem, &placement, (experts, experts_per_token));
                ObjectiveValue::Ratio(Ratio::new(chain + sent, problem.traffic_denominator))
            }
            (kind, _) => measured.value(kind),
        };
        Some(KINDS.map(|kind| (kind, value(kind))).to_vec())
    };
    Some(enumerate(problem).filter_map(values).collect())
}

/// One value of a placement.
pub fn of(values: &Values, kind: ObjectiveKind) -> ObjectiveValue {
    values.iter().find(|(of, _)| *of == kind).unwrap().1
}

/// Units of traffic to devices that hold part of a layer and are not its home, once for each.
fn sent(problem: &Problem, placement: &Placement, (experts, chosen): (u32, u32)) -> u64 {
    let mut units = 0;
    for (home, attention) in problem.components.iter().zip(&placement.device_of) {
        let id = home.demand.id;
        if id != apportion::model::ComponentId::Attention(id.layer().unwrap_or(0)) {
            continue;
        }
        for device in (0..problem.devices.len()).filter(|device| device != attention) {
            let here = problem.components.iter().zip(&placement.device_of);
            let here = here.filter(|(c, on)| c.demand.id.layer() == id.layer() && **on == device);
            let kinds: Vec<_> = here.map(|(c, _)| c.demand.id.kind()).collect();
            let always = kinds.iter().any(|kind| *kind != apportion::model::ComponentKind::Expert);
            let one_way = match kinds.len() {
                _ if always => problem.traffic_denominator,
                n => chance((experts, chosen), problem.traffic_denominator, n),
            };
            units += 2 * one_way;
        }
    }
    units
}

/// The chance that one of `n` experts is chosen, in units, rounded up.
pub fn chance((experts, chosen): (u32, u32), denominator: u64, n: usize) -> u64 {
    let left = u64::from(experts).saturating_sub(u64::try_from(n).unwrap());
    let missed = binomial(left, chosen.into()) * u128::from(denominator);
    denominator - u64::try_from(missed / binomial(experts.into(), chosen.into())).unwrap()
}

fn binomial(of: u64, choose: u64) -> u128 {
    if choose > of {
        return 0;
    }
    (0..choose).fold(1, |product, i| product * u128::from(of - i) / u128::from(i + 1))
}
