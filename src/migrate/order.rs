//! An order of moves that no device is too full for.
//!
//! Components that are alike (from the same place, to the same device, equal bytes) wait in one queue, so that each
//! decision looks at a few queues and not at thousands of components. What fits goes, and of that first what leaves a
//! device that is over its limit, then what leaves a device that others wait for, then the largest; what is loaded from
//! files and leaves nothing goes last. Where nothing fits, something that has to leave anyway waits elsewhere: on a
//! device with room if there is one that nobody waits for, else in host memory. Where components waited on the way and
//! few have to move, a complete search says whether that can be had for less.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::books::{Books, total};
use super::exact::{Search, search};
use super::facts::{Facts, Piece};
use super::{Place, Step};
use crate::units::format_bytes;

/// Why no order was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Whether there is none in which only what has to move does, and all of it is there at any time; otherwise none
    /// was found.
    pub proven: bool,
    /// What waits for each device and does not fit, as sentences.
    pub waiting: Vec<String>,
}

/// An order of steps; the memory of host that may be used is `host_bytes`.
pub(super) fn order(facts: &Facts, host_bytes: Option<u64>) -> Result<Vec<Step>, Stuck> {
    let mut greedy = Greedy::new(facts, host_bytes);
    let found = greedy.run();
    if found.is_ok() && !greedy.detoured {
        return Ok(greedy.steps);
    }
    match search(facts, host_bytes) {
        Search::Least(steps) => Ok(steps),
        // What is loaded anew may be given up before, which the search does not do.
        Search::None | Search::TooMany if found.is_ok() => Ok(greedy.steps),
        Search::None => Err(Stuck { proven: true, waiting: greedy.waiting() }),
        Search::TooMany => {
            Err(Stuck { proven: greedy.steps.is_empty(), waiting: greedy.waiting() })
        }
    }
}

/// Components that are alike, as far as an order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// The largest first.
    smallness: u64,
    from: Place,
    to: usize,
    /// What it leaves when it is loaded anew.
    leaves: Option<usize>,
    workspace: [bool; 4],
    rounding: u64,
    staging: u64,
}

struct Greedy<'a> {
    facts: &'a Facts,
    books: Books<'a>,
    queues: BTreeMap<Kind, VecDeque<usize>>,
    /// Pieces that wait for each device.
    incoming: Vec<usize>,
    steps: Vec<Step>,
    /// Whether something waited on the way or was given up.
    detoured: bool,
}

impl<'a> Greedy<'a> {
    fn new(facts: &'a Facts, host_bytes: Option<u64>) -> Self {
        let books = Books::new(facts, host_bytes);
        let mut greedy = Self {
            facts,
            books,
            queues: BTreeMap::new(),
            incoming: vec![0; facts.rooms.len()],
            steps: Vec::new(),
            detoured: false,
        };
        for (index, piece) in facts.pieces.iter().enumerate() {
            if piece.moves() {
                let from = if piece.loads { Place::Files } else { piece.start };
                greedy.queue(index, from);
                greedy.incoming[piece.end] += 1;
            }
        }
        greedy
    }

    fn queue(&mut self, index: usize, from: Place) {
        let piece = &self.facts.pieces[index];
        let leaves = match (piece.start, from) {
            (Place::Device(device), Place::Files) => Some(device),
            _ => None,
        };
        let kind = Kind {
            smallness: u64::MAX - self.books.moved(piece),
            from,
            to: piece.end,
            leaves,
            workspace: self.books.kinds_of(piece),
            rounding: piece.after.rounding,
            staging: piece.staging_bytes,
        };
        self.queues.entry(kind).or_default().push_back(index);
    }

    fn run(&mut self) -> Result<(), ()> {
        while !self.queues.is_empty() {
            match self.next() {
                Some(kind) => self.go(kind),
                None if self.wait_elsewhere() || self.give_up_old() => self.detoured = true,
                None => return Err(()),
            }
        }
        Ok(())
    }

    fn first(&self, kind: &Kind) -> Option<(&'a Piece, usize)> {
        let index = *self.queues.get(kind)?.front()?;
        Some((&self.facts.pieces[index], index))
    }

    /// The queue whose first piece goes next.
    fn next(&self) -> Option<Kind> {
        let fits = |kind: &&Kind| {
            let first = self.first(kind);
            first.is_some_and(|(piece, _)| {
                self.books.lacks(kind.to, piece, kind.from == Place::Files) == 0
            })
        };
        let source = |kind: &Kind| match kind.from {
            Place::Device(device) => Some(device),
            Place::Host => None,
            Place::Files => kind.leaves,
        };
        // Keys ascend by what should go first; of equals the first queue, the one of the largest.
        let rank = |kind: &&Kind| match source(kind) {
            Some(device) if self.books.is_over(device) => 0,
            Some(device) if self.incoming[device] > 0 => 1,
            Some(_) => 2,
            None if kind.from == Place::Host => 1,
            None => 3,
        };
        self.queues.keys().filter(fits).min_by_key(rank).copied()
    }

    fn take(&mut self, kind: &Kind) -> Option<usize> {
        let queue = self.queues.get_mut(kind)?;
        let index = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(kind);
        }
        index
    }

    /// The first piece of the queue goes where it is wanted.
    fn go(&mut self, kind: Kind) {
        let Some(index) = self.take(&kind) else { return };
        let piece = &self.facts.pieces[index];
        self.steps.push(self.books.step(piece, kind.from, Place::Device(kind.to)));
        self.books.add(kind.to, piece, true);
        match (kind.from, kind.leaves) {
            (Place::Device(device), _) => self.books.remove(device, piece, true),
            (Place::Host, _) => self.books.host_bytes -= self.books.moved(piece),
            (Place::Files, Some(device)) => self.books.remove(device, piece, false),
            (Place::Files, None) => {}
        }
        self.incoming[kind.to] -= 1;
    }

    /// Something that keeps others out of its device waits elsewhere; whether anything could.
    fn wait_elsewhere(&mut self) -> bool {
        let mut best: Option<((bool, u64), Kind, Place)> = None;
        for kind in self.queues.keys() {
            let Some((piece, _)) = self.first(kind) else { continue };
            let lacks = self.books.lacks(kind.to, piece, kind.from == Place::Files);
            let out = |other: &&Kind| other.from == Place::Device(kind.to);
            for other in self.queues.keys().filter(out) {
                let Some((leaving, _)) = self.first(other) else { continue };
                let Some(place) = self.elsewhere(leaving, kind.to) else { continue };
                let frees = total(self.books.bytes(leaving, true));
                let bytes = self.books.moved(leaving);
                // One that is enough, the smallest; else the largest.
                let enough = frees >= lacks;
                let key = (!enough, if enough { bytes } else { u64::MAX - bytes });
                if best.as_ref().is_none_or(|(known, ..)| key < *known) {
                    best = Some((key, *other, place));
                }
            }
        }
        let Some((_, kind, place)) = best else { return false };
        self.park(kind, place);
        true
    }

    fn park(&mut self, kind: Kind, place: Place) {
        let Some(index) = self.take(&kind) else { return };
        let piece = &self.facts.pieces[index];
        self.steps.push(self.books.step(piece, kind.from, place));
        if let Place::Device(device) = kind.from {
            self.books.remove(device, piece, true);
        }
        match place {
            Place::Device(device) => self.books.add(device, piece, true),
            Place::Host => self.books.host_bytes += self.books.moved(piece),
            Place::Files => {}
        }
        self.queue(index, place);
    }

    /// Where a piece may wait: a device that nobody waits for, host memory, any other device; not one where it
    /// has waited already would be left, so every piece waits at most once.
    fn elsewhere(&self, piece: &Piece, from: usize) -> Option<Place> {
        if piece.start != Place::Device(from) {
            return None;
        }
        let rooms = 0..self.facts.rooms.len();
        let fits = |&device: &usize| {
            device != from && device != piece.end && self.books.lacks(device, piece, false) == 0
        };
        let quiet = rooms.clone().filter(fits).find(|&device| self.incoming[device] == 0);
        let device = |device: usize| Place::Device(device);
        quiet
            .map(device)
            .or_else(|| self.books.host_fits(piece).then_some(Place::Host))
            .or_else(|| rooms.clone().find(fits).map(device))
    }

    /// The smallest old form of something that is loaded anew is given up first; whether there is one.
    fn give_up_old(&mut self) -> bool {
        let loads = |kind: &&Kind| kind.from == Place::Files && kind.leaves.is_some();
        let Some(kind) = self.queues.keys().rfind(loads).copied() else { return false };
        let Some(index) = self.take(&kind) else { return false };
        let piece = &self.facts.pieces[index];
        let Some(device) = kind.leaves else { return false };
        self.steps.push(self.books.step(piece, Place::Device(device), Place::Files));
        self.books.remove(device, piece, false);
        self.queues.entry(Kind { leaves: None, ..kind }).or_default().push_back(index);
        true
    }

    /// What does not fit where it is wanted, device by device.
    fn waiting(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, queue) in &self.queues {
            let Some((piece, _)) = self.first(kind) else { continue };
            let lacks = self.books.lacks(kind.to, piece, kind.from == Place::Files);
            let more = match queue.len() {
                1 => String::new(),
                count => format!(" and {} like it", count - 1),
            };
            lines.push(format!(
                "{}{more}, {} each, wait for {}, which lacks {}",
                piece.id,
                format_bytes(self.books.moved(piece)),
                self.facts.rooms[kind.to].id,
                format_bytes(u64::try_from(lacks).unwrap_or(u64::MAX))
            ));
        }
        lines
    }
}
