//! What prices are put on: a problem's classes and devices as flat tables of numbers.

use crate::plan::caps::Caps;
use crate::plan::classes::{Classes, Presence, Profile};
use crate::plan::evaluate::host_staging_bytes;
use crate::plan::formulation::signed;
use crate::plan::presolve;
use crate::problem::{DeviceSet, ObjectiveKind, Problem};

/// Items of one class of layers that cannot be told apart.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) struct Item {
    /// The class of their layers.
    pub(in crate::plan) home: usize,
    pub(in crate::plan) profile: Profile,
    pub(in crate::plan) per_layer: u64,
    pub(in crate::plan) total: u64,
}

/// The homes of layers that cannot be told apart, in one zone.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) struct Home {
    /// The class of their layers.
    pub(in crate::plan) class: usize,
    pub(in crate::plan) profile: Profile,
    pub(in crate::plan) total: u64,
}

/// What is on a device beside the items that are up for choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) weights_bytes: u64,
    pub(super) kv_cache_bytes: u64,
    pub(super) presence: Presence,
}

impl Held {
    /// Whether nothing is there, not even what is staged for others.
    pub(super) fn is_nothing(&self) -> bool {
        let Presence { workspace_bytes, staging_bytes } = self.presence;
        [self.weights_bytes, self.kv_cache_bytes, workspace_bytes, staging_bytes] == [0; 4]
    }

    pub(super) fn add(&mut self, profile: &Profile, count: u64) {
        if count == 0 {
            return;
        }
        let times = |bytes: u64| bytes.saturating_mul(count);
        self.weights_bytes = self.weights_bytes.saturating_add(times(profile.weights_bytes));
        self.kv_cache_bytes = self.kv_cache_bytes.saturating_add(times(profile.kv_cache_bytes));
        let presence = &mut self.presence;
        presence.workspace_bytes = presence.workspace_bytes.max(profile.presence.workspace_bytes);
        presence.staging_bytes = presence.staging_bytes.max(profile.presence.staging_bytes);
    }
}

/// One device.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// What it may require beyond its reserve; `None` when not even that fits.
    pub(super) room_bytes: Option<u64>,
    /// The most weights and KV cache it may hold, where a cap on spilled bytes says so.
    pub(super) held_max: u64,
    pub(super) host_staging_bytes: u64,
    pub(super) may_embed: bool,
    pub(super) may_head: bool,
    /// Per class of layers.
    pub(super) may_home: Vec<bool>,
    /// Per item class: the fewest and the most it may hold.
    pub(super) items: Vec<(u64, u64)>,
}

/// A problem under caps, ready to be priced.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Market {
    pub(super) sites: Vec<Site>,
    /// Per device, the first one that nothing tells apart from it.
    pub(super) like: Vec<usize>,
    pub(in crate::plan) homes: Vec<Home>,
    pub(in crate::plan) items: Vec<Item>,
    /// Per layer, its place in `homes`.
    pub(super) layers: Vec<usize>,
    /// `None` when the problem has none.
    pub(super) embedding: Option<Profile>,
    /// `None` when it is the embedding.
    pub(super) head: Option<Profile>,
    /// What a change of device costs, in traffic units.
    pub(super) hand_over: i64,
    /// Prices and values are in units of one over this of a traffic unit.
    pub(in crate::plan) scale: i64,
    /// Where only room counts, how many bytes a unit of price stands for; `None` where traffic does.
    unit_bytes: Option<u64>,
}

/// Where only room counts, the largest thing costs about this.
const LARGEST_PRICED: u64 = 1 << 20;

/// Scaled values of a hand-over stay near this.
const HAND_OVER_SCALED: i64 = 1 << 18;

impl Market {
    /// With homes counted zone by zone, so that counts know something of the order; `zones` are the first
    /// layers of all but the first.
    pub(in crate::plan) fn of(
        problem: &Problem,
        classes: &Classes,
        caps: &Caps,
        zones: &[usize],
    ) -> Self {
        let (homes, layers) = homes(classes, zones);
        let mut items = Vec::new();
        for (home, class) in classes.by_kind.iter().enumerate() {
            for item in &class.items {
                let per_layer = number(item.per_layer);
                let total = per_layer * number(class.layers.len());
                items.push(Item { home, profile: item.profile, per_layer, total });
            }
        }
        let embedding = &classes.embedding;
        let embedding = (!embedding.components.is_empty()).then_some(embedding.profile);
        let hand_over = i64::try_from(problem.traffic_denominator).unwrap_or(i64::MAX);
        let mut market = Self {
            sites: Vec::new(),
            like: Vec::new(),
            homes,
            items,
            layers,
            embedding,
            head: classes.head.as_ref().map(|head| head.profile),
            hand_over,
            scale: (HAND_OVER_SCALED / hand_over.max(1)).max(1),
            unit_bytes: None,
        };
        market.sites = (0..problem.devices.len()).map(|d| market.site(problem, caps, d)).collect();
        for device in 0..market.sites.len() {
            let twin = presolve::twin(problem, classes, caps, device);
            market.like.push(twin.map_or(device, |twin| market.like[twin]));
        }
        market
    }

    fn site(&self, problem: &Problem, caps: &Caps, device: usize) -> Site {
        let only = DeviceSet::only(device);
        let bounds = |item: &Item| {
            let allowed = item.profile.allowed;
            let most = if allowed.contains(device) { item.total } else { 0 };
            (if allowed == only { item.total } else { 0 }, most)
        };
        let cpus: Vec<usize> = problem.cpus().collect();
        let spilled = caps.most(ObjectiveKind::SpillBytes).filter(|_| cpus.contains(&device));
        Site {
            room_bytes: caps.device_bytes[device]
                .checked_sub(problem.devices[device].reserve_bytes),
            held_max: spilled.unwrap_or(u64::MAX),
            host_staging_bytes: host_staging_bytes(problem, device),
            may_embed: self.embedding.is_some_and(|e| e.allowed.contains(device)),
            may_head: self.head.or(self.embedding).is_some_and(|h| h.allowed.contains(device)),
            may_home: self.homes.iter().map(|h| h.profile.allowed.contains(device)).collect(),
            items: self.items.iter().map(bounds).collect(),
        }
    }

    /// The same where nothing is sent: the question is only whether everything fits, and a price is worth
    /// what an item takes up.
    pub(super) fn without_traffic(mut self) -> Self {
        self.scale = 0;
        let largest = self.items.iter().map(|item| item.profile.bytes());
        let largest = largest.chain(self.homes.iter().map(|home| home.profile.bytes())).max();
        self.unit_bytes = Some((largest.unwrap_or(0) / LARGEST_PRICED).max(1));
        self
    }

    /// Whether the question is only whether everything fits.
    pub(in crate::plan) fn only_room(&self) -> bool {
        self.unit_bytes.is_some()
    }

    /// How many bytes a unit of price stands for, where only room counts.
    pub(in crate::plan) fn unit_bytes(&self) -> u64 {
        self.unit_bytes.unwrap_or(1)
    }

    /// What a home is worth to begin with.
    pub(super) fn usual_price(&self, home: &Home) -> i64 {
        self.unit_bytes.map_or(0, |unit| signed(home.profile.bytes() / unit))
    }

    /// What an item is worth to begin with: nearly what sending it away costs, or what it takes up.
    pub(super) fn item_price(&self, item: &Item) -> i64 {
        match self.unit_bytes {
            Some(unit) => signed(item.profile.bytes() / unit),
            None => self.scaled(2 * item.profile.visits),
        }
    }

    /// The most worth asking for an item: to send it far away, or twice what it takes up.
    pub(super) fn item_price_max(&self, item: &Item) -> i64 {
        match self.unit_bytes {
            Some(_) => 2 * self.item_price(item),
            None => self.item_price(item).saturating_add(2 * self.hand_over * self.scale),
        }
    }

    /// The most worth asking for a home: to have all of its layer's items near and some hand-overs, or a few
    /// times what it takes up with its workspace.
    pub(super) fn place_price_max(&self) -> i64 {
        if let Some(unit) = self.unit_bytes {
            let bytes = |home: &Home| {
                home.profile.bytes().saturating_add(home.profile.presence.workspace_bytes)
            };
            let most = self.homes.iter().map(bytes).max().unwrap_or(0);
            return signed(most / unit).saturating_mul(4).saturating_add(1);
        }
        let near = self.items.iter().map(|item| {
            self.scaled(2 * item.profile.visits).saturating_mul(signed(item.per_layer))
        });
        near.max().unwrap_or(0).saturating_add(4 * self.hand_over * self.scale)
    }

    /// Per homes of one class and zone, that class and their first layer.
    pub(in crate::plan) fn first_layers(&self) -> Vec<(usize, usize)> {
        let first = |home: usize| self.layers.iter().position(|&at| at == home);
        let homes = self.homes.iter().enumerate();
        homes.filter_map(|(at, home)| Some((home.class, first(at)?))).collect()
    }

    /// Nothing but the ends of the chain that are there.
    pub(super) fn ends(&self, device: usize, ends: Ends) -> Held {
        let staging_bytes = self.sites[device].host_staging_bytes;
        let presence = Presence { workspace_bytes: 0, staging_bytes };
        let mut held = Held { weights_bytes: 0, kv_cache_bytes: 0, presence };
        if ends.embedding {
            self.embedding.iter().for_each(|profile| held.add(profile, 1));
        }
        if ends.head {
            self.head.iter().for_each(|profile| held.add(profile, 1));
        }
        held
    }

    /// What `units` of traffic are in scaled values.
    pub(in crate::plan) fn scaled(&self, units: u64) -> i64 {
        i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(self.scale)
    }
}

/// Homes by class and zone, and for every layer which of them it is.
fn homes(classes: &Classes, zones: &[usize]) -> (Vec<Home>, Vec<usize>) {
    let mut homes: Vec<(usize, Home)> = Vec::new();
    let mut layers = Vec::with_capacity(classes.layers.len());
    for (l, layer) in classes.layers.iter().enumerate() {
        let zone = zones.iter().filter(|&&first| first <= l).count();
        let class = layer.class;
        let same = |(z, home): &(usize, Home)| *z == zone && home.class == class;
        let at = homes.iter().position(same).unwrap_or_else(|| {
            let profile = classes.by_kind[class].home;
            homes.push((zone, Home { class, profile, total: 0 }));
            homes.len() - 1
        });
        homes[at].1.total += 1;
        layers.push(at);
    }
    (homes.into_iter().map(|(_, home)| home).collect(), layers)
}

/// Zones that tell apart the layers of small classes.
pub(in crate::plan) fn zones(classes: &Classes) -> Vec<usize> {
    let small = classes.by_kind.iter().filter(|c| c.layers.len() <= SMALL_CLASS);
    let mut cuts: Vec<usize> =
        small.flat_map(|c| c.layers.iter().flat_map(|&l| [l, l + 1])).collect();
    cuts.retain(|&l| l > 0 && l < classes.layers.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Classes of so many layers are told apart layer by layer.
const SMALL_CLASS: usize = 3;

/// Which ends of the chain a device holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ends {
    pub(super) embedding: bool,
    pub(super) head: bool,
}

pub(super) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
