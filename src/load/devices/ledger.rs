//! What is on a device, to the byte, and what may not come on top.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::model::ComponentId;
use crate::units::format_bytes;

/// The bytes of one device: what stays, by component and purpose, and what is there only while loading.
#[derive(Debug)]
pub struct Ledger {
    device: String,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    budget_bytes: u64,
    weights: BTreeMap<ComponentId, u64>,
    kv_cache: BTreeMap<ComponentId, u64>,
    staged_bytes: u64,
    peak_staged_bytes: u64,
    peak_bytes: u64,
}

/// What a number of bytes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Weights of a component.
    Weights,
    /// Its keys and values.
    KvCache,
}

/// What a ledger says at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Weights by component.
    pub weights: BTreeMap<ComponentId, u64>,
    /// Keys and values by component.
    pub kv_cache: BTreeMap<ComponentId, u64>,
    /// What is staged now.
    pub staged_bytes: u64,
    /// The most that was staged at once.
    pub peak_staged_bytes: u64,
    /// The most that was there at once.
    pub peak_bytes: u64,
}

impl Balance {
    /// All weights.
    pub fn weights_bytes(&self) -> u64 {
        self.weights.values().sum()
    }

    /// All keys and values.
    pub fn kv_cache_bytes(&self) -> u64 {
        self.kv_cache.values().sum()
    }

    /// All there is now: weights, keys and values, what is staged.
    pub fn bytes(&self) -> u64 {
        let kept = self.weights_bytes().saturating_add(self.kv_cache_bytes());
        kept.saturating_add(self.staged_bytes)
    }
}

impl Book {
    fn bytes(&self) -> u64 {
        let kept = self.weights.values().chain(self.kv_cache.values());
        kept.fold(self.staged_bytes, |sum, bytes| sum.saturating_add(*bytes))
    }

    fn side(&mut self, purpose: Purpose) -> &mut BTreeMap<ComponentId, u64> {
        match purpose {
            Purpose::Weights => &mut self.weights,
            Purpose::KvCache => &mut self.kv_cache,
        }
    }
}

/// Staged bytes, taken off again when dropped.
#[derive(Debug)]
pub struct Staged<'a> {
    ledger: &'a Ledger,
    bytes: u64,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let mut book = self.ledger.book();
        book.staged_bytes = book.staged_bytes.saturating_sub(self.bytes);
    }
}

impl Ledger {
    /// An empty one.
    pub fn new(device: &str, budget_bytes: u64) -> Self {
        let book = Book { budget_bytes, ..Book::default() };
        Self { device: device.to_owned(), book: Mutex::new(book) }
    }

    /// What the device may hold.
    pub fn budget_bytes(&self) -> u64 {
        self.book().budget_bytes
    }

    /// Changes what the device may hold from now on. What is there stays there, even where that is more:
    /// nothing comes on top until enough has gone.
    pub fn set_budget(&self, budget_bytes: u64) {
        self.book().budget_bytes = budget_bytes;
    }

    /// Writes down bytes that stay, before they are allocated.
    ///
    /// # Errors
    /// More than the budget has left.
    pub fn keep(&self, component: ComponentId, purpose: Purpose, bytes: u64) -> Result<(), Error> {
        let mut book = self.book();
        self.check(&book, bytes, &component.to_string())?;
        let entry = book.side(purpose).entry(component).or_default();
        *entry = entry.saturating_add(bytes);
        book.peak_bytes = book.peak_bytes.max(book.bytes());
        Ok(())
    }

    /// Takes off all that was kept for the component under that purpose, after its memory was given back; how
    /// much that was. The peaks stay.
    pub fn release(&self, component: ComponentId, purpose: Purpose) -> u64 {
        self.book().side(purpose).remove(&component).unwrap_or_default()
    }

    /// Writes down bytes that are there until the answer is dropped.
    ///
    /// # Errors
    /// More than the budget has left.
    pub fn stage(&self, what: &str, bytes: u64) -> Result<Staged<'_>, Error> {
        let mut book = self.book();
        self.check(&book, bytes, what)?;
        book.staged_bytes = book.staged_bytes.saturating_add(bytes);
        book.peak_staged_bytes = book.peak_staged_bytes.max(book.staged_bytes);
        book.peak_bytes = book.peak_bytes.max(book.bytes());
        Ok(Staged { ledger: self, bytes })
    }

    /// What is on the device now, and what the most was.
    pub fn balance(&self) -> Balance {
        let book = self.book();
        Balance {
            weights: book.weights.clone(),
            kv_cache: book.kv_cache.clone(),
            staged_bytes: book.staged_bytes,
            peak_staged_bytes: book.peak_staged_bytes,
            peak_bytes: book.peak_bytes,
        }
    }

    fn check(&self, book: &Book, bytes: u64, what: &str) -> Result<(), Error> {
        let there = book.bytes();
        if there.checked_add(bytes).is_some_and(|sum| sum <= book.budget_bytes) {
            return Ok(());
        }
        let free = book.budget_bytes.saturating_sub(there);
        Err(Error::new(format!("put {what} on the device"))
            .object(&self.device)
            .expected(format!(
                "{} of the {} it may hold",
                format_bytes(bytes),
                format_bytes(book.budget_bytes)
            ))
            .found(format!(
                "{} free, {} missing",
                format_bytes(free),
                format_bytes(bytes.saturating_sub(free))
            ))
            .hint("solve again with what the device really has, or give it more with --budget"))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A thread that panicked while it held the book left whole entries.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERT: ComponentId = ComponentId::Expert(0, 1);

    #[test]
    fn what_is_released_makes_room_and_the_peak_stays() {
        let ledger = Ledger::new("gpu0", 100);
        ledger.keep(EXPERT, Purpose::Weights, 60).unwrap();
        ledger.keep(EXPERT, Purpose::Weights, 10).unwrap();
        ledger.keep(ComponentId::Attention(0), Purpose::KvCache, 30).unwrap();
        assert!(ledger.keep(ComponentId::Embedding, Purpose::Weights, 1).is_err());
        assert_eq!(ledger.release(EXPERT, Purpose::KvCache), 0);
        assert_eq!(ledger.release(EXPERT, Purpose::Weights), 70);
        assert_eq!(ledger.release(EXPERT, Purpose::Weights), 0, "it is gone");
        let balance = ledger.balance();
        assert_eq!((balance.bytes(), balance.peak_bytes), (30, 100));
        ledger.keep(ComponentId::Embedding, Purpose::Weights, 70).unwrap();
    }

    #[test]
    fn under_a_budget_that_shrank_nothing_comes_on_top() {
        let ledger = Ledger::new("gpu0", 100);
        ledger.keep(EXPERT, Purpose::Weights, 60).unwrap();
        ledger.set_budget(50);
        let refused = ledger.keep(ComponentId::Embedding, Purpose::Weights, 1).unwrap_err();
        assert!(refused.to_string().contains("1 B of the 50 B"), "{refused}");
        assert_eq!((ledger.budget_bytes(), ledger.balance().bytes()), (50, 60));
        ledger.release(EXPERT, Purpose::Weights);
        ledger.keep(ComponentId::Embedding, Purpose::Weights, 50).unwrap();
    }
}
