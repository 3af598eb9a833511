//! Components change devices while text is generated, and nothing else changes.

use apportion::load::decoder::{Decoder, Mode, Wanted as Logits};
use apportion::model::ComponentId;

use super::super::support::Random;
use super::placed::{Wanted, scattered};

/// One component at a time.
mod moves;

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
