//! Demands: each component's bytes and what a device needs beside them.

use apportion::memory::{Demand, KvType, Load, Staging};
use apportion::model::{ComponentId, ComponentKind};
use apportion::quant::Scheme;
use apportion::units::BYTES_MAX;

use super::model;

fn demand(name: &str, scheme: &str, load: &Load) -> Demand {
    Demand::of(&model(name), &Scheme::parse(scheme).unwrap(), load).unwrap()
}

#[test]
fn every_component_once_in_canonical_order() {
    let demand = demand("mixtral-8x7b", "q4_k_m", &Load::default());
    let ids: Vec<ComponentId> = demand.components.iter().map(|c| c.id).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(ids.len(), 1 + 32 * (1 + 1 + 8) + 2);
    assert_eq!(demand.weights_bytes(), 28_447_727_616);
    let router = demand.components.iter().find(|c| c.id == ComponentId::Router(0)).unwrap();
    assert_eq!(router.weights_bytes, 8 * 4096 * 4);
    assert_eq!(router.kv_cache_bytes, 0);
}

#[test]
fn kv_caches_of_mixtral() {
    // llama.cpp logs 64 MiB at 512 tokens in f16; block types by their row sizes.
    for (context, kv_type, mib) in [
        (512, KvType::F16, 64),
        (4096, KvType::Bf16, 512),
        (32768, KvType::F16, 4096),
        (32768, KvType::Q8_0, 2176),
        (32768, KvType::Q4_0, 1152),
        (4096, KvType::F32, 1024),
    ] {
        let load = Load { context, kv_type, ..Load::default() };
        let demand = demand("mixtral-8x7b", "nf4", &load);
        assert_eq!(demand.kv_cache_bytes(), mib << 20, "{context} {}", kv_type.name());
        let with_cache = demand.components.iter().filter(|c| c.kv_cache_bytes > 0);
        assert!(with_cache.clone().all(|c| c.id.kind() == ComponentKind::Attention));
        assert_eq!(with_cache.count(), 32);
    }
    let two = Load { batch: 2, ..Load::default() };
    assert_eq!(demand("mixtral-8x7b", "nf4", &two).kv_cache_bytes(), 1024 << 20);
}

#[test]
fn workspace_of_mixtral_by_its_formula() {
    let workspace = demand("mixtral-8x7b", "nf4", &Load::default()).workspace;
    assert_eq!(workspace.embedding_bytes, 512 * 4096 * 4);
    assert_eq!(workspace.attention_bytes, 512 * ((2 * 4096 + 48 * 128) * 4 + 4096 * 2));
    assert_eq!(workspace.feed_forward_bytes, 128 << 20);
    assert_eq!(workspace.head_bytes, 512 * (32000 + 4096) * 4);
    let short = Load { context: 16, ..Load::default() };
    assert_eq!(demand("mixtral-8x7b", "nf4", &short).workspace.embedding_bytes, 16 * 4096 * 4);
    let dense = demand("llama-3.1-8b", "f16", &Load::default()).workspace;
    assert_eq!(dense.feed_forward_bytes, 512 * 2 * (14336 + 4096) * 4);
}

#[test]
fn staging_is_the_largest_matrix_where_it_is_quantized() {
    let load = |staging| Load { staging, ..Load::default() };
    let device = demand("mixtral-8x7b", "nf4", &load(None));
    assert_eq!((device.staging, device.host_staging_bytes), (Staging::Device, 0));
    let of = |d: &Demand, id| d.components.iter().find(|c| c.id == id).unwrap().staging_bytes;
    assert_eq!(of(&device, ComponentId::Expert(0, 0)), 112 << 20);
    assert_eq!(of(&device, ComponentId::Attention(0)), 2 * 4096 * 4096);
    assert_eq!(of(&device, ComponentId::Router(0)), 2 * 8 * 4096);
    assert_eq!(of(&device, ComponentId::Embedding), 0);
    let host = demand("mixtral-8x7b", "nf4", &load(Some(Staging::Host)));
    assert_eq!(of(&host, ComponentId::Expert(0, 0)), 0);
    assert_eq!(host.host_staging_bytes, 112 << 20);
    let none = demand("mixtral-8x7b", "nf4", &load(Some(Staging::None)));
    assert_eq!(none.host_staging_bytes, 0);
    assert!(none.components.iter().all(|c| c.staging_bytes == 0));
    assert!(Staging::parse("HOST").is_ok() && Staging::parse("disk").is_err());
}

#[test]
fn a_tied_head_has_no_demand_but_its_norm_has() {
    let demand = demand("llama-3.2-1b", "q4_k_m", &Load::default());
    let last = demand.components.last().unwrap();
    assert_eq!((last.id, last.weights_bytes), (ComponentId::FinalNorm, 2048 * 4));
}

#[test]
fn terms_show_their_numbers() {
    let demand = demand("mixtral-8x7b", "nf4", &Load::default());
    let names: Vec<&str> = demand.terms.iter().map(|t| t.name).collect();
    assert_eq!(
        names,
        [
            "kv_cache_per_layer",
            "workspace.embedding",
            "workspace.attention",
            "workspace.feed_forward",
            "workspace.head",
            "staging.device"
        ]
    );
    let kv = &demand.terms[0];
    assert_eq!(kv.bytes, 16 << 20);
    assert_eq!(kv.formula, "batch 1 x 4096 tokens x 8 heads x (128 + 128) x 2 B");
}

#[test]
fn absurd_loads_are_refused_and_large_ones_stay_in_bounds() {
    let mixtral = model("mixtral-8x7b");
    for (context, batch) in
        [(0, 1), (1, 0), (1 << 32, 1), (1, 1 << 21), (u64::MAX, u64::MAX), (1 << 31, 1 << 20)]
    {
        let load = Load { context, batch, ..Load::default() };
        assert!(
            Demand::of(&mixtral, &Scheme::parse("nf4").unwrap(), &load).is_err(),
            "{context} x {batch}"
        );
    }
    let long = Load { context: 1 << 31, ..Load::default() };
    let demand = Demand::of(&mixtral, &Scheme::parse("nf4").unwrap(), &long).unwrap();
    assert!(demand.kv_cache_bytes() < BYTES_MAX);
}

#[test]
fn block_types_need_heads_of_whole_blocks() {
    let mut config = model("mixtral-8x7b").config;
    config.insert("head_dim".to_owned(), 100.into());
    let odd = apportion::model::Model::from_facts("mixtral", &config).unwrap();
    let load = Load { kv_type: KvType::Q8_0, ..Load::default() };
    assert!(Demand::of(&odd, &Scheme::parse("nf4").unwrap(), &load).is_err());
    assert_eq!(KvType::parse("Q8_0").unwrap(), KvType::Q8_0);
    assert!(KvType::parse("q3").is_err());
}
