//! Temporary.
use apportion::certificate::*;
use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::Model;
use apportion::problem::*;
use apportion::quant::Scheme;
use apportion::scenario::*;
use apportion::units::Ratio;
use apportion::verify::prove;
use super::{leaf, name};
#[test]
fn timing() {
    for (model, quant, n) in [("deepseek-v3","fp8",8usize),("deepseek-v3","fp8",16),("deepseek-v3","fp8",64),("deepseek-v3","q4_k_m",8),("deepseek-v3","q4_k_m",64),("mixtral-8x7b","q4_k_m",4)] {
      for (even, per_device) in [(true,false),(false,false),(false,true)] {
        let Ok(model) = Model::from_catalogue(model) else { println!("no {model}"); continue };
        let Ok(scheme) = Scheme::parse(quant) else { println!("no scheme {quant}"); continue };
        let scenario = |cap: Vec<u64>| Scenario { model: model.clone(), scheme: scheme.clone(), load: Load::default(), hardware: Hardware::from_sizes(&cap, None, 0).unwrap(), constraints: vec![], default_pins: true, objectives: default_objectives() };
        let p0 = match scenario(vec![1<<40; n]).problem() { Ok(p) => p, Err(e) => { println!("{e}"); continue } };
        let total: u64 = p0.components.iter().map(|c| c.demand.weights_bytes + c.demand.kv_cache_bytes).sum();
        let caps: Vec<u64> = (0..n as u64).map(|d| total / n as u64 * (if even {115} else {95 + 4*d}) / 100 + (4<<30)).collect();
        let mut problem = scenario(caps).problem().unwrap();
        if per_device { problem.sends = Sends::PerDevice { experts: 256, experts_per_token: 8 }; problem.traffic_denominator = 1_000_000_000; }
        // class names by trial
        let w = [(ObjectiveKind::Traffic, 1)];
        let run = |p: Proof, claim: Ratio| {
            let mut problem = problem.clone();
            problem.objectives.retain(|o| o.kind == ObjectiveKind::Traffic);
            let stages = vec![StageProof { kind: ObjectiveKind::Traffic, bound: ObjectiveValue::Ratio(claim), cap: ObjectiveValue::Ratio(Ratio::new(u64::MAX,1)), proof: p }];
            let t = std::time::Instant::now();
            let r = prove(&problem, &Certificate { problem: String::new(), stages });
            (t.elapsed(), r.map(|c| c[0].proven).map_err(|e| e.to_string()))
        };
        let names: Vec<_> = problem.components.iter().map(|c| c.demand.id).filter(|id| id.expert().unwrap_or(0) == 0 && !matches!(id, apportion::model::ComponentId::Router(_))).filter(|id| {
            let p = Prices { weights: w.to_vec(), prices: vec![(*id,0)], tracked: vec![*id], fractional: vec![] };
            let e = run(Proof::Relaxation(Tree::Leaf(p)), Ratio::ZERO).1.unwrap_err();
            !e.contains("not the first")
        }).collect();
        let show: Vec<String> = names.iter().map(ToString::to_string).collect();
        println!("{} {quant} {n} even {even} per device {per_device}: {show:?}", model.name);
        let items: Vec<_> = names.iter().copied().filter(|i| if per_device { i.expert().is_some() } else { i.kind().is_feed_forward() }).collect();
        let homes: Vec<_> = names.iter().copied().filter(|i| !i.kind().is_feed_forward()).collect();
        let l = |tracked: Vec<_>, frac: Vec<_>| Tree::Leaf(Prices { weights: w.to_vec(), tracked, prices: vec![], fractional: frac });
        println!("  tracked homes, closed: {:?}", run(Proof::Relaxation(l(homes.clone(), vec![])), Ratio::ZERO));
        println!("  tracked homes, parts: {:?}", run(Proof::Relaxation(l(homes.clone(), items.clone())), Ratio::ZERO));
        println!("  all priced, parts: {:?}", run(Proof::Relaxation(l(vec![], items.clone())), Ratio::ZERO));
        println!("  walks, parts: {:?}", run(Proof::Walks { single_runs: l(vec![], items.clone()), others: l(homes.clone(), items.clone()) }, Ratio::ZERO));
        println!("  walks, closed: {:?}", run(Proof::Walks { single_runs: l(vec![], vec![]), others: l(homes.clone(), items.clone()) }, Ratio::ZERO));
      }
    }
    let _ = (leaf(&[], &[], &[]), name("embedding"));
}
