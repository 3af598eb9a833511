//! Placements built layer by layer, best first: labels that say what has been spent and what devices hold.
//!
//! Prices say how much time the layers that are still to come take at least, so that a label which cannot
//! lead below what is known is dropped, and of two with the same home and the same bytes everywhere the
//! slower. As long as nothing else is dropped the best that is left at the end is the best there is; where
//! too many are left, those dropped say how good it might have been.

use super::field::Field;
use super::menu::weighed as weighed_of;
use super::prices::{LayerValue, Menus, Rest, beginnings, rest, values};
use crate::plan::evaluate::{Assignment, Load};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// Labels per layer.
    pub(super) labels: usize,
    /// Entries tried per label and home.
    pub(super) entries: usize,
}

/// Placements that are handed on, quickest first.
const KEPT_MAX: usize = 40;

/// What is asked of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// Per device, for a byte held.
    pub(super) prices: &'a [f64],
    /// How much each set of statistics counts.
    pub(super) weights: &'a [f64],
    /// Labels at or above this are of no use.
    pub(super) most: f64,
    pub(super) width: Width,
    /// Steps to take, about.
    pub(super) budget: u64,
}

/// Labels with the same home and loads that one is compared with.
const PEERS_MAX: usize = 64;

/// What came of it.
#[derive(Debug)]
pub(super) struct Found {
    /// Quickest first.
    pub(super) assignments: Vec<Assignment>,
    /// No placement below this was dropped, as far as menus are complete.
    pub(super) dropped: f64,
    /// The quickest that was found, whatever other limits it breaks.
    pub(super) least: f64,
    /// Layers put on top of labels.
    pub(super) steps: u64,
}

/// Placements of some layers.
#[derive(Clone, Debug)]
struct Label {
    home: Option<usize>,
    /// Time so far and the price of what is held.
    cost: f64,
    /// The same with the least that is to come.
    bound: f64,
    loads: Vec<Load>,
    /// Under each set of statistics, what its layers take; nothing where there is one set.
    times: Vec<f64>,
    /// Place in the trail.
    back: usize,
}

/// How a label came about.
#[derive(Clone, Copy, Debug)]
struct Step {
    before: usize,
    home: usize,
    entry: usize,
}

/// One search.
struct Builder<'a> {
    field: &'a Field<'a>,
    menus: &'a Menus,
    ask: &'a Ask<'a>,
    room_price: f64,
    values: Vec<Vec<Option<LayerValue>>>,
    /// Per kind and home: entries by what they cost at these prices.
    orders: Vec<Vec<Vec<(f64, usize)>>>,
    trail: Vec<Step>,
    dropped: f64,
    steps: u64,
}

/// The best placements below what is asked that labels of this width lead to.
pub(super) fn search(field: &Field<'_>, menus: &Menus, ask: &Ask<'_>) -> Found {
    let prices = ask.prices;
    let kinds = || field.kinds.iter().zip(menus);
    let values = kinds().map(|(kind, menus)| values(field, kind, menus, prices)).collect();
    let orders = kinds().map(|(_, menus)| orders(menus, prices)).collect();
    let mut builder = Builder {
        field,
        menus,
        ask,
        room_price: field.room_price(prices),
        values,
        orders,
        trail: Vec::new(),
        dropped: f64::INFINITY,
        steps: 0,
    };
    let mut found: Vec<(f64, Assignment)> = Vec::new();
    if field.head.is_none() {
        for beginning in beginnings(field, prices) {
            let begun = [beginning];
            builder.from(&begun, beginning.0, &mut found);
        }
    } else {
        builder.from(&beginnings(field, prices), None, &mut found);
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let least = found.first().map_or(f64::INFINITY, |(time, _)| *time);
    let assignments = found.into_iter().take(KEPT_MAX).map(|(_, assignment)| assignment).collect();
    Found { assignments, dropped: builder.dropped, least, steps: builder.steps }
}

fn orders(menus: &[Option<super::menu::Menu>], prices: &[f64]) -> Vec<Vec<(f64, usize)>> {
    let order = |menu: &Option<super::menu::Menu>| {
        let entries = menu.iter().flat_map(|menu| &menu.entries);
        let costs = entries.map(|entry| {
            entry.ps + entry.held.iter().zip(prices).map(|(held, price)| held * price).sum::<f64>()
        });
        let mut order: Vec<(f64, usize)> = costs.zip(0..).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order
    };
    menus.iter().map(order).collect()
}

impl Builder<'_> {
    /// From these beginnings to the end; `tied` is where the head is, when it is the embedding.
    fn from(
        &mut self,
        beginnings: &[(Option<usize>, f64)],
        tied: Option<usize>,
        found: &mut Vec<(f64, Assignment)>,
    ) {
        let field = self.field;
        let rest = rest(field, &self.values, self.ask.prices, tied);
        let mut labels: Vec<Label> = beginnings
            .iter()
            .filter_map(|&(embedding, cost)| self.begin(embedding, cost))
            .collect();
        for (number, &kind) in field.layers.iter().enumerate() {
            let mut next = Vec::new();
            let layers = u64::try_from(field.layers.len()).unwrap_or(u64::MAX);
            let enough = self.steps + self.ask.budget / layers;
            for label in &labels {
                if self.steps >= enough {
                    // The better ones come first.
                    self.dropped = self.dropped.min(label.bound);
                    break;
                }
                self.extend(label, number, kind, &rest, &mut next);
            }
            labels = self.kept(next);
            if labels.is_empty() {
                return;
            }
        }
        for label in &labels {
            self.finish(label, tied, found);
        }
    }

    fn begin(&mut self, embedding: Option<usize>, cost: f64) -> Option<Label> {
        let mut loads = vec![Load::default(); self.field.problem.devices.len()];
        if let (Some(stop), Some(device)) = (&self.field.embedding, embedding) {
            loads[device].hold(&stop.profile, 1);
        }
        let back = self.trail.len();
        // What stands for the embedding in the trail; without one, the first home will do.
        self.trail.push(Step { before: usize::MAX, home: embedding.unwrap_or(0), entry: 0 });
        let several = self.field.timing.draws.len() > 1;
        let times = if several { vec![0.0; self.field.timing.draws.len()] } else { Vec::new() };
        let label = Label { home: embedding, cost, bound: cost, loads, times, back };
        self.fits(&label.loads).then_some(label)
    }

    fn fits(&self, loads: &[Load]) -> bool {
        let problem = self.field.problem;
        let within = |(device, load): (usize, &Load)| {
            load.required_bytes(problem, device) <= self.field.limits[device]
        };
        loads.iter().enumerate().all(within)
    }

    fn extend(
        &mut self,
        label: &Label,
        number: usize,
        kind: usize,
        rest: &Rest,
        next: &mut Vec<(Label, Step)>,
    ) {
        let field = self.field;
        let layer = &field.kinds[kind];
        for home in field.devices() {
            if self.menus[kind][home].is_none() {
                continue;
            }
            let way = label.home.map_or(0.0, |from| field.hand_over_ps[from][home]);
            let stay = layer.home.visit_ps[home]
                + super::float(layer.home.profile.bytes()) * self.ask.prices[home];
            let base = label.cost + way + stay;
            let to_come = rest.rest[number + 1][home] - self.room_price;
            let mut tried = 0;
            for &(cost, entry) in &self.orders[kind][home] {
                let bound = base + cost + to_come;
                if !bound.is_finite() || bound >= self.ask.most {
                    break;
                }
                if tried == self.ask.width.entries {
                    self.dropped = self.dropped.min(bound);
                    break;
                }
                self.steps += 1;
                let Some(loads) = self.loads(label, kind, home, entry) else { continue };
                tried += 1;
                let cost = base + cost;
                let step = Step { before: label.back, home, entry };
                let times = self.times(label, kind, home, entry);
                next.push((Label { home: Some(home), cost, bound, loads, times, back: 0 }, step));
            }
        }
    }

    /// What layers take under each set of statistics, with one more.
    fn times(&self, label: &Label, kind: usize, home: usize, entry: usize) -> Vec<f64> {
        let menu = self.menus[kind][home].as_ref();
        let more = menu.map_or(&[][..], |menu| &menu.entries[entry].by_set);
        label.times.iter().zip(more).map(|(sum, ps)| sum + ps).collect()
    }

    /// What devices hold with the layer on top; `None` when it does not fit.
    fn loads(&self, label: &Label, kind: usize, home: usize, entry: usize) -> Option<Vec<Load>> {
        let field = self.field;
        let layer = &field.kinds[kind];
        let menu = self.menus[kind][home].as_ref()?;
        let held = &menu.entries[entry].held;
        let over = |(device, load): (usize, &Load)| {
            super::float(load.held_bytes()) + held[device] > field.rooms[device] + 0.5
        };
        if label.loads.iter().enumerate().any(over) {
            return None;
        }
        let mut loads = label.loads.clone();
        loads[home].hold(&layer.home.profile, 1);
        for sort in &layer.sorts {
            for &item in &sort.items {
                loads[menu.entries[entry].devices[item]].hold(&sort.profile, 1);
            }
        }
        self.fits(&loads).then_some(loads)
    }

    /// The labels worth going on with: of equal ones the quicker, and no more than the width.
    fn kept(&mut self, mut next: Vec<(Label, Step)>) -> Vec<Label> {
        next.sort_by(|(a, _), (b, _)| {
            (a.home, &a.loads).cmp(&(b.home, &b.loads)).then(a.cost.total_cmp(&b.cost))
        });
        if self.field.timing.draws.len() > 1 {
            next = undominated(next);
        } else {
            next.dedup_by(|(b, _), (a, _)| a.home == b.home && a.loads == b.loads);
        }
        next.sort_by(|(a, _), (b, _)| a.bound.total_cmp(&b.bound));
        if let Some((first, _)) = next.get(self.ask.width.labels) {
            self.dropped = self.dropped.min(first.bound);
        }
        next.truncate(self.ask.width.labels);
        let keep = |(mut label, step): (Label, Step)| {
            label.back = self.trail.len();
            self.trail.push(step);
            label
        };
        next.into_iter().map(keep).collect()
    }

    fn finish(&self, label: &Label, tied: Option<usize>, found: &mut Vec<(f64, Assignment)>) {
        let field = self.field;
        let Some(head) = &field.head else {
            let home = label.home.unwrap_or(0);
            let way = tied.map_or(0.0, |tied| field.hand_over_ps[home][tied]);
            self.keep(label, tied.unwrap_or(home), label.cost + way, &label.loads, found);
            return;
        };
        let home = label.home.unwrap_or(0);
        for (device, cost) in super::prices::stops(field, head, self.ask.prices) {
            let mut loads = label.loads.clone();
            loads[device].hold(&head.profile, 1);
            if self.fits(&loads) {
                let cost = label.cost + field.hand_over_ps[home][device] + cost;
                self.keep(label, device, cost, &loads, found);
            }
        }
    }

    fn keep(
        &self,
        label: &Label,
        head: usize,
        cost: f64,
        loads: &[Load],
        found: &mut Vec<(f64, Assignment)>,
    ) {
        // Without the prices, what is left is time.
        let bytes = loads.iter().map(|load| super::float(load.held_bytes()));
        let weighed =
            cost - bytes.zip(self.ask.prices).map(|(bytes, price)| bytes * price).sum::<f64>();
        // The weights say how much of that is layers' time on average; the worst set counts.
        let average = weighed_of(&label.times, self.ask.weights);
        let worst = label.times.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let time = if label.times.is_empty() { weighed } else { weighed - average + worst };
        if time >= self.ask.most {
            return;
        }
        let mut steps = Vec::new();
        let mut back = label.back;
        while let Some(step) = self.trail.get(back) {
            steps.push(*step);
            back = step.before;
        }
        let Some(begin) = steps.pop() else { return };
        steps.reverse();
        let homes: Vec<usize> = steps.iter().map(|step| step.home).collect();
        let items = steps.iter().zip(&self.field.layers).map(|(step, &kind)| {
            let menu = self.menus[kind][step.home].as_ref();
            menu.map_or_else(Vec::new, |menu| menu.entries[step.entry].devices.clone())
        });
        let absent = self.field.embedding.is_none();
        let embedding = if absent { homes.first().copied().unwrap_or(0) } else { begin.home };
        let head = if self.field.head.is_none() { embedding } else { head };
        found.push((
            time,
            Assignment { embedding, head, homes: homes.clone(), items: items.collect() },
        ));
    }
}

/// Of labels in order of home, loads and cost: those that no other with the same home and loads is at least
/// as quick as under every set of statistics.
fn undominated(sorted: Vec<(Label, Step)>) -> Vec<(Label, Step)> {
    let mut kept: Vec<(Label, Step)> = Vec::new();
    for (label, step) in sorted {
        let same = kept
            .iter()
            .rev()
            .take_while(|(old, _)| old.home == label.home && old.loads == label.loads);
        let quicker = |old: &Label| old.times.iter().zip(&label.times).all(|(a, b)| a <= b);
        let dominated = same.take(PEERS_MAX).any(|(old, _)| quicker(old));
        if !dominated {
            kept.push((label, step));
        }
    }
    kept
}
