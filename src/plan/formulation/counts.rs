//! The counting formulation: how many units of each class live on which device.
//!
//! Its size does not depend on the number of layers or experts, only on how many kinds of them there are.
//! It is exact for memory. For traffic it is exact once the homes of the layers are fixed, and a lower
//! bound while they are free, because any order of the layers is then thought possible.

use super::memory::{Forced, Memory, Occupant};
use super::traffic::{self, FixedChain};
use super::{Goal, PerDevice, Stated, sends, signed, times};
use crate::objective::{Amount, Linear, Placed, Terms};
use crate::plan::caps::Caps;
use crate::plan::classes::{Classes, ItemClass, Profile};
use crate::plan::presolve;
use crate::plan::sends::Prices;
use crate::problem::Problem;
use crate::program::Program;

/// What is known of the layers' homes.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) enum Homes<'a> {
    /// Nothing: the relaxation.
    Free,
    /// Only that the first and the last layer share a home which is not the only one.
    Returning,
    /// How many layers of each class live on each device, and the chain they form.
    Fixed { counts: &'a [Vec<usize>], chain: FixedChain },
}

/// The program with the meaning of its variables.
#[derive(Debug)]
pub(in crate::plan) struct Counts {
    pub(in crate::plan) program: Program,
    embedding: PerDevice,
    /// The embedding's own variables when the head is tied.
    head: PerDevice,
    /// Per layer class.
    homes: Vec<PerDevice>,
    /// Per layer class, per item class.
    items: Vec<Vec<PerDevice>>,
}

/// An answer in counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct CountSolution {
    pub(in crate::plan) embedding: usize,
    pub(in crate::plan) head: usize,
    /// Per layer class, per device.
    pub(in crate::plan) homes: Vec<Vec<usize>>,
    /// Per layer class, per item class, per device.
    pub(in crate::plan) items: Vec<Vec<Vec<usize>>>,
}

impl Counts {
    /// States the program for `goal` under `caps`; `forced` is what `presolve`
    /// knows of every device.
    pub(in crate::plan) fn state(
        problem: &Problem,
        classes: &Classes,
        caps: &Caps,
        goal: Goal,
        homes: Homes<'_>,
        forced: &Forced,
    ) -> Self {
        let mut counts = Self::variables(problem, classes, homes);
        if !matches!(homes, Homes::Fixed { .. }) {
            counts.order_twins(problem, classes, caps);
        }
        let occupants = counts.occupants(problem, classes);
        let memory = Memory::state(&mut counts.program, problem, occupants, forced, caps, goal);
        let mut stated = StatedCounts { problem, classes, homes, memory, counts: &mut counts };
        super::objectives(&mut stated, caps, goal);
        counts
    }

    /// `C6`: everything has a place; `C7`: only where it may be.
    fn variables(problem: &Problem, classes: &Classes, fixed: Homes<'_>) -> Self {
        let mut program = Program::default();
        let mut place = |name: String, profile: &Profile, count: usize| {
            let mut vars: PerDevice = vec![None; problem.devices.len()];
            for d in profile.allowed.iter().take_while(|&d| d < problem.devices.len()) {
                let id = &problem.devices[d].id;
                vars[d] = Some(program.integer(format!("{name}_{id}"), count));
            }
            let total = i64::try_from(count).unwrap_or(i64::MAX);
            program.equal(format!("place_{name}"), times(&vars, 1).collect(), total);
            vars
        };
        let embedding = place("embedding".to_owned(), &classes.embedding.profile, 1);
        let head = match &classes.head {
            Some(head) => place("head".to_owned(), &head.profile, 1),
            None => embedding.clone(),
        };
        let mut homes = Vec::new();
        let mut items = Vec::new();
        for (c, class) in classes.by_kind.iter().enumerate() {
            homes.push(place(format!("home{c}"), &class.home, class.layers.len()));
            let item = |(j, item): (usize, &ItemClass)| {
                place(format!("item{c}_{j}"), &item.profile, item.per_layer * class.layers.len())
            };
            items.push(class.items.iter().enumerate().map(item).collect());
        }
        let mut counts = Self { program, embedding, head, homes, items };
        if let Homes::Fixed { counts: fixed, .. } = fixed {
            counts.fix_homes(fixed);
        }
        counts
    }

    /// `C14`: of devices that cannot be told apart, the earlier hosts at least as many layers.
    fn order_twins(&mut self, problem: &Problem, classes: &Classes, caps: &Caps) {
        for device in 0..problem.devices.len() {
            let Some(twin) = presolve::twin(problem, classes, caps, device) else { continue };
            let mut terms = Vec::new();
            for homes in &self.homes {
                terms.extend(homes[device].map(|v| (v, 1)));
                terms.extend(homes[twin].map(|v| (v, -1)));
            }
            let ids = (&problem.devices[device].id, &problem.devices[twin].id);
            self.program.at_most(format!("twins_{}_{}", ids.0, ids.1), terms, 0);
        }
    }

    fn fix_homes(&mut self, fixed: &[Vec<usize>]) {
        for (vars, counts) in self.homes.iter().zip(fixed) {
            for (var, &count) in vars.iter().zip(counts) {
                if let Some(var) = var {
                    self.program.fix(*var, i32::try_from(count).unwrap_or(i32::MAX));
                }
            }
        }
    }

    fn occupants(&self, problem: &Problem, classes: &Classes) -> Vec<Vec<Occupant>> {
        let mut out = vec![Vec::new(); problem.devices.len()];
        let mut add = |vars: &PerDevice, profile: &Profile, count_max: usize| {
            for (here, var) in out.iter_mut().zip(vars) {
                here.extend(var.map(|var| Occupant { var, profile: *profile, count_max }));
            }
        };
        if !classes.embedding.components.is_empty() {
            add(&self.embedding, &classes.embedding.profile, 1);
        }
        if let Some(head) = &classes.head {
            add(&self.head, &head.profile, 1);
        }
        for (c, class) in classes.by_kind.iter().enumerate() {
            let layers = class.layers.len();
            add(&self.homes[c], &class.home, layers);
            for (vars, item) in self.items[c].iter().zip(&class.items) {
                add(vars, &item.profile, layers * item.per_layer);
            }
        }
        out
    }

    /// `C12`, per expert: a price for every item but for those at home.
    fn per_expert(&mut self, problem: &Problem, classes: &Classes) -> Linear {
        let mut sends = Linear::default();
        for (c, class) in classes.by_kind.iter().enumerate() {
            for (j, item) in class.items.iter().enumerate() {
                let count = class.layers.len() * item.per_layer;
                let price = 2 * signed(item.profile.visits);
                sends.add(Amount::Known(i64::try_from(count).unwrap_or(i64::MAX)), price);
                let local = self.local(problem, c, j, item);
                sends.terms.extend(times(&local, -price));
            }
        }
        sends
    }

    /// `C12`, per device: see [`sends::class`].
    fn per_device(&mut self, problem: &Problem, classes: &Classes, prices: &Prices) -> Linear {
        let mut form = Linear::default();
        let detail = sends::Detail::of(problem, classes);
        for (c, class) in classes.by_kind.iter().enumerate() {
            let local: Vec<PerDevice> = (0..class.items.len())
                .map(|j| self.local(problem, c, j, &class.items[j]))
                .collect();
            for (d, device) in problem.devices.iter().enumerate() {
                let items = class.items.iter().zip(self.items[c].iter().zip(&local));
                let away = items.filter_map(|(item, (here, local))| {
                    Some(sends::Remote { item, here: here[d]?, local: local[d] })
                });
                let site = sends::Class {
                    name: format!("{c}_{}", device.id),
                    layers: class.layers.len(),
                    home: self.homes[c][d],
                    away: away.collect(),
                };
                form.add_form(&sends::class(&mut self.program, &site, prices, detail), 1);
            }
        }
        form
    }

    fn closed_walk(&mut self, problem: &Problem, classes: &Classes, returning: bool) -> Linear {
        let ids: Vec<&str> = problem.devices.iter().map(|d| d.id.as_str()).collect();
        let sizes: Vec<usize> = classes.by_kind.iter().map(|c| c.layers.len()).collect();
        let end = |layer: Option<&crate::plan::classes::Layer>| layer.map_or(0, |l| l.class);
        let ends = (end(classes.layers.first()), end(classes.layers.last()));
        let chain_ends = (&self.embedding, &self.head);
        traffic::closed_walk(
            &mut self.program,
            &ids,
            &self.homes,
            &sizes,
            ends,
            chain_ends,
            returning,
        )
    }

    /// `C13`: items at home. Of the items on a device at most as many are at home as there are places in
    /// the layers that live there; and that many can be, because what exceeds it fills the places that
    /// other devices leave empty.
    fn local(&mut self, problem: &Problem, c: usize, j: usize, item: &ItemClass) -> PerDevice {
        let per_layer = i64::try_from(item.per_layer).unwrap_or(i64::MAX);
        let mut local: PerDevice = vec![None; problem.devices.len()];
        for (d, device) in problem.devices.iter().enumerate() {
            let (Some(home), Some(here)) = (self.homes[c][d], self.items[c][j][d]) else {
                continue;
            };
            let id = &device.id;
            let var = self.program.continuous(format!("local{c}_{j}_{id}"), None);
            self.program.at_most(format!("local_here{c}_{j}_{id}"), vec![(var, 1), (here, -1)], 0);
            let places = vec![(var, 1), (home, -per_layer)];
            self.program.at_most(format!("local_home{c}_{j}_{id}"), places, 0);
            local[d] = Some(var);
        }
        local
    }

    /// Reads a solver's point; `None` when it is not whole or does not add up.
    pub(in crate::plan) fn read(&self, values: &[f64]) -> Option<CountSolution> {
        let counts = |vars: &PerDevice| -> Option<Vec<usize>> {
            vars.iter().map(|v| v.map_or(Some(0), |v| whole(*values.get(v.0)?))).collect()
        };
        let only = |vars: &PerDevice| counts(vars)?.iter().position(|&n| n == 1);
        Some(CountSolution {
            embedding: only(&self.embedding)?,
            head: only(&self.head)?,
            homes: self.homes.iter().map(counts).collect::<Option<_>>()?,
            items: self
                .items
                .iter()
                .map(|class| class.iter().map(counts).collect::<Option<_>>())
                .collect::<Option<_>>()?,
        })
    }
}

/// The counting program while objectives are stated in it.
struct StatedCounts<'a> {
    problem: &'a Problem,
    classes: &'a Classes,
    homes: Homes<'a>,
    memory: Memory<'a>,
    counts: &'a mut Counts,
}

impl Stated for StatedCounts<'_> {
    fn program(&mut self) -> &mut Program {
        &mut self.counts.program
    }
}

impl Terms for StatedCounts<'_> {
    fn problem(&self) -> &Problem {
        self.problem
    }

    fn placed(&mut self, visit: &mut dyn FnMut(Placed)) {
        self.memory.placed(self.classes, visit);
    }

    fn hosts(&mut self, device: usize) -> Linear {
        self.memory.counted(&mut self.counts.program, device)
    }

    fn peak(&mut self) -> Linear {
        self.memory.peak()
    }

    fn hand_overs(&mut self) -> Linear {
        let Self { problem, classes, counts, .. } = self;
        match self.homes {
            Homes::Fixed { chain, .. } => chain.hand_overs(&counts.embedding, &counts.head),
            Homes::Free => counts.closed_walk(problem, classes, false),
            Homes::Returning => counts.closed_walk(problem, classes, true),
        }
    }

    fn sends(&mut self) -> Linear {
        match &self.classes.sends {
            None => self.counts.per_expert(self.problem, self.classes),
            Some(prices) => self.counts.per_device(self.problem, self.classes, prices),
        }
    }
}

/// The whole number a solver means, when it means one.
pub(in crate::plan) fn whole(value: f64) -> Option<usize> {
    let rounded = value.round();
    let near = (value - rounded).abs() < 1e-4 && (0.0..2e9).contains(&rounded);
    // Cast of a whole number in range: exact.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    near.then_some(rounded as usize)
}
