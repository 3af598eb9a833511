//! The order that moves the fewest bytes, by complete search: where few components move.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::books::Books;
use super::facts::Facts;
use super::{Place, Step};

/// More components that move are not searched.
const MOVING_MAX: usize = 7;

/// More arrangements are not looked at.
const STATES_MAX: usize = 200_000;

/// What a complete search found.
pub(super) enum Search {
    /// The order with the fewest bytes moved.
    Least(Vec<Step>),
    /// There is no order.
    None,
    /// Too many components, or arrangements.
    TooMany,
}

/// Where each piece that moves is, in their order; what is loaded anew is at [`Place::Files`] until it is loaded.
type Arrangement = Vec<Place>;

/// How an arrangement is reached: from which other one, by which piece.
type Way = (Arrangement, usize);

/// Looks at every arrangement, those with the fewest bytes moved first.
pub(super) fn search(facts: &Facts, host_bytes: Option<u64>) -> Search {
    let moving: Vec<usize> =
        (0..facts.pieces.len()).filter(|&index| facts.pieces[index].moves()).collect();
    if moving.len() > MOVING_MAX {
        return Search::TooMany;
    }
    let start: Arrangement = moving.iter().map(|&index| first_place(facts, index)).collect();
    let end: Arrangement =
        moving.iter().map(|&index| Place::Device(facts.pieces[index].end)).collect();
    let mut ways: BTreeMap<Arrangement, Option<Way>> = BTreeMap::new();
    let mut best: BTreeMap<Arrangement, u64> = BTreeMap::from([(start.clone(), 0)]);
    let mut heap = BinaryHeap::from([Reverse((0_u64, start.clone(), None::<Way>))]);
    while let Some(Reverse((bytes, here, way))) = heap.pop() {
        if ways.contains_key(&here) {
            continue;
        }
        ways.insert(here.clone(), way);
        if here == end {
            return Search::Least(steps(facts, &moving, &ways, &end));
        }
        if ways.len() > STATES_MAX {
            return Search::TooMany;
        }
        for (moved, place) in next(facts, &moving, &here, host_bytes) {
            let mut there = here.clone();
            let piece = &facts.pieces[moving[moved]];
            let step = Books::new(facts, host_bytes).step(piece, here[moved], place);
            there[moved] = place;
            let sum = bytes.saturating_add(step.moved_bytes());
            if best.get(&there).is_none_or(|known| sum < *known) {
                best.insert(there.clone(), sum);
                heap.push(Reverse((sum, there, Some((here.clone(), moved)))));
            }
        }
    }
    Search::None
}

fn first_place(facts: &Facts, index: usize) -> Place {
    let piece = &facts.pieces[index];
    if piece.loads { Place::Files } else { piece.start }
}

/// Every single move that the devices have room for: which piece, and where to.
fn next(
    facts: &Facts,
    moving: &[usize],
    here: &[Place],
    host_bytes: Option<u64>,
) -> Vec<(usize, Place)> {
    let books = books(facts, moving, here, host_bytes);
    let mut moves = Vec::new();
    for (moved, (&index, &place)) in moving.iter().zip(here).enumerate() {
        let piece = &facts.pieces[index];
        let devices = 0..facts.rooms.len();
        let loads = place == Place::Files;
        // What is loaded is loaded where it is wanted.
        let wanted =
            |device: &usize| Place::Device(*device) != place && (!loads || *device == piece.end);
        let fits = devices.filter(wanted).filter(|&device| books.lacks(device, piece, loads) == 0);
        moves.extend(fits.map(|device| (moved, Place::Device(device))));
        if matches!(place, Place::Device(_)) && books.host_fits(piece) {
            moves.push((moved, Place::Host));
        }
    }
    moves
}

/// What is on the devices in an arrangement.
fn books<'a>(
    facts: &'a Facts,
    moving: &[usize],
    here: &[Place],
    host_bytes: Option<u64>,
) -> Books<'a> {
    let mut books = Books::new(facts, host_bytes);
    for (&index, &place) in moving.iter().zip(here) {
        let piece = &facts.pieces[index];
        if place == first_place(facts, index) {
            continue;
        }
        if let Place::Device(device) = piece.start {
            books.remove(device, piece, !piece.loads);
        }
        match place {
            Place::Device(device) => books.add(device, piece, true),
            Place::Host => books.host_bytes += books.moved(piece),
            Place::Files => {}
        }
    }
    books
}

/// The way back from the end, turned round.
fn steps(
    facts: &Facts,
    moving: &[usize],
    ways: &BTreeMap<Arrangement, Option<Way>>,
    end: &Arrangement,
) -> Vec<Step> {
    let books = Books::new(facts, None);
    let mut steps = Vec::new();
    let mut here = end;
    while let Some(Some((before, moved))) = ways.get(here) {
        let piece = &facts.pieces[moving[*moved]];
        steps.push(books.step(piece, before[*moved], here[*moved]));
        here = before;
    }
    steps.reverse();
    steps
}
