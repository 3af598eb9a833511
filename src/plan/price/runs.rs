//! The cheapest way to walk the layers when every device is home to one run of them at most, at given
//! prices: a table over (devices used, layers done).
//!
//! Devices that nothing tells apart are interchangeable, so the table knows only how many of each sort
//! are used. The ends of the chain are tried on every sort of device; hand-overs are exact.

use std::collections::BTreeMap;

use super::device::{self, Best};
use super::market::{Ends, Market};

/// States times runs that a table may cost.
const WORK_MAX: usize = 60_000_000;

/// No way to go on; far from overflowing when added to.
const NEVER: i64 = i64::MAX / 4;

/// Devices that are interchangeable, with the ends they hold.
#[derive(Clone, Debug)]
struct Sort {
    device: usize,
    ends: Ends,
    members: Vec<usize>,
}

/// One run: layers `from..to` on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Run {
    pub(in crate::plan) device: usize,
    pub(in crate::plan) from: usize,
    pub(in crate::plan) to: usize,
}

/// A walk and what it costs.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Walk {
    /// Its least cost, scaled, without the prices of everything.
    pub(in crate::plan) cost: i64,
    pub(in crate::plan) runs: Vec<Run>,
    /// Items held in it, per class.
    pub(super) items: Vec<u64>,
}

/// All walks at given prices, to be listed in order of their cost.
pub(in crate::plan) struct Walks {
    tables: Vec<(Vec<Sort>, Table)>,
    /// The prices of everything.
    total: i64,
}

impl Walks {
    /// `None` when no walk fits.
    pub(in crate::plan) fn of(market: &Market, prices: &[i64]) -> Option<Self> {
        let mut values = Values::of(market, prices);
        let mut tables = Vec::new();
        for (embedding, head) in end_pairs(market) {
            let sorts = sorts(market, embedding, head);
            let table = Table::of(&mut values, &sorts, embedding.is_some());
            tables.extend(table.filter(|table| table.rest[0] < NEVER / 2).map(|t| (sorts, t)));
        }
        let items = market.items.iter().zip(prices);
        let total = items.map(|(item, price)| i64::try_from(item.total).unwrap_or(0) * price).sum();
        (!tables.is_empty()).then_some(Self { tables, total })
    }

    /// The least cost of a walk, the prices of everything included.
    pub(in crate::plan) fn least(&self) -> i64 {
        let least = self.tables.iter().map(|(_, table)| table.resting + table.rest[0]).min();
        least.map_or(NEVER, |least| least + self.total)
    }

    /// Visits every walk that costs at most `most`, until told to stop: whether all were visited.
    pub(in crate::plan) fn visit<E>(
        &self,
        most: i64,
        visit: &mut impl FnMut(&[Run], i64) -> Result<bool, E>,
    ) -> Result<bool, E> {
        for (sorts, table) in &self.tables {
            let spent = table.resting + self.total;
            let mut path = Path { runs: Vec::new(), used: vec![0; sorts.len()], most };
            if !table.visit(sorts, 0, spent, &mut path, visit)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A walk so far.
struct Path {
    runs: Vec<Run>,
    /// Members used, per sort.
    used: Vec<usize>,
    most: i64,
}

/// What devices make of prices, by what they are home to.
struct Values<'a> {
    market: &'a Market,
    prices: &'a [i64],
    /// Prefix sums of layers per class.
    prefix: Vec<Vec<u64>>,
    known: BTreeMap<(usize, Ends, Vec<u64>), Option<Best>>,
}

impl<'a> Values<'a> {
    fn of(market: &'a Market, prices: &'a [i64]) -> Self {
        let mut prefix = vec![vec![0; market.homes.len()]];
        for &class in &market.layers {
            let mut next = prefix.last().cloned().unwrap_or_default();
            next[class] += 1;
            prefix.push(next);
        }
        Self { market, prices, prefix, known: BTreeMap::new() }
    }

    fn homes(&self, from: usize, to: usize) -> Vec<u64> {
        self.prefix[to].iter().zip(&self.prefix[from]).map(|(to, from)| to - from).collect()
    }

    fn best(&mut self, device: usize, ends: Ends, homes: Vec<u64>) -> Option<&Best> {
        let (market, prices) = (self.market, self.prices);
        let value = |homes: &[u64]| {
            let mut held = market.ends(device, ends);
            for (class, &count) in market.homes.iter().zip(homes) {
                held.add(&class.profile, count);
            }
            device::best(market, device, &held, homes, prices)
        };
        let key = (device, ends, homes);
        if !self.known.contains_key(&key) {
            let best = value(&key.2);
            self.known.insert(key.clone(), best);
        }
        self.known.get(&key)?.as_ref()
    }
}

/// Every way to put the ends of the chain on devices that differ.
fn end_pairs(market: &Market) -> Vec<(Option<usize>, usize)> {
    let devices = || 0..market.sites.len();
    let fresh = |d: &usize| market.like[*d] == *d;
    let embeddings: Vec<Option<usize>> = match market.embedding {
        Some(_) => {
            devices().filter(|&d| market.sites[d].may_embed).filter(fresh).map(Some).collect()
        }
        None => vec![None],
    };
    let mut pairs = Vec::new();
    for embedding in embeddings {
        if market.head.is_none() {
            pairs.extend(embedding.map(|e| (Some(e), e)));
            continue;
        }
        let mut heads: Vec<usize> =
            devices().filter(|&d| market.sites[d].may_head).filter(fresh).collect();
        // Beside the first of its sort, the embedding's device leaves a second one to try.
        if let Some(embedding) = embedding {
            let second = devices().find(|&d| d != embedding && market.like[d] == embedding);
            heads.extend(second.filter(|&d| market.sites[d].may_head));
        }
        pairs.extend(heads.into_iter().map(|head| (embedding, head)));
    }
    pairs
}

fn sorts(market: &Market, embedding: Option<usize>, head: usize) -> Vec<Sort> {
    let mut sorts: Vec<Sort> = Vec::new();
    for device in 0..market.sites.len() {
        let ends = Ends { embedding: embedding == Some(device), head: head == device };
        let alike = |sort: &&mut Sort| {
            sort.ends == ends
                && ends == Ends::default()
                && market.like[sort.device] == market.like[device]
        };
        match sorts.iter_mut().find(alike) {
            Some(sort) => sort.members.push(device),
            None => sorts.push(Sort { device, ends, members: vec![device] }),
        }
    }
    sorts
}

/// Whether the tables are small enough to be worth their time.
pub(in crate::plan) fn affordable(market: &Market) -> bool {
    let pairs = end_pairs(market);
    let work = pairs.iter().map(|&(e, h)| {
        let sorts = sorts(market, e, h);
        let states = sorts.iter().map(|s| s.members.len() + 1).fold(1, usize::saturating_mul);
        let layers = market.layers.len();
        // A run is rarely longer than a few times its device's share of the layers.
        let run = (4 * layers / market.sites.len()).clamp(1, layers);
        states.saturating_mul(layers).saturating_mul(run).saturating_mul(sorts.len())
    });
    work.fold(0, usize::saturating_add) <= WORK_MAX
}

/// The cheapest walk at these prices; `None` when no walk fits.
pub(super) fn cheapest(market: &Market, prices: &[i64]) -> Option<Walk> {
    let mut values = Values::of(market, prices);
    let mut best: Option<Walk> = None;
    for (embedding, head) in end_pairs(market) {
        let sorts = sorts(market, embedding, head);
        let walk = Table::of(&mut values, &sorts, embedding.is_some())
            .and_then(|table| table.walk(&mut values, &sorts));
        if let Some(walk) = walk
            && best.as_ref().is_none_or(|best| walk.cost < best.cost)
        {
            best = Some(walk);
        }
    }
    best
}

/// The cost to go from every state, with the runs it may take.
struct Table {
    /// All devices when they are home to nothing.
    resting: i64,
    /// Per sort and first layer: what runs of growing length cost beyond resting.
    runs: Vec<Vec<Vec<i64>>>,
    /// Cost to go, by state and layers done.
    rest: Vec<i64>,
    radix: Vec<usize>,
    layers: usize,
    embeds: bool,
    hand_over: i64,
}

impl Table {
    fn of(values: &mut Values<'_>, sorts: &[Sort], embeds: bool) -> Option<Self> {
        let layers = values.market.layers.len();
        let nothing = vec![0; values.market.homes.len()];
        let mut resting = 0;
        let mut runs = Vec::with_capacity(sorts.len());
        for sort in sorts {
            let idle = values.best(sort.device, sort.ends, nothing.clone())?.cost;
            resting += idle * i64::try_from(sort.members.len()).ok()?;
            runs.push((0..layers).map(|from| run_costs(values, sort, from, idle)).collect());
        }
        let mut radix = vec![1];
        for sort in sorts {
            radix.push(radix.last()? * (sort.members.len() + 1));
        }
        let states = radix.pop()?;
        let hand_over = values.market.hand_over * values.market.scale;
        let rest = vec![NEVER; states * (layers + 1)];
        let mut table = Self { resting, runs, rest, radix, layers, embeds, hand_over };
        for state in (0..states).rev() {
            table.rest[state * (layers + 1) + layers] = 0;
            for done in (0..layers).rev() {
                let best = table.steps(sorts, state, done).map(|(cost, ..)| cost).min();
                table.rest[state * (layers + 1) + done] = best.unwrap_or(NEVER);
            }
        }
        Some(table)
    }

    /// Every next run with what it and all after it cost: (cost, sort, end).
    fn steps<'t>(
        &'t self,
        sorts: &'t [Sort],
        state: usize,
        done: usize,
    ) -> impl Iterator<Item = (i64, usize, usize)> + 't {
        let unused = move |s: &usize| {
            state / self.radix[*s] % (sorts[*s].members.len() + 1) < sorts[*s].members.len()
        };
        (0..sorts.len()).filter(unused).flat_map(move |s| {
            let next = (state + self.radix[s]) * (self.layers + 1);
            let lead = self.lead(&sorts[s], done);
            let runs = self.runs[s][done].iter().enumerate();
            runs.map(move |(length, &cost)| {
                let end = done + length + 1;
                let tail = if end == self.layers { self.tail(&sorts[s]) } else { 0 };
                (lead + cost + tail + self.rest[next + end], s, end)
            })
        })
    }

    /// The change that leads to a run.
    fn lead(&self, sort: &Sort, done: usize) -> i64 {
        let free = done == 0 && (sort.ends.embedding || !self.embeds);
        if free { 0 } else { self.hand_over }
    }

    /// The change from the last run to the head.
    fn tail(&self, sort: &Sort) -> i64 {
        if sort.ends.head { 0 } else { self.hand_over }
    }

    /// Extends the walk by one run in every way that stays within the most it may cost.
    fn visit<E>(
        &self,
        sorts: &[Sort],
        state: usize,
        spent: i64,
        path: &mut Path,
        visit: &mut impl FnMut(&[Run], i64) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let done = path.runs.last().map_or(0, |run| run.to);
        if done == self.layers {
            return visit(&path.runs, spent);
        }
        for (cost, sort, to) in self.steps(sorts, state, done) {
            if spent + cost > path.most {
                continue;
            }
            let next = state + self.radix[sort];
            let own = cost - self.rest[next * (self.layers + 1) + to];
            let Some(&device) = sorts[sort].members.get(path.used[sort]) else { continue };
            path.runs.push(Run { device, from: done, to });
            path.used[sort] += 1;
            let go_on = self.visit(sorts, next, spent + own, path, visit)?;
            path.used[sort] -= 1;
            path.runs.pop();
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn walk(&self, values: &mut Values<'_>, sorts: &[Sort]) -> Option<Walk> {
        let cost = self.rest[0];
        if cost >= NEVER / 2 {
            return None;
        }
        let (mut state, mut done) = (0, 0);
        let mut runs = Vec::new();
        let mut used = vec![0; sorts.len()];
        while done < self.layers {
            let (_, sort, end) = self.steps(sorts, state, done).min()?;
            let device = *sorts[sort].members.get(used[sort])?;
            runs.push(Run { device, from: done, to: end });
            used[sort] += 1;
            state += self.radix[sort];
            done = end;
        }
        let mut items = vec![0; values.market.items.len()];
        let mut hold = |best: Option<&Best>| {
            let counts = best.map(|best| best.items.as_slice()).unwrap_or_default();
            items.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        };
        for sort in sorts {
            for &device in &sort.members {
                let run = runs.iter().find(|run| run.device == device);
                let homes = run.map_or_else(|| values.homes(0, 0), |r| values.homes(r.from, r.to));
                hold(values.best(sort.device, sort.ends, homes));
            }
        }
        Some(Walk { cost: self.resting + cost, runs, items })
    }
}

/// What runs from layer `from` on, of one layer, of two, and so on, cost a device beyond `idle`.
fn run_costs(values: &mut Values<'_>, sort: &Sort, from: usize, idle: i64) -> Vec<i64> {
    let mut costs = Vec::new();
    for to in from + 1..=values.market.layers.len() {
        let class = values.market.layers[to - 1];
        if !values.market.sites[sort.device].may_home[class] {
            break;
        }
        let homes = values.homes(from, to);
        let Some(best) = values.best(sort.device, sort.ends, homes) else { break };
        costs.push(best.cost - idle);
    }
    costs
}
