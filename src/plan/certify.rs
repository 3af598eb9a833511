//! From what was proven to a certificate of it: prices that anyone can check.
//!
//! The planner's own bounds are not copied: prices are found again for each stage, written down, and handed
//! to the independent checker. What it does not confirm is labelled as the search's word.

use super::caps::Caps;
use super::classes::Classes;
use super::outcome::{Options, Solved, StageReport};
use super::price::{self, Market, Room, Walks};
use super::search::Search;
use super::solver::Microlp;
use crate::certificate::{Certificate, Prices, Proof, StageProof, Tree};
use crate::error::Error;
use crate::model::ComponentId;
use crate::problem::{ObjectiveKind, ObjectiveValue, Problem, Sends};
use crate::units::Ratio;
use crate::verify::prove;

/// Halvings of the interval in which a bound on the peak is looked for that prices alone prove.
const HALVINGS: u32 = 24;

/// Prices of spilled bytes are in these parts of a byte.
const SPILL_SCALE: u64 = 1 << 10;

/// Writes down why each stage's bound holds. Where prices prove a little less of a peak than the search did,
/// and the stage is as optimal or as open with that, its bound becomes what they prove, so that it is
/// certified.
///
/// # Errors
/// A malformed problem, or a defect of the solver.
pub fn certify(
    problem: &Problem,
    solved: &mut Solved,
    fingerprint: &str,
    options: &Options,
) -> Result<Certificate, Error> {
    let classes = Classes::of(problem)?;
    let stages = solved.stages.iter().map(|stage| StageProof {
        kind: stage.kind,
        bound: stage.bound,
        cap: stage.cap,
        zones: Vec::new(),
        proof: Proof::Search,
    });
    let mut certificate = Certificate { problem: fingerprint.to_owned(), stages: stages.collect() };
    let mut caps = Caps::of(problem);
    for (index, stage) in solved.stages.iter_mut().enumerate() {
        let mut attempt =
            Attempt { problem, classes: &classes, certificate: &mut certificate, index };
        attempt.stage(stage, &caps, options)?;
        caps.hold(problem, stage.kind, stage.cap);
    }
    Ok(certificate)
}

/// The proof of one stage in the making.
struct Attempt<'a> {
    problem: &'a Problem,
    classes: &'a Classes,
    certificate: &'a mut Certificate,
    index: usize,
}

impl Attempt<'_> {
    fn stage(
        &mut self,
        stage: &mut StageReport,
        caps: &Caps,
        options: &Options,
    ) -> Result<(), Error> {
        if stage.bound.as_f64() <= 0.0 {
            self.certificate.stages[self.index].proof = Proof::Zero;
            return Ok(());
        }
        match stage.kind {
            ObjectiveKind::PeakUtilization => return self.peak(stage, caps, options),
            ObjectiveKind::Traffic
                if self.problem.sends == Sends::PerExpert && !self.problem.is_by_matrix() =>
            {
                return self.traffic(stage, caps, options);
            }
            ObjectiveKind::SpillBytes => return self.spill(stage.bound, caps, options),
            ObjectiveKind::DevicesUsed => {
                let capacity = self.problem.devices.iter().map(|d| d.capacity_bytes).max();
                let capacity = i64::try_from(capacity.unwrap_or(1)).unwrap_or(i64::MAX);
                self.by_bytes(&[(ObjectiveKind::DevicesUsed, capacity)]);
            }
            ObjectiveKind::Traffic
            | ObjectiveKind::Migration
            | ObjectiveKind::DecodeLatency
            | ObjectiveKind::PrefillTime
            | ObjectiveKind::Crossings => {}
        }
        Ok(())
    }

    /// Whether the checker confirms `proof`; if so it stays.
    fn confirmed(&mut self, bound: ObjectiveValue, zones: Vec<u32>, proof: Proof) -> bool {
        let mut alone = self.certificate.clone();
        for (index, stage) in alone.stages.iter_mut().enumerate() {
            if index != self.index {
                stage.proof = Proof::Search;
            }
        }
        let own = &mut alone.stages[self.index];
        (own.bound, own.zones, own.proof) = (bound, zones, proof);
        if prove(self.problem, &alone).is_err() {
            return false;
        }
        self.certificate.stages[self.index] = alone.stages.swap_remove(self.index);
        true
    }

    /// A bound on the peak: what all devices can hold below it is worth less than everything there is.
    fn peak(
        &mut self,
        stage: &mut StageReport,
        caps: &Caps,
        options: &Options,
    ) -> Result<(), Error> {
        // What is spilled is in no GPU, and is capped.
        let spilled = self.certificate.stages[..self.index]
            .iter()
            .any(|earlier| earlier.kind == ObjectiveKind::SpillBytes);
        let weights = if spilled { vec![(ObjectiveKind::SpillBytes, 1)] } else { Vec::new() };
        let ObjectiveValue::Ratio(bound) = stage.bound else { return Ok(()) };
        if self.by_bytes(&weights) {
            return Ok(());
        }
        let grid = |steps: u64| {
            let part = u128::from(bound.numerator()) * u128::from(steps) / (1 << HALVINGS);
            ObjectiveValue::Ratio(Ratio::new(u64::try_from(part).unwrap_or(0), bound.denominator()))
        };
        // Prices are as good at the bound as a little below it, where they may be found.
        let mut search = Search::new(self.problem, self.classes, &Microlp, options);
        let all = 1_u64 << HALVINGS;
        for below in [0, 1, 4, 16, 64, 256].map(|steps| all - steps * (all >> 18)) {
            if self.worse(stage, grid(below)) {
                break;
            }
            for proof in self.room(&mut search, caps, grid(below))? {
                if self.confirmed(grid(below), Vec::new(), proof) {
                    stage.bound = grid(below);
                    return Ok(());
                }
            }
        }
        // The largest that bytes prove.
        let (mut proven, mut open) = (0_u64, all);
        let proof = self.bytes(&weights, true);
        while open - proven > 1 {
            let middle = proven.midpoint(open);
            if self.confirmed(grid(middle), Vec::new(), proof.clone()) {
                proven = middle;
            } else {
                open = middle;
            }
        }
        if proven > 0 && !self.worse(stage, grid(proven)) {
            stage.bound = grid(proven);
        } else {
            let own = &mut self.certificate.stages[self.index];
            (own.bound, own.proof) = (stage.bound, Proof::Search);
        }
        Ok(())
    }

    /// Whether a stage that is proven would not be with a bound.
    fn worse(&self, stage: &StageReport, bound: ObjectiveValue) -> bool {
        stage.proven && !super::value::closes(self.problem, stage.kind, stage.optimum, bound)
    }

    /// Prices at which not everything fits below a peak: with items in parts, which is quick to check, and
    /// as a whole.
    fn room(
        &self,
        search: &mut Search<'_, Microlp>,
        caps: &Caps,
        below: ObjectiveValue,
    ) -> Result<Vec<Proof>, Error> {
        let mut held = caps.clone();
        held.hold(self.problem, ObjectiveKind::PeakUtilization, below);
        let leaf = self.lacking(search, &held)?;
        let both = leaf.map(|(_, whole)| {
            let mut parts = whole.clone();
            parts.fractional = parts.prices.iter().map(|&(id, _)| id).collect();
            [parts, whole].map(|leaf| Proof::Relaxation(Tree::Leaf(leaf))).to_vec()
        });
        Ok(both.unwrap_or_default())
    }

    /// A bound on spilled bytes: with fewer, what all devices can hold is worth less than everything there is.
    fn spill(
        &mut self,
        bound: ObjectiveValue,
        caps: &Caps,
        options: &Options,
    ) -> Result<(), Error> {
        let ObjectiveValue::Bytes(bytes) = bound else { return Ok(()) };
        if self.by_bytes(&[(ObjectiveKind::SpillBytes, 1)]) {
            return Ok(());
        }
        let mut held = caps.clone();
        let fewer = ObjectiveValue::Bytes(bytes.saturating_sub(1));
        held.hold(self.problem, ObjectiveKind::SpillBytes, fewer);
        let mut search = Search::new(self.problem, self.classes, &Microlp, options);
        let Some((market, mut leaf)) = self.lacking(&mut search, &held)? else { return Ok(()) };
        // Prices per byte, and a byte of host memory at the highest of them, so that nothing gains there.
        let scale = market.unit_bytes().saturating_mul(SPILL_SCALE);
        let scale = i64::try_from(scale).unwrap_or(i64::MAX);
        let mut weight = SPILL_SCALE;
        for (id, price) in &mut leaf.prices {
            *price = price.saturating_mul(scale);
            let unit = self.problem.index_of(*id).map(|c| &self.problem.components[c].demand);
            let bytes = unit.map_or(0, |d| d.weights_bytes + d.rounding_bytes + d.kv_cache_bytes);
            let worth = u64::try_from(*price).unwrap_or(0);
            weight = weight.max(worth.div_ceil(bytes.max(1)));
        }
        let weight = i64::try_from(weight).unwrap_or(i64::MAX);
        leaf.weights = vec![(ObjectiveKind::SpillBytes, weight)];
        self.confirmed(bound, Vec::new(), Proof::Relaxation(Tree::Leaf(leaf)));
        Ok(())
    }

    /// Prices at which not everything fits under caps, and what they were found for.
    fn lacking(
        &self,
        search: &mut Search<'_, Microlp>,
        caps: &Caps,
    ) -> Result<Option<(Market, Prices)>, Error> {
        if !price::values_room(self.classes) {
            return Ok(None);
        }
        let market = price::in_room(self.problem, self.classes, caps);
        let room = price::room(search, &market, price::ROOM_ROUNDS_MAX)?;
        let Some(Room::Lacking(prices)) = room else { return Ok(None) };
        let leaf = self.priced(&market, &prices, true);
        Ok(Some((market, leaf)))
    }

    /// Tries every component at the price of its bytes, items in parts first, which is quick to check.
    fn by_bytes(&mut self, weights: &[(ObjectiveKind, i64)]) -> bool {
        let bound = self.certificate.stages[self.index].bound;
        [true, false].into_iter().any(|parts| {
            let proof = self.bytes(weights, parts);
            self.confirmed(bound, Vec::new(), proof)
        })
    }

    fn bytes(&self, weights: &[(ObjectiveKind, i64)], parts: bool) -> Proof {
        let mut prices = Prices { weights: weights.to_vec(), ..Prices::default() };
        let price = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for unit in self.classes.ends() {
            if let Some(id) = self.leader(&unit.components) {
                prices.prices.push((id, price(unit.profile.bytes())));
            }
        }
        for class in &self.classes.by_kind {
            let Some(&first) = class.layers.first() else { continue };
            let layer = &self.classes.layers[first];
            prices.prices.extend(
                self.leader(&layer.home.components).map(|id| (id, price(class.home.bytes()))),
            );
            for item in &class.items {
                let first = layer.items.iter().find(|unit| unit.profile == item.profile);
                let Some(id) = first.and_then(|unit| self.leader(&unit.components)) else {
                    continue;
                };
                prices.prices.push((id, price(item.profile.bytes())));
                if parts {
                    prices.fractional.push(id);
                }
            }
        }
        prices.prices.sort_unstable();
        prices.fractional.sort_unstable();
        Proof::Relaxation(Tree::Leaf(prices))
    }

    /// The component that names a unit.
    fn leader(&self, components: &[usize]) -> Option<ComponentId> {
        let of = |&c: &usize| &self.problem.components[c];
        let leads = |c: &&usize| of(c).lives_with == of(c).demand.id;
        components.iter().find(leads).or(components.first()).map(|c| of(c).demand.id)
    }

    /// A bound on traffic: counts of homes added up exactly, items priced; or single runs and all others
    /// apart.
    fn traffic(
        &mut self,
        stage: &StageReport,
        caps: &Caps,
        options: &Options,
    ) -> Result<(), Error> {
        let ObjectiveValue::Ratio(bound) = stage.bound else { return Ok(()) };
        let target = bound.floor_of(self.problem.traffic_denominator).saturating_sub(1);
        let mut search = Search::new(self.problem, self.classes, &Microlp, options);
        for zones in [Vec::new(), price::zones(self.classes)] {
            let market = Market::of(self.problem, self.classes, caps, &zones);
            let runs = if price::affordable(&market) {
                price::single_runs(&mut search, &market, target)?
            } else {
                None
            };
            let start = runs.as_ref().map(|runs| runs.prices.clone());
            let any = price::counts(
                &mut search,
                &market,
                Walks::Any,
                start.as_deref(),
                price::ROUNDS_NEAR_MAX,
                target,
            )?;
            let names: Vec<u32> = zones.iter().filter_map(|&l| u32::try_from(l).ok()).collect();
            if let Some(any) = any {
                let leaf = self.priced(&market, &any.prices, true);
                let proof = Proof::Relaxation(Tree::Leaf(leaf));
                if self.confirmed(stage.bound, names.clone(), proof) {
                    return Ok(());
                }
            }
            let again = price::counts(
                &mut search,
                &market,
                Walks::Returning,
                start.as_deref(),
                price::ROUNDS_NEAR_MAX,
                target,
            )?;
            if let (Some(runs), Some(again)) = (runs, again) {
                let single_runs = Tree::Leaf(self.priced(&market, &runs.prices, false));
                let others = Tree::Leaf(self.priced(&market, &again.prices, true));
                if self.confirmed(stage.bound, names, Proof::Walks { single_runs, others }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Prices of the planner in the terms of a certificate, where an item at home is a saving.
    fn priced(&self, market: &Market, prices: &[i64], tracked: bool) -> Prices {
        let mut leaf = Prices::default();
        if !market.only_room() {
            leaf.weights.push((ObjectiveKind::Traffic, market.scale));
        }
        for (home, first) in market.first_layers() {
            let layer = &self.classes.layers[first];
            leaf.tracked.extend(self.leader(&layer.home.components));
            for (item, price) in market.items.iter().zip(prices).filter(|(i, _)| i.home == home) {
                let unit = layer.items.iter().find(|unit| unit.profile == item.profile);
                let away = market.scaled(2 * item.profile.visits);
                let id = unit.and_then(|unit| self.leader(&unit.components));
                leaf.prices.extend(id.map(|id| (id, price - away)));
            }
        }
        leaf.tracked.extend(self.classes.ends().filter_map(|unit| self.leader(&unit.components)));
        if !tracked {
            leaf.tracked.clear();
        }
        leaf.tracked.sort_unstable();
        leaf.prices.sort_unstable();
        leaf
    }
}
