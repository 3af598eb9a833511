//! What the user's words become in the problem.

use apportion::hardware::Hardware;
use apportion::memory::Load;
use apportion::model::{ComponentId, Model};
use apportion::problem::{DeviceSet, ObjectiveKind, Problem};
use apportion::quant::Scheme;
use apportion::remedy::Case;
use apportion::scenario::{Constraint, ConstraintKind, Limits, Scenario, default_objectives};

/// A scenario on GPUs of 16 GiB.
pub fn scenario(model: &str, gpus: usize, cpu: bool) -> Scenario {
    let sizes = vec![16 << 30; gpus];
    Scenario {
        model: Model::from_catalogue(model).unwrap(),
        scheme: Scheme::parse("nf4-dq").unwrap(),
        load: Load::default(),
        hardware: Hardware::from_sizes(&sizes, cpu.then_some(64 << 30), 0).unwrap(),
        constraints: Vec::new(),
        default_pins: true,
        limits: Limits::default(),
        objectives: default_objectives(),
    }
}

fn constraint(kind: ConstraintKind, text: &str) -> Constraint {
    Constraint::parse(kind, text).unwrap()
}

fn allowed(problem: &Problem, id: ComponentId) -> Vec<usize> {
    problem.components[problem.index_of(id).unwrap()].allowed.iter().collect()
}

#[test]
fn default_pins_hold_the_embedding_and_layer_0s_feed_forward_part() {
    let problem = scenario("mixtral-8x7b", 2, false).problem().unwrap();
    assert_eq!(allowed(&problem, ComponentId::Embedding), [0]);
    assert_eq!(allowed(&problem, ComponentId::Expert(0, 7)), [0]);
    assert_eq!(allowed(&problem, ComponentId::Attention(0)), [0, 1]);
    assert_eq!(allowed(&problem, ComponentId::Expert(1, 0)), [0, 1]);
    let texts: Vec<_> = problem.rules.iter().map(|rule| rule.text.as_str()).collect();
    assert_eq!(texts, ["--pin embedding=gpu0", "--pin layers.0.experts.*=gpu0"]);
    let dense = scenario("llama-3.1-8b", 2, false).problem().unwrap();
    assert_eq!(allowed(&dense, ComponentId::Mlp(0)), [0]);
    let free = Scenario { default_pins: false, ..scenario("mixtral-8x7b", 2, false) };
    assert!(free.problem().unwrap().rules.is_empty());
}

#[test]
fn what_the_user_says_about_a_component_overrides_its_default_pin() {
    let mut scenario = scenario("mixtral-8x7b", 2, false);
    scenario.constraints = vec![
        constraint(ConstraintKind::Pin, "layers.0.experts.[0-3]=gpu1"),
        constraint(ConstraintKind::Forbid, "embedding=gpu0"),
    ];
    let problem = scenario.problem().unwrap();
    assert_eq!(allowed(&problem, ComponentId::Expert(0, 3)), [1]);
    assert_eq!(allowed(&problem, ComponentId::Expert(0, 4)), [0]);
    assert_eq!(allowed(&problem, ComponentId::Embedding), [1]);
    assert_eq!(problem.rules.len(), 3);
    assert_eq!(problem.rules.iter().filter(|rule| rule.default).count(), 1);
}

#[test]
fn what_lives_together_shares_its_rules() {
    let mut scenario = scenario("mixtral-8x7b", 2, false);
    scenario.constraints = vec![
        constraint(ConstraintKind::Pin, "layers.5.router=gpu1"),
        constraint(ConstraintKind::Pin, "final_norm=gpu0"),
    ];
    let problem = scenario.problem().unwrap();
    assert_eq!(allowed(&problem, ComponentId::Attention(5)), [1]);
    assert_eq!(allowed(&problem, ComponentId::OutputHead), [0]);
}

#[test]
fn a_tied_head_brings_the_final_norm_to_the_embedding() {
    let mut scenario = scenario("llama-3.2-1b", 2, false);
    let problem = scenario.problem().unwrap();
    assert!(problem.tied_head && problem.index_of(ComponentId::OutputHead).is_none());
    assert_eq!(allowed(&problem, ComponentId::FinalNorm), [0]);
    // Speaking about one of the two speaks about both.
    scenario.constraints = vec![constraint(ConstraintKind::Pin, "final_norm=gpu1")];
    assert_eq!(allowed(&scenario.problem().unwrap(), ComponentId::Embedding), [1]);
}

#[test]
fn visits_are_exact_fractions() {
    let problem = scenario("mixtral-8x7b", 2, false).problem().unwrap();
    let visits = |id| problem.components[problem.index_of(id).unwrap()].visits;
    assert_eq!(problem.traffic_denominator, 8);
    assert_eq!(visits(ComponentId::Expert(3, 3)), 2);
    assert_eq!(visits(ComponentId::Attention(3)), 0);
    let dense = scenario("llama-3.1-8b", 2, false).problem().unwrap();
    let mlp = dense.index_of(ComponentId::Mlp(3)).unwrap();
    assert_eq!((dense.traffic_denominator, dense.components[mlp].visits), (1, 1));
}

#[test]
fn a_cpu_is_last_and_puts_spilled_bytes_first() {
    let problem = scenario("mixtral-8x7b", 3, true).problem().unwrap();
    assert_eq!(problem.cpus().collect::<Vec<_>>(), [3]);
    assert_eq!(problem.objectives[0].kind, ObjectiveKind::SpillBytes);
    let router = problem.index_of(ComponentId::Router(0)).unwrap();
    assert_eq!(problem.components[router].allowed, DeviceSet::first(4));
}

#[test]
fn variations_change_one_word() {
    let mut asked = scenario("mixtral-8x7b", 2, true);
    asked.constraints = vec![constraint(ConstraintKind::Pin, "output_head=gpu1")];
    let problem = Case::problem(&asked).unwrap();
    assert_eq!(asked.alternative_schemes(), Vec::<String>::new(), "nf4-dq is the lightest");
    let nf4 = Scenario { scheme: Scheme::parse("int8").unwrap(), ..asked.clone() };
    assert_eq!(nf4.alternative_schemes(), ["nf4", "nf4-dq"]);
    let weights = |problem: &Problem| -> u64 {
        problem.components.iter().map(|c| c.demand.weights_bytes).sum()
    };
    assert!(weights(&asked.with_scheme("nf4").unwrap()) > weights(&problem));
    let kv = |problem: &Problem| problem.components[1].demand.kv_cache_bytes;
    assert_eq!(kv(&asked.with_context(2048).unwrap()) * 2, kv(&problem));
    let more = asked.with_extra_capacity(&[0, 5, 7]).unwrap();
    assert_eq!(more.devices[1].capacity_bytes, (16 << 30) + 5);
    let added = asked.with_added_device_like(1).unwrap();
    let ids: Vec<_> = added.devices.iter().map(|d| d.id.as_str()).collect();
    assert_eq!(ids, ["gpu0", "gpu1", "gpu2", "cpu"]);
    assert!(asked.with_added_device_like(2).is_err(), "there is one host");
    assert_eq!(asked.without_rule(0).unwrap().rules.len(), 2);
    assert_eq!(asked.without_rule(1).unwrap().rules.len(), 1);
    assert_eq!(asked.without_default_pins().unwrap().rules.len(), 1);
}
