//! How many experts must leave a device that is home to given layers: the lower bound of the search.

use crate::plan::caps::Caps;
use crate::plan::classes::{Classes, Layer, LayerClass, Profile, Unit};
use crate::plan::presolve;
use crate::plan::sends::Prices;
use crate::plan::value;
use crate::problem::{DeviceSet, ObjectiveKind, Problem};

/// What layers bring to their home; additive over layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Burden {
    /// Weights of the homes themselves, which cannot leave.
    fixed_bytes: u64,
    kv_cache_bytes: u64,
    /// Items that may leave.
    movable_bytes: u64,
    /// The traffic when all of those leave.
    movable_units: u64,
    /// The traffic of items that may not stay.
    barred_units: u64,
}

impl Burden {
    pub(super) fn plus(self, other: Self) -> Self {
        self.combine(other, u64::saturating_add)
    }

    fn minus(self, other: Self) -> Self {
        self.combine(other, u64::saturating_sub)
    }

    fn combine(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            fixed_bytes: with(self.fixed_bytes, other.fixed_bytes),
            kv_cache_bytes: with(self.kv_cache_bytes, other.kv_cache_bytes),
            movable_bytes: with(self.movable_bytes, other.movable_bytes),
            movable_units: with(self.movable_units, other.movable_units),
            barred_units: with(self.barred_units, other.barred_units),
        }
    }
}

/// A device, as far as the bound needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    limit_bytes: u64,
    /// There whatever the homes are: the reserve, and what only this device may hold.
    resident_bytes: u64,
    home_allowed: Vec<bool>,
    /// `prefix[l]`: the burden of the layers before `l`, were this their home.
    prefix: Vec<Burden>,
}

/// Per-device limits and per-layer burdens.
#[derive(Clone, Debug)]
pub(super) struct Pressure {
    sides: Vec<Side>,
    /// The nearest device before this one that no number and no permission tells apart from it.
    twins: Vec<Option<usize>>,
    /// Workspace and staging that come with the least demanding home, and with a home and an item.
    home_transient: (u64, u64),
    item_transient: (u64, u64),
    /// The cheapest item to send away: its traffic units, and the bytes that go with them.
    cheapest: Option<(u64, u64)>,
    /// Devices that may be home to a layer at once.
    pub(super) homes_most: u32,
    /// Whether what is away shares its sends, so that what leaves may join what may not stay.
    company: bool,
    /// Every amount of traffic is a multiple of this.
    pub(super) step: u64,
    /// What one change of device costs.
    pub(super) hand_over_units: u64,
    pub(super) layers: usize,
    embedding_allowed: DeviceSet,
    head_allowed: DeviceSet,
    pub(super) tied_head: bool,
    /// Weights and KV cache of everything.
    total_bytes: u64,
    /// Those of the chain's ends, which may be anywhere.
    ends_bytes: u64,
}

impl Pressure {
    pub(super) fn of(problem: &Problem, classes: &Classes, caps: &Caps) -> Self {
        let devices = problem.devices.len();
        let items = || classes.by_kind.iter().flat_map(|c| c.items.iter().map(|i| &i.profile));
        let homes = || classes.by_kind.iter().map(|c| &c.home);
        let (home, item) = (least_transient(homes()), least_transient(items()));
        let prices: Vec<(u64, u64)> = match &classes.sends {
            None => items().map(|p| (2 * p.visits, p.weights_bytes)).collect(),
            Some(prices) => {
                classes.by_kind.iter().flat_map(|class| company(class, prices)).collect()
            }
        };
        let prices = prices.into_iter().filter(|&(_, bytes)| bytes > 0);
        Self {
            sides: (0..devices).map(|d| side(problem, classes, caps, d)).collect(),
            twins: (0..devices).map(|d| presolve::twin(problem, classes, caps, d)).collect(),
            home_transient: home,
            item_transient: (home.0.max(item.0), home.1.max(item.1)),
            cheapest: prices.min_by(|a, b| {
                (u128::from(a.0) * u128::from(b.1)).cmp(&(u128::from(b.0) * u128::from(a.1)))
            }),
            homes_most: caps
                .most(ObjectiveKind::DevicesUsed)
                .map_or(u32::MAX, |most| u32::try_from(most).unwrap_or(u32::MAX)),
            company: classes.sends.is_some(),
            step: value::step(problem, ObjectiveKind::Traffic),
            hand_over_units: problem.traffic_denominator,
            layers: classes.layers.len(),
            embedding_allowed: classes.embedding.profile.allowed,
            head_allowed: classes.head.as_ref().unwrap_or(&classes.embedding).profile.allowed,
            tied_head: classes.head.is_none(),
            total_bytes: classes.units().map(|unit| unit.profile.bytes()).sum(),
            ends_bytes: classes.ends().map(|unit| unit.profile.bytes()).sum(),
        }
    }

    /// How many devices hold less than they must in the end, when at most `remote_units` of traffic may go
    /// to remote items: all others together cannot hold the rest, and little of it can be received.
    pub(super) fn underfilled(&self, burdens: &[Burden], remote_units: u64) -> u64 {
        let received = self.cheapest.map_or(0, |(units, bytes)| {
            let bytes = u128::from(remote_units) * u128::from(bytes) / u128::from(units.max(1));
            u64::try_from(bytes).unwrap_or(u64::MAX)
        });
        let limits = self.sides.iter().map(|side| side.limit_bytes);
        let capacity = limits.fold(0_u64, u64::saturating_add);
        let short = |(side, burden): (&Side, &Burden)| {
            let elsewhere = capacity - side.limit_bytes;
            let own = side.resident_bytes
                + burden.fixed_bytes
                + burden.kv_cache_bytes
                + burden.movable_bytes;
            let reached = own.saturating_add(elsewhere).saturating_add(received);
            reached.saturating_add(self.ends_bytes) < self.total_bytes
        };
        self.sides.iter().zip(burdens).map(|pair| u64::from(short(pair))).sum()
    }

    pub(super) fn devices(&self) -> usize {
        self.sides.len()
    }

    /// Using `device` while an interchangeable one before it is unused reaches nothing new.
    pub(super) fn twin(&self, device: usize) -> Option<usize> {
        self.twins[device]
    }

    /// Whether `device` may be home to layer `l`.
    pub(super) fn may_host(&self, device: usize, l: usize) -> bool {
        self.sides[device].home_allowed[l]
    }

    /// The burden of layers `from..to` on `device`.
    pub(super) fn burden(&self, device: usize, from: usize, to: usize) -> Burden {
        let prefix = &self.sides[device].prefix;
        prefix[to].minus(prefix[from])
    }

    /// The least traffic that a device with this burden causes by what cannot stay there; `None` when not
    /// even the homes fit.
    pub(super) fn units(&self, device: usize, burden: &Burden) -> Option<u64> {
        let side = &self.sides[device];
        let fixed = side.resident_bytes + burden.fixed_bytes;
        let with = |(workspace, staging): (u64, u64)| {
            fixed + (burden.kv_cache_bytes + workspace).max(staging)
        };
        if with(self.home_transient) > side.limit_bytes {
            return None;
        }
        let all = with(self.item_transient) + burden.movable_bytes;
        let excess = all.saturating_sub(side.limit_bytes);
        if excess == 0 || burden.movable_bytes == 0 {
            return Some(burden.barred_units);
        }
        let (units, bytes) = self.cheapest?;
        let leaving = (u128::from(excess) * u128::from(units)).div_ceil(u128::from(bytes));
        let leaving =
            u64::try_from(leaving).unwrap_or(u64::MAX / 4).div_ceil(self.step) * self.step;
        let leaving = leaving.min(burden.movable_units);
        Some(if self.company {
            burden.barred_units.max(leaving)
        } else {
            burden.barred_units + leaving
        })
    }

    /// The least the chain's start costs when the first run is on `device`.
    pub(super) fn start_units(&self, device: usize) -> u64 {
        if self.embedding_allowed.contains(device) { 0 } else { self.hand_over_units }
    }

    /// The least the chain's end costs, given the homes of the first and the last layer.
    pub(super) fn end_units(&self, first: usize, last: usize) -> u64 {
        // A tied head is where the embedding is, so both ends are free only when the walk returns.
        let split = self.tied_head
            && first != last
            && self.embedding_allowed.contains(first)
            && self.embedding_allowed.contains(last);
        if split || !self.head_allowed.contains(last) { self.hand_over_units } else { 0 }
    }
}

/// The least workspace and the least staging among `profiles`.
fn least_transient<'a>(profiles: impl Iterator<Item = &'a Profile>) -> (u64, u64) {
    let presence = profiles.map(|p| (p.presence.workspace_bytes, p.presence.staging_bytes));
    presence.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap_or((0, 0))
}

fn side(problem: &Problem, classes: &Classes, caps: &Caps, device: usize) -> Side {
    let only = DeviceSet::only(device);
    let resident =
        |unit: &Unit| if unit.profile.allowed == only { unit.profile.weights_bytes } else { 0 };
    let items = classes.layers.iter().flat_map(|l| &l.items);
    let resident_bytes: u64 = classes.ends().chain(items).map(resident).sum();
    let mut prefix = vec![Burden::default()];
    for layer in &classes.layers {
        let so_far = prefix.last().copied().unwrap_or_default();
        prefix.push(so_far.plus(layer_burden(classes, layer, device)));
    }
    Side {
        limit_bytes: caps.device_bytes[device],
        resident_bytes: resident_bytes + problem.devices[device].reserve_bytes,
        home_allowed: classes
            .layers
            .iter()
            .map(|l| l.home.profile.allowed.contains(device))
            .collect(),
        prefix,
    }
}

/// What a layer brings to `device` as its home.
fn layer_burden(classes: &Classes, layer: &Layer, device: usize) -> Burden {
    let home = &layer.home.profile;
    let profiles = || layer.items.iter().map(|item| &item.profile);
    let barred = |p: &&Profile| !p.allowed.contains(device);
    let movable = |p: &&Profile| !barred(p) && p.allowed != DeviceSet::only(device);
    Burden {
        fixed_bytes: home.weights_bytes,
        kv_cache_bytes: home.kv_cache_bytes,
        movable_bytes: profiles().filter(movable).map(|p| p.weights_bytes).sum(),
        movable_units: together(classes, profiles().filter(movable)),
        barred_units: together(classes, profiles().filter(barred)),
    }
}

/// The least that these items of one layer cost away from home: each for itself, or all on one device.
fn together<'a>(classes: &Classes, mut items: impl Iterator<Item = &'a Profile>) -> u64 {
    let Some(prices) = &classes.sends else {
        return items.map(|profile| 2 * profile.visits).sum();
    };
    let mut experts = 0;
    let always = items.any(|profile| {
        experts += usize::from(profile.routed);
        !profile.routed
    });
    2 * if always { prices.certain() } else { prices.exact(experts) }
}

/// The cheapest ways to send items of a class's layers away, as units and the bytes that go with them: all
/// experts together, because the more there are the less each adds, and everything at the price of a
/// part that every token visits.
fn company(class: &LayerClass, prices: &Prices) -> Vec<(u64, u64)> {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let routed = || class.items.iter().filter(|item| item.profile.routed);
    let experts: usize = routed().map(|item| item.per_layer).sum();
    let largest = routed().map(|item| item.profile.weights_bytes).max().unwrap_or(0);
    let mut ways = vec![(2 * prices.concave(experts), largest.saturating_mul(count(experts)))];
    if class.items.iter().any(|item| !item.profile.routed) {
        let bytes = class.items.iter().map(|i| i.profile.weights_bytes * count(i.per_layer));
        ways.push((2 * prices.certain(), bytes.sum()));
    }
    ways
}
