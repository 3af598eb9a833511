//! The least that one device can make of a priced sum, over everything that fits on it.
//!
//! A device that holds `n` members of each class contributes
//!
//! - to spill, if it is a CPU: weights, rounding and KV cache of all of them;
//! - to migration: the weight bytes of those that are elsewhere now;
//! - to the devices used: one, if anything is there;
//! - to traffic: [`Terms::ends`] for the chain of hand-overs, [`Terms::away`] for items away from home;
//!
//! minus the price of every member. Of `x` items of a class with `m` in each layer, at most `m h` can be at
//! home on a device that is home to `h` of those layers, so at least `x - m h` are away.
//!
//! Memory only grows with what is there, so a count that does not fit ends the search for larger ones.

use super::kinds::{Class, Kinds, Role};
use super::leaf::{Terms, Walk};

/// More than any sum can be: what is worth this cannot be.
pub(super) const NEVER: i128 = 1 << 115;

/// A device as the argument sees it; equal ones are interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Device {
    /// What it may require.
    pub limit_bytes: i64,
    pub reserve_bytes: i64,
    /// The most weights and KV cache it may hold: of the only CPU, what a cap on spilled bytes allows.
    pub held_max_bytes: i64,
    /// Staged in host memory whatever is there; zero on a GPU.
    pub host_staging_bytes: i64,
    /// Per class, the least and the most that may be here.
    pub bounds: Vec<(i64, i64)>,
    /// Per class, what each member contributes wherever its home is, minus its price.
    pub cost: Vec<i128>,
    /// Parts by gain per byte, best first: the class, whether away from home, the gain.
    pub segments: Vec<(usize, bool, i128)>,
}

/// What is on a device so far.
#[derive(Clone, Copy, Debug)]
struct Held {
    any: bool,
    weights_bytes: i64,
    kv_bytes: i64,
    workspace_bytes: i64,
    staging_bytes: i64,
    cost: i128,
}

impl Held {
    fn required_bytes(&self, device: &Device) -> i64 {
        if !self.any && self.staging_bytes == 0 {
            return 0;
        }
        let transient = self.staging_bytes.max(self.kv_bytes + self.workspace_bytes);
        self.weights_bytes + device.reserve_bytes + transient
    }

    /// With `n` more of a class; `None` when that does not fit.
    fn with(mut self, device: &Device, class: &Class, cost: i128, n: i64) -> Option<Self> {
        if n > 0 {
            self.any = true;
            self.weights_bytes += n * class.facts.weights_bytes;
            self.kv_bytes += n * class.facts.kv_bytes;
            self.workspace_bytes = self.workspace_bytes.max(class.facts.workspace_bytes);
            self.staging_bytes = self.staging_bytes.max(class.facts.staging_bytes);
            self.cost += i128::from(n) * cost;
        }
        let held = self.weights_bytes + self.kv_bytes;
        let fits = self.required_bytes(device) <= device.limit_bytes;
        (fits && held <= device.held_max_bytes).then_some(self)
    }
}

impl Terms<'_> {
    /// The least contribution of a device that holds exactly `fixed` (class and count) of those classes and
    /// anything that fits of the others; [`NEVER`] when `fixed` is not possible.
    pub(super) fn least(&self, device: &Device, fixed: &[(usize, i64)]) -> i128 {
        let mut counts = vec![0; self.kinds.classes.len()];
        let mut held = Held {
            any: false,
            weights_bytes: 0,
            kv_bytes: 0,
            workspace_bytes: 0,
            staging_bytes: device.host_staging_bytes,
            cost: 0,
        };
        // Of parts and of the class in closed form, the least there may be is there in any case.
        let given = self.parts.iter().chain(&self.last).map(|&c| (c, device.bounds[c].0));
        for (class, n) in fixed.iter().copied().chain(given) {
            let (least, most) = device.bounds[class];
            let with = held.with(device, &self.kinds.classes[class], device.cost[class], n);
            let Some(with) = with.filter(|_| (least..=most).contains(&n)) else { return NEVER };
            (held, counts[class]) = (with, n);
        }
        if held.required_bytes(device) > device.limit_bytes {
            return NEVER;
        }
        self.over_open(device, &self.open, &mut counts, held)
    }

    /// The least over all counts of the `open` classes.
    fn over_open(&self, device: &Device, open: &[usize], counts: &mut [i64], held: Held) -> i128 {
        let Some((&class, open)) = open.split_first() else {
            return self.closed(device, counts, held);
        };
        let (least, most) = device.bounds[class];
        let mut best = NEVER;
        for n in least..=most {
            let with = held.with(device, &self.kinds.classes[class], device.cost[class], n);
            let Some(with) = with else { break };
            counts[class] = n;
            best = best.min(self.over_open(device, open, counts, with));
        }
        best
    }

    /// The least when only parts, or the class in closed form, are still to be chosen: either nothing more
    /// of them, or something.
    fn closed(&self, device: &Device, counts: &[i64], held: Held) -> i128 {
        let charges = self.ends(counts) + self.away(counts);
        let used = |any| if any { self.used } else { 0 };
        let rest = match self.last {
            Some(class) => self.more_of(device, class, counts, &held),
            None => self.filled(device, counts, &held),
        };
        let without = held.cost + used(held.any);
        charges + without.min(held.cost + used(true) + rest)
    }

    /// The least that one or more further members of `class` add. Where each is sent to alone, their cost is
    /// linear but for one bend, where home is full, so the least is at the ends or there; where sends are
    /// shared, every number is tried.
    fn more_of(&self, device: &Device, class: usize, counts: &[i64], held: &Held) -> i128 {
        let facts = &self.kinds.classes[class].facts;
        let room = device.limit_bytes - device.reserve_bytes - held.weights_bytes;
        let running = room - held.kv_bytes - held.workspace_bytes.max(facts.workspace_bytes);
        let loading = room - held.staging_bytes.max(facts.staging_bytes);
        let most = (device.bounds[class].1 - counts[class])
            .min(times(running, facts.weights_bytes + facts.kv_bytes))
            .min(times(loading, facts.weights_bytes))
            .min(times(
                device.held_max_bytes - held.weights_bytes - held.kv_bytes,
                facts.weights_bytes + facts.kv_bytes,
            ));
        if most < 1 {
            return NEVER;
        }
        if self.gathered.is_some() {
            return self.any_number(device, class, counts, most);
        }
        let free = self.free(class, counts);
        let cost = |n: i64| {
            let away = i128::from((n - free).max(0)) * self.away_each[class];
            i128::from(n) * device.cost[class] + away
        };
        cost(1).min(cost(most)).min(cost(free.clamp(1, most)))
    }

    /// The least that 1 to `most` further members of `class` add where they share sends.
    fn any_number(&self, device: &Device, class: usize, counts: &[i64], most: i64) -> i128 {
        let Role::Item { home, per_layer } = self.kinds.classes[class].role else { return NEVER };
        let before = self.remote(home, counts);
        let now = self.together(home, before);
        let here = remote(counts, class, home, per_layer);
        let (at_home, routed) =
            (per_layer * counts[home] - counts[class], self.kinds.classes[class].facts.routed);
        let cost = |n: i64| {
            let away = (n - at_home).max(0);
            let after = if routed {
                Remote { routed: before.routed - here + away, ..before }
            } else {
                Remote { always: before.always.max(layers(away, per_layer)), ..before }
            };
            i128::from(n) * device.cost[class] + self.together(home, after) - now
        };
        (1..=most).map(cost).min().unwrap_or(NEVER)
    }

    /// A bound on the least that further parts add: they fill the room by gain per byte, the last one as
    /// far as it goes with its gain rounded up. Whatever is there has at least the smallest workspace and
    /// staging among them; that some have a KV cache is left out, which only makes more of them fit.
    fn filled(&self, device: &Device, counts: &[i64], held: &Held) -> i128 {
        let facts = |&class: &usize| &self.kinds.classes[class].facts;
        let more = |class: &&usize| device.bounds[**class].1 > counts[**class];
        let parts = || self.parts.iter().filter(more);
        let Some(workspace) = parts().map(|c| facts(c).workspace_bytes).min() else { return NEVER };
        let staging = parts().map(|c| facts(c).staging_bytes).min().unwrap_or(0);
        let running = held.kv_bytes + held.workspace_bytes.max(workspace);
        let transient = running.max(held.staging_bytes).max(staging);
        let mut room = device.limit_bytes - device.reserve_bytes - held.weights_bytes - transient;
        if room < 0 {
            return NEVER;
        }
        let mut cost = 0;
        for &(class, away, gain) in &device.segments {
            let all = device.bounds[class].1 - counts[class];
            let free = self.free(class, counts).min(all);
            let there = if away { all - free } else { free };
            let bytes = facts(&class).weights_bytes;
            let whole = there.min(times(room, bytes));
            cost -= i128::from(whole) * gain;
            room -= whole * bytes;
            if whole < there {
                let (part, bytes) = (gain * i128::from(room), i128::from(bytes));
                return cost - (part + bytes - 1) / bytes;
            }
        }
        cost
    }

    /// How many further members of an item class cost nothing for being away: those at home, and where a
    /// device is sent to once, those that come along with what it is sent to for anyway.
    fn free(&self, class: usize, counts: &[i64]) -> i64 {
        let Role::Item { home, per_layer } = self.kinds.classes[class].role else { return 0 };
        let along = match self.away_each[class] {
            each if each > 0 => (self.together(home, self.remote(home, counts)) + each - 1) / each,
            _ => 0,
        };
        let along = i64::try_from(along).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        (per_layer * counts[home] + along - counts[class]).max(0)
    }

    /// Hand-overs. The chain visits the embedding, the homes front to back, and the head; let `W` be the set
    /// of devices it visits. It changes device at least `|W| - 1` times, and once more if it ends on the
    /// device where it began while `|W| > 1`, since it must return there: that is when embedding and head are
    /// here and some home is not. If some device is home to two separate runs of layers, it changes at least
    /// `|W|` times. What does not depend on a device, `-1`, is in the constant; walks of one run each are
    /// counted elsewhere, hand-over by hand-over.
    fn ends(&self, counts: &[i64]) -> i128 {
        if self.walk == Walk::SingleRuns || self.traffic == 0 {
            return 0;
        }
        let here = |class: Option<usize>| class.is_some_and(|class| counts[class] > 0);
        let home = self.kinds.homes().any(|class| counts[class] > 0);
        let embedding = here(self.embedding);
        let head = if self.kinds.head_is_embedding { embedding } else { here(self.head) };
        let all = self.kinds.homes().all(|class| counts[class] == self.kinds.classes[class].count);
        let visited = i128::from(embedding || head || home);
        let returned = i128::from(self.walk == Walk::Any && embedding && head && !all);
        self.hand_over * (visited + returned)
    }

    /// What [`Self::ends`] says of these counts.
    pub(super) fn visits(&self, fixed: &[(usize, i64)]) -> i128 {
        let mut counts = vec![0; self.kinds.classes.len()];
        for &(class, n) in fixed {
            counts[class] = n;
        }
        self.ends(&counts)
    }

    /// Items away from home, each alone, or what [`Self::together`] says of every class of layers.
    fn away(&self, counts: &[i64]) -> i128 {
        if self.traffic == 0 {
            return 0;
        }
        if self.gathered.is_some() {
            let together = |home| self.together(home, self.remote(home, counts));
            return self.kinds.homes().map(together).sum();
        }
        let remote =
            |(class, home, m)| self.away_each[class] * i128::from(remote(counts, class, home, m));
        self.kinds.items().map(remote).sum()
    }

    /// Where a token is sent to a device once for a layer, what the items of these layers cost at least: the
    /// routed ones together, or a class that every token visits, whichever is more; both share their sends.
    fn together(&self, home: usize, remote: Remote) -> i128 {
        let table = self.gathered.and_then(|gathered| gathered.get(home));
        let least = usize::try_from(remote.routed).ok().and_then(|n| table?.get(n));
        let routed = self.traffic * least.copied().unwrap_or(0);
        routed.max(2 * self.hand_over * i128::from(remote.always))
    }

    /// What is away from these homes.
    fn remote(&self, home: usize, counts: &[i64]) -> Remote {
        let mut all = Remote { routed: 0, always: 0 };
        if self.gathered.is_some() {
            for (class, _, m) in self.kinds.items().filter(|&(_, of, _)| of == home) {
                let away = remote(counts, class, home, m);
                if self.kinds.classes[class].facts.routed {
                    all.routed += away;
                } else {
                    all.always = all.always.max(layers(away, m));
                }
            }
        }
        all
    }
}

/// Items away from home, of the layers of one class.
#[derive(Clone, Copy, Debug)]
struct Remote {
    /// Those that some tokens visit.
    routed: i64,
    /// The most layers, over classes that every token visits, that one of them is from.
    always: i64,
}

/// From how many layers so many items are at least.
fn layers(items: i64, per_layer: i64) -> i64 {
    items / per_layer + i64::from(items % per_layer > 0)
}

/// How many of an item class are away from home, at least.
fn remote(counts: &[i64], class: usize, home: usize, per_layer: i64) -> i64 {
    (counts[class] - per_layer * counts[home]).max(0)
}

/// How often `bytes` go into `room`.
fn times(room: i64, bytes: i64) -> i64 {
    match (room, bytes) {
        (..0, _) => 0,
        (_, 0) => i64::MAX / 4,
        _ => room / bytes,
    }
}

/// Whether a class can be held in parts or in closed form: only items can.
pub(super) fn is_item(kinds: &Kinds, class: usize) -> bool {
    matches!(kinds.classes[class].role, Role::Item { .. })
}
