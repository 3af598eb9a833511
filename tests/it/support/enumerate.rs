//! All placements of a small problem.

use apportion::placement::Placement;
use apportion::problem::{DeviceSet, Problem};

/// Every placement that keeps together what lives together and respects `allowed`, each once, the last
/// free component turning fastest. Capacities are not looked at.
pub fn enumerate(problem: &Problem) -> impl Iterator<Item = Placement> + use<> {
    let Odometer { wheel_of, choices } = Odometer::new(problem);
    let mut wheels = choices.iter().all(|c| !c.is_empty()).then(|| vec![0; choices.len()]);
    std::iter::from_fn(move || {
        let current = wheels.clone()?;
        wheels = turned(current.clone(), &choices);
        let device_of = wheel_of.iter().map(|&w| choices[w][current[w]]).collect();
        Some(Placement { device_of })
    })
}

/// How many placements [`enumerate`] would give; saturated.
pub fn placements(problem: &Problem) -> u64 {
    let choices = Odometer::new(problem).choices;
    choices.iter().fold(1, |product: u64, c| product.saturating_mul(c.len() as u64))
}

/// One wheel per free component, with the devices it shows; what lives with it turns along.
struct Odometer {
    /// Per component.
    wheel_of: Vec<usize>,
    /// Per wheel.
    choices: Vec<Vec<usize>>,
}

impl Odometer {
    fn new(problem: &Problem) -> Self {
        let components = &problem.components;
        let free: Vec<usize> = (0..components.len())
            .filter(|&i| components[i].lives_with == components[i].demand.id)
            .collect();
        let wheel_of: Vec<usize> = components
            .iter()
            .map(|component| {
                let partner = problem.index_of(component.lives_with).unwrap();
                free.binary_search(&partner).unwrap()
            })
            .collect();
        let mut allowed = vec![DeviceSet::first(problem.devices.len()); free.len()];
        for (component, &wheel) in components.iter().zip(&wheel_of) {
            allowed[wheel] = allowed[wheel].and(component.allowed);
        }
        Self { wheel_of, choices: allowed.iter().map(|set| set.iter().collect()).collect() }
    }
}

/// The odometer one step on; `None` after its last position.
fn turned(mut wheels: Vec<usize>, choices: &[Vec<usize>]) -> Option<Vec<usize>> {
    for wheel in (0..wheels.len()).rev() {
        wheels[wheel] += 1;
        if wheels[wheel] < choices[wheel].len() {
            return Some(wheels);
        }
        wheels[wheel] = 0;
    }
    None
}
