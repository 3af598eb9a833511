//! The textbook formulation: one binary for every unit and device.
//!
//! It is what one would write first, correct and slow. Nothing is merged, so nothing can be merged wrongly:
//! tests compare the counting formulation with it.

use super::memory::{Memory, Occupant};
use super::{Goal, PerDevice, Stated, sends, signed, times};
use crate::model::ComponentId;
use crate::objective::{Amount, Linear, Placed, Terms};
use crate::plan::caps::Caps;
use crate::plan::classes::{Classes, Layer, Unit};
use crate::plan::evaluate::Assignment;
use crate::plan::sends::Prices;
use crate::problem::Problem;
use crate::program::{Program, Var};

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
        let mut textbook = Self { program, embedding, head, homes, items };
        let program = &mut textbook.program;
        let memory = Memory::state(program, problem, occupants, &nothing, caps, goal);
        let mut stated = StatedTextbook { problem, classes, memory, textbook: &mut textbook };
        super::objectives(&mut stated, caps, goal);
        textbook
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

/// The textbook program while objectives are stated in it.
struct StatedTextbook<'a> {
    problem: &'a Problem,
    classes: &'a Classes,
    memory: Memory<'a>,
    textbook: &'a mut Textbook,
}

impl Stated for StatedTextbook<'_> {
    fn program(&mut self) -> &mut Program {
        &mut self.textbook.program
    }
}

impl Terms for StatedTextbook<'_> {
    fn problem(&self) -> &Problem {
        self.problem
    }

    fn placed(&mut self, visit: &mut dyn FnMut(Placed)) {
        self.memory.placed(self.classes, visit);
    }

    fn hosts(&mut self, device: usize) -> Linear {
        self.memory.counted(&mut self.textbook.program, device)
    }

    fn peak(&mut self) -> Linear {
        self.memory.peak()
    }

    fn hand_overs(&mut self) -> Linear {
        let textbook = &mut *self.textbook;
        let mut chain: Vec<PerDevice> = vec![textbook.embedding.clone()];
        chain.extend(textbook.homes.iter().cloned());
        chain.push(textbook.head.clone());
        let mut hand_overs = Linear::default();
        for (link, pair) in chain.windows(2).enumerate() {
            let changes = textbook.differ(&format!("change{link}"), &pair[0], &pair[1]);
            hand_overs.add(Amount::Variable(changes), 1);
        }
        hand_overs
    }

    fn sends(&mut self) -> Linear {
        let mut sends = Linear::default();
        for (l, layer) in self.classes.layers.iter().enumerate() {
            let form = match &self.classes.sends {
                None => self.textbook.per_expert(l, layer),
                Some(prices) => self.textbook.per_device(l, layer, prices),
            };
            sends.add_form(&form, 1);
        }
        sends
    }
}

impl Textbook {
    /// A variable per item: 1 when it is away from home.
    fn per_expert(&mut self, l: usize, layer: &Layer) -> Linear {
        let mut sends = Linear::default();
        for (e, item) in layer.items.iter().enumerate() {
            let (here, home) = (self.items[l][e].clone(), self.homes[l].clone());
            let remote = self.differ(&format!("remote{l}_{e}"), &here, &home);
            sends.add(Amount::Variable(remote), 2 * signed(item.profile.visits));
        }
        sends
    }

    /// A price per device: what every token visits there, or as many experts as are there.
    fn per_device(&mut self, l: usize, layer: &Layer, prices: &Prices) -> Linear {
        let mut sends = Linear::default();
        for d in 0..self.homes[l].len() {
            let here = |routed: bool| -> Vec<Var> {
                let items = layer.items.iter().zip(&self.items[l]);
                let items = items.filter(|(item, _)| item.profile.routed == routed);
                items.filter_map(|(_, vars)| vars[d]).collect()
            };
            let (experts, always) = (here(true), here(false));
            let site = sends::Away { name: format!("{l}_{d}"), experts, always };
            let home = self.homes[l][d];
            sends.add_form(&sends::one_layer(&mut self.program, &site, home, prices), 1);
        }
        sends
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
        if !unit.components.is_empty() {
            occupants[d].push(Occupant { var, profile: unit.profile, count_max: 1 });
        }
        vars[d] = Some(var);
    }
    program.equal(format!("place.{name}"), times(&vars, 1).collect(), 1);
    vars
}
