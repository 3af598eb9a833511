//! Small changes to a placement, as long as they make it quicker: an item to another device, or in exchange
//! for one there.

use super::Stage;
use super::field::Field;
use crate::plan::classes::Classes;
use crate::plan::evaluate::{Assignment, Load};
use crate::plan::search::{Search, StageAnswer};
use crate::plan::solver::Backend;

/// Times of layers to work out at most.
const TRIES_MAX: usize = 30_000;

/// A placement under repair: what devices hold and how long each layer takes.
struct Draft<'a> {
    field: &'a Field<'a>,
    classes: &'a Classes,
    assignment: Assignment,
    loads: Vec<Load>,
    tries: usize,
}

impl<B: Backend> Search<'_, B> {
    /// Improves the best placement by small changes.
    pub(super) fn mend(&mut self, stage: &Stage<'_>, answer: &mut StageAnswer) {
        let Some(best) = &answer.best else { return };
        let mut draft = Draft::of(&stage.field, self.classes, best.assignment.clone());
        while draft.tries < TRIES_MAX && draft.improve() {}
        let assignment = draft.assignment;
        self.keep(stage.kind, stage.caps, assignment, &mut answer.best);
    }
}

impl<'a> Draft<'a> {
    fn of(field: &'a Field<'a>, classes: &'a Classes, assignment: Assignment) -> Self {
        let loads = assignment.loads(field.problem, classes);
        Self { field, classes, assignment, loads, tries: 0 }
    }

    /// One pass over the layers: whether anything changed.
    fn improve(&mut self) -> bool {
        let mut changed = false;
        for layer in 0..self.field.layers.len() {
            changed |= self.improve_layer(layer);
        }
        changed
    }

    /// The expected time of a layer's feed-forward part, added up over the sets of statistics.
    fn ps(&mut self, layer: usize, devices: &[usize]) -> u64 {
        self.tries += 1;
        let kind = &self.field.kinds[self.field.layers[layer]];
        let home = self.assignment.homes[layer];
        let sets = 0..self.field.timing.draws.len();
        sets.map(|set| kind.ps(self.field.timing, set, home, devices)).sum()
    }

    fn improve_layer(&mut self, layer: usize) -> bool {
        let field = self.field;
        let kind = &field.kinds[field.layers[layer]];
        let mut changed = false;
        let now = self.assignment.items[layer].clone();
        let mut best_ps = self.ps(layer, &now);
        for sort in &kind.sorts {
            for (place, &item) in sort.items.iter().enumerate() {
                if self.tries >= TRIES_MAX {
                    return changed;
                }
                let here = self.assignment.items[layer][item];
                let alike_before = sort.alike
                    && sort.items[..place].iter().any(|&i| self.assignment.items[layer][i] == here);
                if alike_before {
                    continue;
                }
                for to in field.devices().filter(|&d| d != here && sort.profile.allowed.contains(d))
                {
                    if self.moved(layer, &[(item, to)], &mut best_ps) {
                        changed = true;
                        break;
                    }
                    if sort.alike {
                        continue;
                    }
                    let there = sort.items.iter().copied();
                    let partner: Vec<usize> =
                        there.filter(|&i| self.assignment.items[layer][i] == to).collect();
                    let swapped = partner
                        .into_iter()
                        .any(|other| self.moved(layer, &[(item, to), (other, here)], &mut best_ps));
                    if swapped {
                        changed = true;
                        break;
                    }
                }
            }
        }
        changed
    }

    /// Moves items of a layer if that fits and is quicker.
    fn moved(&mut self, layer: usize, moves: &[(usize, usize)], best_ps: &mut u64) -> bool {
        let mut devices = self.assignment.items[layer].clone();
        for &(item, to) in moves {
            devices[item] = to;
        }
        let before = std::mem::replace(&mut self.assignment.items[layer], devices.clone());
        // An exchange within a sort changes no byte.
        let loads = if moves.len() == 1 {
            self.assignment.loads(self.field.problem, self.classes)
        } else {
            self.loads.clone()
        };
        let fits = loads.iter().enumerate().all(|(device, load)| {
            load.required_bytes(self.field.problem, device) <= self.field.limits[device]
        });
        if fits {
            let ps = self.ps(layer, &devices);
            if ps < *best_ps {
                *best_ps = ps;
                self.loads = loads;
                return true;
            }
        }
        self.assignment.items[layer] = before;
        false
    }
}
