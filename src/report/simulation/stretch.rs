//! Where a step stands when a whole load is drawn: in order, each phase with room enough to be seen.

use crate::simulate::Simulation;

/// The width of everything.
pub(in crate::report) const WHOLE: u64 = 1_000_000;
/// No phase has less, however few its steps.
const LEAST: u64 = 160_000;

/// Phases side by side: first step and where it stands, and where the last step ends.
pub(in crate::report) struct Stretch(Vec<(u64, u64)>);

impl Stretch {
    pub(in crate::report) fn of(simulation: &Simulation) -> Self {
        let all = whole(simulation.steps_in_all.max(1));
        let mut begins: Vec<u64> =
            simulation.phases.iter().map(|start| whole(start.step)).collect();
        begins.push(all);
        let steps: Vec<u64> = begins.windows(2).map(|two| two[1].saturating_sub(two[0])).collect();
        // What is beyond the least is shared by the number of steps.
        let phases = whole(steps.len());
        let free = WHOLE.saturating_sub(LEAST.saturating_mul(phases));
        let mut at = 0;
        let mut points = Vec::new();
        for (begin, steps) in begins.iter().zip(&steps) {
            points.push((*begin, at));
            at += LEAST + scaled(free, *steps, all);
        }
        points.push((all, WHOLE));
        Self(points)
    }

    /// From 0 to [`WHOLE`].
    pub(in crate::report) fn place(&self, step: usize) -> u64 {
        let step = whole(step);
        let next = self.0.partition_point(|&(begin, _)| begin <= step);
        let (Some(&(begin, from)), Some(&(end, to))) =
            (self.0.get(next.saturating_sub(1)), self.0.get(next))
        else {
            return WHOLE;
        };
        from + scaled(
            to.saturating_sub(from),
            step.saturating_sub(begin),
            end.saturating_sub(begin),
        )
    }
}

fn whole(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// `of` x `part` / `all`.
fn scaled(of: u64, part: u64, all: u64) -> u64 {
    let product = u128::from(of) * u128::from(part) / u128::from(all.max(1));
    u64::try_from(product).unwrap_or(u64::MAX)
}
