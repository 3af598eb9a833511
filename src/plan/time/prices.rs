//! Prices on what devices hold, and the quickest way through the layers at given prices.
//!
//! With a price on every byte that a device holds, and all room given back at that price, layers have
//! nothing to do with each other but the way from home to home: a table over layers and homes finds the
//! least of all placements exactly. Whatever the prices, no placement that fits is below it.

use super::field::{Field, Kind, Stop};
use super::menu::{Floor, Menu};

/// Rounds of raising prices.
const ROUNDS_MAX: usize = 240;

/// Rounds without a better bound after which steps are halved.
const PATIENCE: usize = 10;

/// The menus of every kind, per home.
pub(super) type Menus = Vec<Vec<Option<Menu>>>;

/// What is certain at some prices.
#[derive(Clone, Debug)]
pub(super) struct Priced {
    /// No placement takes less.
    pub(super) bound: f64,
    /// Per device, in picoseconds per byte.
    pub(super) prices: Vec<f64>,
}

/// The value of a layer per home, with what it then holds.
#[derive(Clone, Debug)]
pub(super) struct LayerValue {
    pub(super) value: f64,
    held: Vec<f64>,
}

/// The least time from each home of each layer to the end.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    /// Per layer (and one more for the head) and home; `INFINITY` where there is no way.
    pub(super) rest: Vec<Vec<f64>>,
}

impl Field<'_> {
    /// The price of all room.
    pub(super) fn room_price(&self, prices: &[f64]) -> f64 {
        self.rooms.iter().zip(prices).map(|(room, price)| room * price).sum()
    }
}

/// What a kind is worth on each home at these prices; `None` where its home may not be.
pub(super) fn values(
    field: &Field<'_>,
    kind: &Kind,
    menus: &[Option<Menu>],
    prices: &[f64],
) -> Vec<Option<LayerValue>> {
    let of = |(home, menu): (usize, &Option<Menu>)| {
        let menu = menu.as_ref()?;
        let mut value = cheapest(field, kind, menu, prices)?;
        let bytes = super::float(kind.home.profile.bytes());
        value.value += kind.home.visit_ps[home] + bytes * prices[home];
        value.held[home] += bytes;
        Some(value)
    };
    menus.iter().enumerate().map(of).collect()
}

fn cheapest(field: &Field<'_>, kind: &Kind, menu: &Menu, prices: &[f64]) -> Option<LayerValue> {
    let cost = |ps: f64, held: &[f64]| {
        ps + held.iter().zip(prices).map(|(held, price)| held * price).sum::<f64>()
    };
    if menu.complete {
        let costs = menu.entries.iter().map(|entry| (cost(entry.ps, &entry.held), entry));
        let (value, entry) = costs.min_by(|a, b| a.0.total_cmp(&b.0))?;
        return Some(LayerValue { value, held: entry.held.clone() });
    }
    let with_rest = |floor: &Floor| {
        let (bytes, set) = floor.somewhere;
        let least = set.iter().map(|device| prices[device]).fold(f64::INFINITY, f64::min);
        let rest = if bytes > 0.0 { bytes * least } else { 0.0 };
        cost(floor.ps, &floor.held) + rest
    };
    let floors = menu.floors.iter().map(|floor| (with_rest(floor), floor));
    let floor = floors.min_by(|a, b| a.0.total_cmp(&b.0));
    let floor = floor.map(|(value, floor)| LayerValue { value, held: spread(floor, prices) });
    let apart = menu.apart.as_ref().map(|apart| apart_value(field, kind, apart, prices));
    // Both hold, so the larger does.
    match (floor, apart) {
        (Some(floor), Some(apart)) if apart.value > floor.value => Some(apart),
        (floor, apart) => floor.or(apart),
    }
}

/// What a floor holds, with the part that may be anywhere where it is cheapest.
fn spread(floor: &Floor, prices: &[f64]) -> Vec<f64> {
    let (bytes, set) = floor.somewhere;
    let least = set.iter().map(|device| prices[device]).fold(f64::INFINITY, f64::min);
    let cheap: Vec<usize> = set.iter().filter(|&d| prices[d] <= least * (1.0 + 1e-9)).collect();
    let mut held = floor.held.clone();
    for &device in &cheap {
        held[device] += bytes / super::count(cheap.len());
    }
    held
}

fn apart_value(field: &Field<'_>, kind: &Kind, apart: &[Vec<f64>], prices: &[f64]) -> LayerValue {
    let mut value = 0.0;
    let mut held = vec![0.0; field.problem.devices.len()];
    for sort in &kind.sorts {
        let bytes = super::float(sort.profile.bytes());
        for &item in &sort.items {
            let costs = apart[item].iter().zip(prices).map(|(ps, price)| ps + bytes * price);
            let cheapest = costs.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((device, cost)) = cheapest {
                value += cost;
                held[device] += bytes;
            }
        }
    }
    LayerValue { value, held }
}

/// The table of least times to the end, for chains that end in a head tied to `embedding` or anywhere.
pub(super) fn rest(
    field: &Field<'_>,
    values: &[Vec<Option<LayerValue>>],
    prices: &[f64],
    embedding: Option<usize>,
) -> Rest {
    let devices = field.problem.devices.len();
    let head = |home: usize| match (&field.head, embedding) {
        (Some(head), _) => stops(field, head, prices)
            .map(|(device, cost)| field.hand_over_ps[home][device] + cost)
            .fold(f64::INFINITY, f64::min),
        (None, Some(embedding)) => field.hand_over_ps[home][embedding],
        (None, None) => 0.0,
    };
    let mut rest = vec![field.devices().map(head).collect::<Vec<f64>>()];
    for (number, &kind) in field.layers.iter().enumerate().rev() {
        let last = &rest[rest.len() - 1];
        let from_here: Vec<f64> = field
            .devices()
            .map(|home| values[kind][home].as_ref().map_or(f64::INFINITY, |v| v.value + last[home]))
            .collect();
        if number == 0 {
            rest.push(from_here);
            break;
        }
        let before = |home: usize| {
            let to = |next: usize| field.hand_over_ps[home][next] + from_here[next];
            (0..devices).map(to).fold(f64::INFINITY, f64::min)
        };
        rest.push(field.devices().map(before).collect());
    }
    rest.reverse();
    Rest { rest }
}

/// A stop of the chain on every device where it may be, with what it costs there.
pub(super) fn stops(
    field: &Field<'_>,
    stop: &Stop,
    prices: &[f64],
) -> impl Iterator<Item = (usize, f64)> {
    let bytes = super::float(stop.profile.bytes());
    let allowed = field.devices().filter(|&device| stop.profile.allowed.contains(device));
    let costs: Vec<(usize, f64)> =
        allowed.map(|device| (device, stop.visit_ps[device] + bytes * prices[device])).collect();
    costs.into_iter()
}

/// Every beginning of the chain: the embedding's device, if there is one, and what the embedding costs there.
pub(super) fn beginnings(field: &Field<'_>, prices: &[f64]) -> Vec<(Option<usize>, f64)> {
    match &field.embedding {
        Some(stop) => stops(field, stop, prices).map(|(d, cost)| (Some(d), cost)).collect(),
        None => vec![(None, 0.0)],
    }
}

/// The least time at these prices, and what devices then hold beyond their room.
struct Evaluation {
    bound: f64,
    excess: Vec<f64>,
}

fn evaluate(field: &Field<'_>, menus: &Menus, prices: &[f64]) -> Option<Evaluation> {
    let values: Vec<Vec<Option<LayerValue>>> = field
        .kinds
        .iter()
        .zip(menus)
        .map(|(kind, menus)| values(field, kind, menus, prices))
        .collect();
    let mut best: Option<(f64, Option<usize>, usize, Rest)> = None;
    let mut table: Option<Rest> = None;
    for (embedding, cost) in beginnings(field, prices) {
        let tied = field.head.is_none();
        let fresh = || rest(field, &values, prices, embedding);
        let rest = match table.take().filter(|_| !tied) {
            Some(known) => known,
            None => fresh(),
        };
        for first in field.devices() {
            let way = embedding.map_or(0.0, |device| field.hand_over_ps[device][first]);
            let all = cost + way + rest.rest[0][first];
            if all.is_finite() && best.as_ref().is_none_or(|best| all < best.0) {
                best = Some((all, embedding, first, rest.clone()));
            }
        }
        table = Some(rest);
    }
    let (all, embedding, first, rest) = best?;
    let held = held(field, &values, prices, embedding, first, &rest);
    let excess = held.iter().zip(&field.rooms).map(|(held, room)| held - room).collect();
    Some(Evaluation { bound: all - field.room_price(prices), excess })
}

/// What devices hold on the least way.
fn held(
    field: &Field<'_>,
    values: &[Vec<Option<LayerValue>>],
    prices: &[f64],
    embedding: Option<usize>,
    first: usize,
    rest: &Rest,
) -> Vec<f64> {
    let mut held = vec![0.0; field.problem.devices.len()];
    if let (Some(stop), Some(device)) = (&field.embedding, embedding) {
        held[device] += super::float(stop.profile.bytes());
    }
    let mut home = first;
    for (number, &kind) in field.layers.iter().enumerate() {
        if let Some(value) = &values[kind][home] {
            held.iter_mut().zip(&value.held).for_each(|(sum, more)| *sum += more);
        }
        if number + 1 < field.layers.len() {
            let next = &values[field.layers[number + 1]];
            let to = |&device: &usize| {
                let value = next[device].as_ref().map_or(f64::INFINITY, |value| value.value);
                field.hand_over_ps[home][device] + value + rest.rest[number + 2][device]
            };
            let best = field.devices().min_by(|a, b| to(a).total_cmp(&to(b)));
            home = best.unwrap_or(home);
        }
    }
    if let Some(head) = &field.head {
        let to = |(device, cost): &(usize, f64)| field.hand_over_ps[home][*device] + cost;
        let best = stops(field, head, prices).min_by(|a, b| to(a).total_cmp(&to(b)));
        if let Some((device, _)) = best {
            held[device] += super::float(head.profile.bytes());
        }
    }
    held
}

/// The best prices found in a bounded number of rounds; `None` when no way leads through the layers.
/// `target` is a time that is known to be reached, or a guess.
pub(super) fn ascend(field: &Field<'_>, menus: &Menus, target: Option<f64>) -> Option<Priced> {
    let mut prices = vec![0.0; field.problem.devices.len()];
    let first = evaluate(field, menus, &prices)?;
    let mut best = Priced { bound: first.bound, prices: prices.clone() };
    let (mut step, mut waited) = (1.0, 0);
    let mut excess = first.excess;
    let mut bound = first.bound;
    for _ in 0..ROUNDS_MAX {
        // Unpriced room that is left over asks for nothing.
        let asks: Vec<f64> = excess
            .iter()
            .zip(&prices)
            .map(|(&excess, &price)| if excess < 0.0 && price <= 0.0 { 0.0 } else { excess })
            .collect();
        let square: f64 = asks.iter().map(|ask| ask * ask).sum();
        let target = target.unwrap_or(best.bound * 1.02);
        let gap = (target - bound).max(target.abs() * 1e-6);
        if square <= 0.0 || target - best.bound <= target.abs() * 1e-9 || step < 1e-5 {
            break;
        }
        let scale = step * gap / square;
        for (price, ask) in prices.iter_mut().zip(&asks) {
            *price = (*price + scale * ask).max(0.0);
        }
        let Some(next) = evaluate(field, menus, &prices) else { break };
        (bound, excess) = (next.bound, next.excess);
        if bound > best.bound {
            best = Priced { bound, prices: prices.clone() };
            waited = 0;
        } else {
            waited += 1;
            if waited >= PATIENCE {
                (step, waited) = (step / 2.0, 0);
                prices.clone_from(&best.prices);
                if let Some(again) = evaluate(field, menus, &prices) {
                    (bound, excess) = (again.bound, again.excess);
                }
            }
        }
    }
    Some(best)
}
