//! Moves of single components through the room that is there.

use std::collections::BTreeSet;

use apportion::load::Running;
use apportion::model::ComponentKind;
use apportion::runtime::KvType;

use super::*;

/// Every fixture, in the types that weights and caches are held in.
fn fixtures() -> Vec<Wanted> {
    let tiny = || Wanted::new("tiny-mixtral", 3);
    let gguf = |file: &str| Wanted::new(&format!("tiny-mixtral-gguf/{file}"), 3);
    vec![
        tiny().quant("f32"),
        Wanted { kv_type: KvType::F16, ..tiny().quant("f16") },
        Wanted { kv_type: KvType::Bf16, ..tiny().quant("bf16") },
        Wanted { kv_type: KvType::Q8_0, ..gguf("tk-Q4_K_M.gguf") },
        Wanted { kv_type: KvType::Q4_0, cpu_repack: true, ..gguf("tk-Q8_0.gguf") },
        gguf("tk-f32.gguf"),
    ]
}

#[test]
fn whatever_moves_between_tokens_the_text_is_the_same_to_the_last_bit() {
    const TOKENS: usize = 12;
    for (seed, wanted) in (0..).zip(fixtures()) {
        let record = wanted.record(&scattered(seed, 3));
        let (mut still, _) = wanted.decoder(&record, Mode::Concurrent);
        let reference = greedy(&mut still, TOKENS, &mut |_| {});
        for mode in [Mode::Sequential, Mode::Concurrent] {
            let (mut decoder, _) = wanted.decoder(&record, mode);
            let mut random = Random::new(u64::from(seed) + 1);
            let mut kinds = BTreeSet::new();
            let ids = components(&decoder);
            let mut between = |decoder: &mut Decoder| {
                for _ in 0..random.below(8) {
                    let component = ids[random.index(ids.len())];
                    let home = decoder.placed().homes()[&component];
                    let to = (home + 1 + random.index(2)) % 3;
                    let moved = decoder.relocate(component, to).unwrap();
                    assert_eq!((moved.from, moved.to), (home, to));
                    assert_eq!(
                        (moved.weights_bytes, moved.kv_cache_bytes),
                        decoder.component_bytes(component).unwrap()
                    );
                    kinds.insert(component.kind());
                    assert_accounts(decoder);
                }
            };
            let found = greedy(&mut decoder, TOKENS, &mut between);
            assert!(found == reference, "{:?} {mode:?}: {:?}", wanted.weights, found.0);
            // Kinds of which there is one are rarely drawn; the next test moves them all.
            assert!(kinds.len() >= 3, "{kinds:?}");
        }
    }
}

#[test]
fn every_component_can_move_there_and_back() {
    for wanted in fixtures() {
        let record = wanted.record(&scattered(7, 3));
        let (mut decoder, _) = wanted.decoder(&record, Mode::Concurrent);
        let reference = greedy(&mut decoder, 6, &mut |_| {});
        let before: Vec<_> = decoder.placed().devices.iter().map(|d| d.ledger.balance()).collect();
        let ids = components(&decoder);
        let homes = decoder.placed().homes().clone();
        let kinds: BTreeSet<ComponentKind> = ids.iter().map(|id| id.kind()).collect();
        assert!(kinds.len() >= 6, "{kinds:?}");
        for &component in &ids {
            decoder.relocate(component, (homes[&component] + 1) % 3).unwrap();
        }
        assert_accounts(&decoder);
        assert!(greedy(&mut decoder, 6, &mut |_| {}) == reference);
        for &component in &ids {
            decoder.relocate(component, homes[&component]).unwrap();
        }
        assert!(greedy(&mut decoder, 6, &mut |_| {}) == reference);
        for (device, before) in decoder.placed().devices.iter().zip(before) {
            let after = device.ledger.balance();
            assert_eq!((after.weights, after.kv_cache), (before.weights, before.kv_cache));
        }
    }
}

#[test]
fn a_device_without_room_refuses_and_nothing_has_changed() {
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let record = wanted.record(&|_| 0);
    let (mut decoder, _) = wanted.decoder(&record, Mode::Concurrent);
    let reference = greedy(&mut decoder, 6, &mut |_| {});
    let attention = ComponentId::Attention(1);
    let (weights, cache) = decoder.component_bytes(attention).unwrap();
    assert!(weights > 0 && cache > 0);
    let ledger = std::sync::Arc::clone(&decoder.placed().devices[1].ledger);
    // The weights do not fit; they do, and the keys and values do not; all of it does.
    for (budget, fits) in
        [(weights - 1, false), (weights + cache - 1, false), (weights + cache, true)]
    {
        ledger.set_budget(budget);
        let mut once = Some(());
        let mut moved = None;
        let found = greedy(&mut decoder, 6, &mut |decoder| {
            if decoder.tokens(0) > PROMPT.len() && once.take().is_some() {
                moved = Some(decoder.relocate(attention, 1));
            }
        });
        assert!(found == reference, "{budget}");
        let moved = moved.unwrap();
        assert_eq!(moved.is_ok(), fits, "{moved:?}");
        assert_eq!(decoder.placed().homes()[&attention], usize::from(fits));
        assert_eq!(ledger.balance().bytes(), if fits { budget } else { 0 });
        if let Err(error) = moved {
            assert!(error.to_string().contains("put layers.1.attention on the device `gpu1`"));
        }
        decoder.placed().devices.iter().for_each(|_| assert_accounts(&decoder));
    }
}

#[test]
fn what_cannot_be_moved_is_refused_by_name() {
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let record = wanted.record(&|_| 0);
    let (mut decoder, _) = wanted.decoder(&record, Mode::Sequential);
    for (component, to, words) in [
        (ComponentId::Embedding, 0, "another device than the one it lives on, found `gpu0`"),
        (ComponentId::Embedding, 2, "a device of the decoder, found device 2 of 2"),
        (ComponentId::Mlp(0), 1, "`layers.0.mlp`: the map does not have it"),
    ] {
        let error = decoder.relocate(component, to).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_accounts(&decoder);
}

#[test]
fn the_host_is_one_more_device_that_runs_what_is_parked_there() {
    let wanted = Wanted::new("tiny-mixtral", 2).quant("f32");
    let record = wanted.record(&scattered(3, 2));
    let (mut decoder, _) = wanted.decoder(&record, Mode::Concurrent);
    let reference = greedy(&mut decoder, 8, &mut |_| {});
    let expert = ComponentId::Expert(1, 4);
    let (bytes, _) = decoder.component_bytes(expert).unwrap();
    assert_eq!(decoder.add_host(2, bytes - 1, 1).unwrap(), 2);
    assert!(decoder.relocate(expert, 2).unwrap_err().to_string().contains("`host`"));
    assert_eq!(decoder.add_host(2, bytes, 1).unwrap(), 2, "the same one with more room");
    decoder.relocate(expert, 2).unwrap();
    let refused = decoder.relocate(ComponentId::Expert(1, 5), 2).unwrap_err();
    assert!(refused.to_string().contains("0 B free"), "{refused}");
    assert!(greedy(&mut decoder, 8, &mut |_| {}) == reference);
    assert_accounts(&decoder);
    assert_eq!(Running::of(&record).unwrap().batch, 1);
}
