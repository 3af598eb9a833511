//! Components change devices while text is generated, and nothing else changes.

use apportion::load::decoder::{Decoder, Mode, Wanted as Logits};
use apportion::migrate::{Place, Plan};
use apportion::model::ComponentId;

use super::super::support::Random;
use super::placed::{Wanted, scattered};

/// What moved, on the disk.
mod journals;
/// Programs that are ended on the way.
mod kills;
/// One component at a time.
mod moves;
/// Whole plans.
mod plans;
/// Plans made while text is generated.
mod rebalanced;
/// What `generate` and `load` do with plans.
mod runs;
/// Memory logs, and `watch`.
mod watched;

const PROMPT: [u32; 8] = [1, 5, 17, 200, 33, 91, 4, 150];

/// The likeliest token again and again, with the logits of every step as bits; `between` has its turn before
/// each.
fn greedy(
    decoder: &mut Decoder,
    count: usize,
    between: &mut dyn FnMut(&mut Decoder),
) -> (Vec<u32>, Vec<Vec<u32>>) {
    decoder.reset(0);
    let (mut tokens, mut bits) = (Vec::new(), Vec::new());
    let mut next = PROMPT.to_vec();
    for _ in 0..count {
        between(decoder);
        let logits = decoder.forward(0, &next, Logits::Last).unwrap().remove(0);
        bits.push(logits.iter().map(|logit| logit.to_bits()).collect());
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        next = vec![u32::try_from(best).unwrap()];
        tokens.push(next[0]);
    }
    (tokens, bits)
}

/// All components of a decoder, in order.
fn components(decoder: &Decoder) -> Vec<ComponentId> {
    decoder.placed().homes().keys().copied().collect()
}

/// What the ledgers say is what is there, and no device ever held more than it may.
#[track_caller]
fn assert_accounts(decoder: &Decoder) {
    let homes = decoder.placed().homes();
    for (index, device) in decoder.placed().devices.iter().enumerate() {
        let balance = device.ledger.balance();
        let own = homes.iter().filter(|(_, home)| **home == index);
        let (mut weights, mut caches) = (Vec::new(), Vec::new());
        for (component, _) in own {
            let (bytes, kv_bytes) = decoder.component_bytes(*component).unwrap();
            weights.push((*component, bytes));
            caches.extend((kv_bytes > 0).then_some((*component, kv_bytes)));
        }
        let kept = |side: &std::collections::BTreeMap<ComponentId, u64>| {
            side.iter().map(|(id, bytes)| (*id, *bytes)).collect::<Vec<_>>()
        };
        assert_eq!(kept(&balance.weights), weights, "{}", device.id);
        assert_eq!(kept(&balance.kv_cache), caches, "{}", device.id);
        assert_eq!(balance.staged_bytes, 0, "{}", device.id);
        assert!(balance.peak_bytes <= device.ledger.budget_bytes(), "{}", device.id);
    }
}

/// A plan between two maps of a fixture, on devices that have `spare` bytes more than the fuller of the two needs.
/// `None` where no order of moves was found.
fn plan_between(wanted: &Wanted, seeds: [u32; 2], spare: u64) -> Option<(Wanted, Plan)> {
    let devices = wanted.devices;
    let records = seeds.map(|seed| wanted.record(&scattered(seed, devices)));
    let needs = |device: usize| records.iter().map(|r| r.devices[device].used_bytes).max().unwrap();
    let sizes = (0..devices).map(|device| needs(device).max(1) + spare).collect();
    let wanted = Wanted { sizes, ..wanted.clone() };
    let from = wanted.record(&scattered(seeds[0], devices));
    let to = wanted.record_after(&scattered(seeds[1], devices), Some(&from));
    let plan = Plan::between(&from, &to, None).unwrap().ok()?;
    Some((wanted, plan))
}

fn parks(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.to == Place::Host)
}
