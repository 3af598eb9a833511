//! The textbook formulation: one binary for every unit and device.
//!
//! It is what one would write first, correct and slow. Nothing is merged, so nothing can be merged wrongly:
//! tests compare the counting formulation with it.

use super::memory::{self, Occupant};
use super::{Goal, PerDevice, times};
use crate::model::ComponentId;
use crate::plan::caps::Caps;
use crate::plan::classes::{Classes, Unit};
use crate::plan::evaluate::Assignment;
use crate::plan::program::{Program, Var};
use crate::problem::{ObjectiveKind, Problem};

use super::counts::whole;

/// The program with the meaning of its variables.
#[derive(Debug)]
pub(in crate::plan) struct Textbook {
    pub(in crate::plan) program: Program,
    embedding: PerDevice,
    head: PerDevice,
    homes: Vec<PerDevice>,
    /// Per layer, per item.
    items: Vec<Vec<PerDevice>>,
}

impl Textbook {
    /// States the program for `goal` under `caps`.
    pub(in crate::plan) fn state(
        problem: &Problem,
        classes: &Classes,
        caps: &Caps,
        goal: Goal,
    ) -> Self {
        let mut program = Program::default();
        let mut occupants: Vec<Vec<Occupant>> = vec![Vec::new(); problem.devices.len()];
        let mut place = |unit: &Unit| {
            // A unit without components stands for an embedding that the problem does not have.
            let first = unit.components.first().map(|&c| problem.components[c].demand.id);
            let name = first.unwrap_or(ComponentId::Embedding).to_string();
            place(&mut program, &mut occupants, problem, &name, unit)
        };
        let embedding = place(&classes.embedding);
        let head = classes.head.as_ref().map_or_else(|| embedding.clone(), &mut place);
        let homes: Vec<PerDevice> = classes.layers.iter().map(|l| place(&l.home)).collect();
        let items: Vec<Vec<PerDevice>> =
            classes.layers.iter().map(|l| l.items.iter().map(&mut place).collect()).collect();
        let nothing = vec![Vec::new(); problem.devices.len()];
        memory::add(&mut program, problem, &occupants, &nothing, caps, goal);
        let mut textbook = Self { program, embedding, head, homes, items };
        if goal == Goal::Objective(ObjectiveKind::Traffic) || caps.traffic.is_some() {
            textbook.add_traffic(problem, classes, caps, goal);
        }
        textbook
    }

    fn add_traffic(&mut self, problem: &Problem, classes: &Classes, caps: &Caps, goal: Goal) {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let per_hand_over = signed(problem.traffic_denominator);
        let mut terms = Vec::new();
        let mut chain: Vec<PerDevice> = vec![self.embedding.clone()];
        chain.extend(self.homes.iter().cloned());
        chain.push(self.head.clone());
        for (link, pair) in chain.windows(2).enumerate() {
            let changes = self.differ(&format!("change{link}"), &pair[0], &pair[1]);
            terms.push((changes, per_hand_over));
        }
        for (l, layer) in classes.layers.iter().enumerate() {
            for (e, item) in layer.items.iter().enumerate() {
                let (here, home) = (self.items[l][e].clone(), self.homes[l].clone());
                let remote = self.differ(&format!("remote{l}_{e}"), &here, &home);
                terms.push((remote, 2 * signed(item.profile.visits)));
            }
        }
        if let Some(cap) = caps.traffic {
            self.program.at_most("traffic".to_owned(), terms.clone(), signed(cap));
        }
        if goal == Goal::Objective(ObjectiveKind::Traffic) {
            self.program.objective = terms;
        }
    }

    /// A variable that is at least 1 when the two live on different devices.
    fn differ(&mut self, name: &str, a: &PerDevice, b: &PerDevice) -> Var {
        let differ = self.program.continuous(name.to_owned(), Some(1));
        for (d, (a, b)) in a.iter().zip(b).enumerate() {
            let Some(a) = a else { continue };
            let mut row = vec![(*a, 1), (differ, -1)];
            row.extend(b.map(|b| (b, -1)));
            self.program.at_most(format!("{name}_{d}"), row, 0);
        }
        differ
    }

    /// Reads a solver's point.
    pub(in crate::plan) fn read(&self, values: &[f64]) -> Option<Assignment> {
        let device = |vars: &PerDevice| {
            vars.iter().position(|v| v.and_then(|v| whole(*values.get(v.0)?)) == Some(1))
        };
        let devices = |all: &Vec<PerDevice>| all.iter().map(device).collect::<Option<Vec<_>>>();
        Some(Assignment {
            embedding: device(&self.embedding)?,
            head: device(&self.head)?,
            homes: devices(&self.homes)?,
            items: self.items.iter().map(devices).collect::<Option<_>>()?,
        })
    }
}

fn place(
    program: &mut Program,
    occupants: &mut [Vec<Occupant>],
    problem: &Problem,
    name: &str,
    unit: &Unit,
) -> PerDevice {
    let mut vars: PerDevice = vec![None; problem.devices.len()];
    for d in unit.profile.allowed.iter().take_while(|&d| d < problem.devices.len()) {
        let var = program.binary(format!("{name}.{}", problem.devices[d].id));
        occupants[d].push(Occupant { var, profile: unit.profile, count_max: 1 });
        vars[d] = Some(var);
    }
    program.equal(format!("place.{name}"), times(&vars, 1).collect(), 1);
    vars
}
