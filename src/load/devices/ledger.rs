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
    budget_bytes: u64,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
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
}

impl Book {
    fn bytes(&self) -> u64 {
        let kept = self.weights.values().chain(self.kv_cache.values());
        kept.fold(self.staged_bytes, |sum, bytes| sum.saturating_add(*bytes))
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
        Self { device: device.to_owned(), budget_bytes, book: Mutex::default() }
    }

    /// What the device may hold.
    pub fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    /// Writes down bytes that stay, before they are allocated.
    ///
    /// # Errors
    /// More than the budget has left.
    pub fn keep(&self, component: ComponentId, purpose: Purpose, bytes: u64) -> Result<(), Error> {
        let mut book = self.book();
        self.check(&book, bytes, &component.to_string())?;
        let side = match purpose {
            Purpose::Weights => &mut book.weights,
            Purpose::KvCache => &mut book.kv_cache,
        };
        let entry = side.entry(component).or_default();
        *entry = entry.saturating_add(bytes);
        book.peak_bytes = book.peak_bytes.max(book.bytes());
        Ok(())
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
            peak_staged_bytes: book.peak_staged_bytes,
            peak_bytes: book.peak_bytes,
        }
    }

    fn check(&self, book: &Book, bytes: u64, what: &str) -> Result<(), Error> {
        let there = book.bytes();
        if there.checked_add(bytes).is_some_and(|sum| sum <= self.budget_bytes) {
            return Ok(());
        }
        let free = self.budget_bytes.saturating_sub(there);
        Err(Error::new(format!("put {what} on the device"))
            .object(&self.device)
            .expected(format!(
                "{} of the {} it may hold",
                format_bytes(bytes),
                format_bytes(self.budget_bytes)
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
