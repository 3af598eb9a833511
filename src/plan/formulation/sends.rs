//! Rows of sends per device: `C16 share`, `C17 order`, `C18 company`, `C19 layers`.
//!
//! `n` experts of a layer on a device away from home cost `2 P(n)`, and what every token visits there costs
//! `2 P(E)` with the experts thrown in. `P` is concave, so a minimiser would rather take many experts a
//! little than a few entirely: steps that must be taken in order say what it may not.

use crate::objective::{Amount, Linear};
use crate::plan::classes::{Classes, ItemClass};
use crate::plan::sends::Prices;
use crate::problem::Problem;
use crate::program::{Program, Var};

/// What of one layer may be on one device.
pub(super) struct Away {
    /// Tells layer and device apart from others.
    pub(super) name: String,
    /// One binary per expert.
    pub(super) experts: Vec<Var>,
    /// One binary per item that every token visits.
    pub(super) always: Vec<Var>,
}

/// The exact price of one layer on one device, 0 where it is at home.
pub(super) fn one_layer(
    program: &mut Program,
    away: &Away,
    home: Option<Var>,
    prices: &Prices,
) -> Linear {
    let Away { name, experts, always } = away;
    let mut steps = Steps::all(experts.len());
    steps.add(program, name, &|experts| super::signed(prices.exact(experts)));
    // As many steps as experts, unless the layer is at home.
    let most = signed(experts.len());
    let mut share: Vec<(Var, i64)> = experts.iter().map(|&x| (x, 1)).collect();
    share.extend(home.map(|home| (home, -most)));
    share.extend(steps.taken.iter().map(|&step| (step, -1)));
    if !experts.is_empty() {
        program.at_most(format!("share_{name}"), share, 0);
    }
    let mut form = steps.cost;
    if always.is_empty() {
        return form;
    }
    // The dearer of the two: a part of a certain send.
    let certain = super::signed(prices.certain());
    let sent = program.continuous(format!("sent_{name}"), Some(1));
    for (index, &item) in always.iter().enumerate() {
        let mut row = vec![(item, 1), (sent, -1)];
        row.extend(home.map(|home| (home, -1)));
        program.at_most(format!("company_{name}_{index}"), row, 0);
    }
    form.terms.push((sent, -2 * certain));
    program.at_most(format!("company_{name}"), form.terms, 0);
    Linear { terms: vec![(sent, 2 * certain)], constant: 0 }
}

/// How finely the counting program knows the price of company.
#[derive(Clone, Copy, Debug)]
pub(super) enum Detail {
    /// Every number of experts.
    All,
    /// Some numbers, and straight lines between them, which are below the price.
    Some,
}

impl Detail {
    /// Steps in a program up to which it knows all.
    const STEPS_MAX: usize = 1_024;

    pub(super) fn of(problem: &Problem, classes: &Classes) -> Self {
        let routed = |item: &&ItemClass| item.profile.routed;
        let layer = classes.by_kind.iter().flat_map(|class| class.items.iter().filter(routed));
        let steps = layer.map(|item| item.per_layer).sum::<usize>() * problem.devices.len();
        if steps <= Self::STEPS_MAX { Self::All } else { Self::Some }
    }
}

/// Items of one class on one device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote<'a> {
    pub(super) item: &'a ItemClass,
    /// How many there are.
    pub(super) here: Var,
    /// How many of them at home, where there can be any.
    pub(super) local: Option<Var>,
}

impl Remote<'_> {
    /// Those away from home, `times` over.
    fn count(&self, times: i64) -> impl Iterator<Item = (Var, i64)> + use<> {
        [(self.here, times)].into_iter().chain(self.local.map(|local| (local, -times)))
    }
}

/// One class of layers on one device.
pub(super) struct Class<'a> {
    /// Tells class and device apart from others.
    pub(super) name: String,
    pub(super) layers: usize,
    /// How many of them live there.
    pub(super) home: Option<Var>,
    pub(super) away: Vec<Remote<'a>>,
}

/// A lower bound on the price of all layers of a class on one device: what is away from home comes from as
/// few layers as it can. Those that hold something every token visits pay for a certain send and carry all
/// their experts; others are full but for one.
///
/// Between two devices, with one kind of expert in a layer, it is the price: all that leaves one home
/// arrives on the same other device, so it can be taken from as few layers as that. Among more, several
/// devices compete for the places that are left.
pub(super) fn class(
    program: &mut Program,
    class: &Class<'_>,
    prices: &Prices,
    detail: Detail,
) -> Linear {
    let Class { name, layers, home, away } = class;
    let (routed, always): (Vec<&Remote<'_>>, Vec<&Remote<'_>>) =
        away.iter().partition(|remote| remote.item.profile.routed);
    let mut form = Linear::default();
    // Layers of which something is here, and lives elsewhere.
    let mut touched: Vec<(Var, i64)> = home.map(|home| (home, 1)).into_iter().collect();
    let mut carried: Vec<(Var, i64)> = Vec::new();
    let experts: usize = routed.iter().map(|remote| remote.item.per_layer).sum();
    if !always.is_empty() {
        let certain_layers = program.integer(format!("certain{name}"), *layers);
        for (index, remote) in always.iter().enumerate() {
            let mut row: Vec<(Var, i64)> = remote.count(1).collect();
            row.push((certain_layers, -signed(remote.item.per_layer)));
            program.at_most(format!("company{name}_{index}"), row, 0);
        }
        form.add(Amount::Variable(certain_layers), 2 * super::signed(prices.certain()));
        touched.push((certain_layers, 1));
        carried.push((certain_layers, -signed(experts)));
    }
    if experts > 0 {
        let full = program.integer(format!("full{name}"), *layers);
        form.add(Amount::Variable(full), 2 * super::signed(prices.concave(experts)));
        touched.push((full, 1));
        carried.push((full, -signed(experts)));
        let mut steps = match detail {
            Detail::All => Steps::all(experts - 1),
            Detail::Some => Steps::some(experts - 1),
        };
        steps.add(program, name, &|experts| super::signed(prices.concave(experts)));
        form.add_form(&steps.cost, 1);
        touched.extend(steps.first.map(|first| (first, 1)));
        carried.extend(steps.taken.iter().map(|&step| (step, -1)));
        carried.extend(routed.iter().flat_map(|remote| remote.count(1)));
        program.at_most(format!("share{name}"), carried, 0);
    }
    program.at_most(format!("layers{name}"), touched, signed(*layers));
    form
}

/// The way from no expert to many, in steps that are taken in order.
struct Steps {
    /// Numbers of experts where steps end, ascending.
    ends: Vec<usize>,
    /// How many experts of each step are there.
    taken: Vec<Var>,
    /// 1 when there is any expert, where the first step is a single one.
    first: Option<Var>,
    cost: Linear,
}

impl Steps {
    /// One for every expert.
    fn all(most: usize) -> Self {
        Self { ends: (1..=most).collect(), taken: Vec::new(), first: None, cost: Linear::default() }
    }

    /// Single ones, then about a third longer each time.
    fn some(most: usize) -> Self {
        let next = |end: &usize| (*end < most).then(|| (end + 1 + end / 4).min(most));
        let ends = std::iter::successors((most > 0).then_some(1), next).collect();
        Self { ends, taken: Vec::new(), first: None, cost: Linear::default() }
    }

    /// `C17`: a step begins where the one before is complete.
    fn add(&mut self, program: &mut Program, name: &str, price: &dyn Fn(usize) -> i64) {
        let mut from = 0;
        // The end of the step before, as a variable that is 1 there, and how much of it that is.
        let mut before: Option<Var> = None;
        for &end in &self.ends {
            let length = end - from;
            let taken = program.integer(format!("step{name}_{end}"), length);
            if let Some(complete) = before {
                let row = vec![(taken, 1), (complete, -signed(length))];
                program.at_most(format!("order{name}_{end}"), row, 0);
            }
            let rise = 2 * (price(end) - price(from));
            // Rounded down, and made up for at the end.
            let each = rise / signed(length);
            self.cost.add(Amount::Variable(taken), each);
            before = Some(if length == 1 {
                taken
            } else {
                let complete = program.binary(format!("complete{name}_{end}"));
                let row = vec![(complete, signed(length)), (taken, -1)];
                program.at_most(format!("order{name}_{end}_complete"), row, 0);
                self.cost.add(Amount::Variable(complete), rise - each * signed(length));
                complete
            });
            self.first = self.first.or((end == 1).then_some(taken));
            self.taken.push(taken);
            from = end;
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
