//! Placements that differ in how much is away from home, and where homes are.

use apportion::model::{ComponentId, Model};
use apportion::scenario::{Constraint, ConstraintKind};

use super::Failure;

/// One placement of a model on two devices.
pub struct Map {
    /// What it is called in tables.
    pub name: String,
    /// Every component's device.
    pub homes: Vec<(ComponentId, usize)>,
}

impl Map {
    /// Pins that allow nothing else.
    pub fn pins(&self) -> Result<Vec<Constraint>, Failure> {
        let pin = |(id, device): &(ComponentId, usize)| {
            let text = format!("{id}=gpu{device}");
            Constraint::parse(ConstraintKind::Pin, &text).map_err(Failure::from)
        };
        self.homes.iter().map(pin).collect()
    }
}

/// The device of a layer's home.
type Home = fn(u32, u32) -> usize;

/// Whether an expert is away from it, by layer, expert and number of layers.
type Away = fn(u32, u32, u32) -> bool;

fn first(_: u32, _: u32) -> usize {
    0
}

fn halves(layer: u32, layers: u32) -> usize {
    usize::from(layer >= layers / 2)
}

fn alternating(layer: u32, _: u32) -> usize {
    usize::from(layer % 2 == 1)
}

/// Sixteen of them.
const MAPS: [(&str, Home, Away); 16] = [
    ("all on the first", first, |_, _, _| false),
    ("layers in halves", halves, |_, _, _| false),
    ("layers in turn", alternating, |_, _, _| false),
    ("expert 0 away", first, |_, e, _| e < 1),
    ("2 experts away", first, |_, e, _| e < 2),
    ("3 experts away", first, |_, e, _| e < 3),
    ("4 experts away", first, |_, e, _| e < 4),
    ("the other 4 away", first, |_, e, _| e >= 4),
    ("odd experts away", first, |_, e, _| e % 2 == 1),
    ("6 experts away", first, |_, e, _| e < 6),
    ("all experts away", first, |_, _, _| true),
    ("4 away in half the layers", first, |l, e, n| l < n / 2 && e < 4),
    ("all away in half the layers", first, |l, _, n| l < n / 2),
    ("halves, 4 away", halves, |_, e, _| e < 4),
    ("in turn, 4 away", alternating, |_, e, _| e < 4),
    ("in turn, all away", alternating, |_, _, _| true),
];

/// All of them for a model.
pub fn all(model: &Model) -> Vec<Map> {
    let map = |(name, home, away): (&str, Home, Away)| placed(model, name, &home, &away);
    MAPS.map(map).into()
}

/// Experts away in one layer: as bits, the first expert last.
const TWO: u8 = 0b0000_0011;
const FOUR: u8 = 0b0000_1111;
const ODD: u8 = 0b1010_1010;

/// Thirteen that differ in which experts of how many layers are away: working at once they take from a third less
/// to as long as in turns, in steps that can be told apart. The masks are of four layers and repeat.
const STEPS: [(&str, [u8; 4]); 13] = [
    ("none", [0; 4]),
    ("2 in a quarter", [TWO, 0, 0, 0]),
    ("4 in a quarter", [FOUR, 0, 0, 0]),
    ("odd in a quarter", [ODD, 0, 0, 0]),
    ("4 in half", [FOUR, FOUR, 0, 0]),
    ("odd, 4, none, none", [ODD, FOUR, 0, 0]),
    ("odd in half", [ODD, ODD, 0, 0]),
    ("odd, odd, 2, none", [ODD, ODD, TWO, 0]),
    ("odd, odd, 4, none", [ODD, ODD, FOUR, 0]),
    ("odd in three quarters", [ODD, ODD, ODD, 0]),
    ("odd, odd, odd, 2", [ODD, ODD, ODD, TWO]),
    ("odd, odd, odd, 4", [ODD, ODD, ODD, FOUR]),
    ("odd everywhere", [ODD; 4]),
];

/// Those for a model, everything else on the first device.
pub fn steps(model: &Model) -> Vec<Map> {
    let map = |(name, masks): (&str, [u8; 4])| {
        let away = |layer: u32, expert: u32, _| masks[layer as usize % 4] >> (expert % 8) & 1 == 1;
        placed(model, name, &first, &away)
    };
    STEPS.map(map).into()
}

fn placed(
    model: &Model,
    name: &str,
    home: &dyn Fn(u32, u32) -> usize,
    away: &dyn Fn(u32, u32, u32) -> bool,
) -> Map {
    let layers = model.geometry.layers;
    let experts = model.geometry.experts;
    let mut homes = vec![
        (ComponentId::Embedding, home(0, layers)),
        (ComponentId::OutputHead, home(layers - 1, layers)),
    ];
    for layer in 0..layers {
        let at = home(layer, layers);
        homes.push((ComponentId::Attention(layer), at));
        homes.extend((0..experts).map(|expert| {
            let there = usize::from(away(layer, expert, layers));
            (ComponentId::Expert(layer, expert), (at + there) % 2)
        }));
    }
    Map { name: name.to_owned(), homes }
}
