//! Every placement of thousands of tiny random models, enumerated, against what the planner answers.
//!
//! The enumeration evaluates placements with arithmetic of its own, straight from the definitions, and
//! shares nothing with planner or verifier. The generator is local, so that a seed never changes meaning.

use apportion::hardware::{Device, DeviceKind};
use apportion::memory::{ComponentDemand, Workspace};
use apportion::model::{ComponentId, ComponentKind};
use apportion::plan::{self, Formulation, Options, Outcome, Solved};
use apportion::problem::{
    Component, DeviceSet, Objective, ObjectiveKind, ObjectiveValue, Problem, Rule,
};
use apportion::units::Ratio;
use rayon::prelude::*;

const CASES: u64 = 2_400;
const PLACEMENTS_MAX: u64 = 60_000;

/// xorshift64*, seeded through a splitmix step.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mixed = (seed.wrapping_add(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        Self(mixed ^ (mixed >> 27) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A tiny problem; sometimes infeasible, sometimes with a CPU, uneven devices, pins, a tied head, layers of
/// several sizes, dense layers, shared experts, workspace, staging, reserve.
fn random_problem(random: &mut Random) -> Problem {
    let layers = u32::try_from(random.between(1, 4)).unwrap();
    let experts = u32::try_from(random.between(1, 3)).unwrap();
    let tied_head = random.one_in(4);
    let sizes = [random.between(3, 9), random.between(3, 9)];
    let (kv, staged) = (random.below(4), random.below(8));
    let mut components = Vec::new();
    let mut add = |id: ComponentId, weights: u64, kv: u64, staging: u64, leader, visits| {
        components.push(Component {
            demand: ComponentDemand {
                id,
                weights_bytes: weights,
                kv_cache_bytes: kv,
                staging_bytes: staging,
            },
            allowed: DeviceSet(0),
            lives_with: leader,
            visits,
        });
    };
    let denominator = u64::from(experts);
    add(ComponentId::Embedding, random.between(2, 8), 0, 0, ComponentId::Embedding, 0);
    for l in 0..layers {
        let home = ComponentId::Attention(l);
        let size = sizes[usize::from(random.one_in(3))];
        add(home, random.between(1, 2), kv, staged / 2, home, 0);
        if random.one_in(5) {
            add(ComponentId::Mlp(l), size * 2, 0, staged, ComponentId::Mlp(l), denominator);
            continue;
        }
        add(ComponentId::Router(l), 1, 0, 0, home, 0);
        if random.one_in(6) {
            let id = ComponentId::SharedExpert(l);
            add(id, 2, 0, staged, id, denominator);
        }
        for e in 0..experts {
            let id = ComponentId::Expert(l, e);
            add(id, size, 0, staged, id, 1);
        }
    }
    let norm_home = if tied_head { ComponentId::Embedding } else { ComponentId::OutputHead };
    add(ComponentId::FinalNorm, 1, 0, 0, norm_home, 0);
    if !tied_head {
        add(ComponentId::OutputHead, random.between(2, 8), 0, 0, ComponentId::OutputHead, 0);
    }
    let workspace = random_workspace(random);
    let total: u64 =
        components.iter().map(|c| c.demand.weights_bytes + c.demand.kv_cache_bytes).sum();
    let devices = random_devices(random, total);
    let has_cpu = devices.iter().any(|d| d.kind == DeviceKind::Cpu);
    let mut problem = Problem {
        components,
        devices,
        workspace,
        host_staging_bytes: if random.one_in(5) { staged } else { 0 },
        tied_head,
        traffic_denominator: denominator,
        rules: Vec::new(),
        objectives: random_objectives(random, has_cpu),
    };
    problem.rules = random_rules(random, &problem);
    problem.apply_rules();
    problem
}

fn random_workspace(random: &mut Random) -> Workspace {
    if random.one_in(2) {
        return Workspace::default();
    }
    Workspace {
        embedding_bytes: random.below(3),
        attention_bytes: random.below(4),
        feed_forward_bytes: random.below(6),
        head_bytes: random.below(6),
    }
}

fn random_devices(random: &mut Random, total: u64) -> Vec<Device> {
    let gpus = random.between(2, 3);
    let even = random.one_in(2);
    let fill = random.between(80, 220);
    let share = total * fill / 100 / gpus + 1;
    let reserve = u64::from(random.one_in(3));
    let mut devices: Vec<Device> = (0..gpus)
        .map(|g| Device {
            id: format!("gpu{g}"),
            kind: DeviceKind::Gpu,
            capacity_bytes: if even {
                share
            } else {
                random.between(share / 2, share * 3 / 2).max(1)
            },
            reserve_bytes: reserve,
        })
        .collect();
    if gpus == 2 && random.one_in(3) {
        devices.push(Device {
            id: "cpu".to_owned(),
            kind: DeviceKind::Cpu,
            capacity_bytes: random.between(total / 2, total + 10).max(1),
            reserve_bytes: 0,
        });
    }
    devices
}

fn random_objectives(random: &mut Random, has_cpu: bool) -> Vec<Objective> {
    let tolerance = |random: &mut Random| {
        [Ratio::ZERO, Ratio::new(1, 100), Ratio::new(1, 10), Ratio::new(3, 10)]
            [usize::try_from(random.below(4)).unwrap()]
    };
    let mut objectives = vec![
        Objective { kind: ObjectiveKind::PeakUtilization, tolerance: tolerance(random) },
        Objective { kind: ObjectiveKind::Traffic, tolerance: tolerance(random) },
    ];
    if random.one_in(3) {
        objectives.reverse();
    }
    if has_cpu {
        objectives
            .insert(0, Objective { kind: ObjectiveKind::SpillBytes, tolerance: tolerance(random) });
    }
    objectives
}

fn random_rules(random: &mut Random, problem: &Problem) -> Vec<Rule> {
    let mut rules = Vec::new();
    let all = DeviceSet::first(problem.devices.len());
    let matching = |test: &dyn Fn(ComponentId) -> bool| {
        let ids = problem.components.iter().map(|c| c.demand.id).enumerate();
        ids.filter(|&(_, id)| test(id)).map(|(index, _)| index).collect::<Vec<_>>()
    };
    if !random.one_in(3) {
        let first = |id: ComponentId| {
            id == ComponentId::Embedding || (id.layer() == Some(0) && id.kind().is_feed_forward())
        };
        rules.push(Rule {
            text: "default".to_owned(),
            default: true,
            devices: DeviceSet::only(0),
            components: matching(&first),
        });
    }
    if random.one_in(3) {
        let target = usize::try_from(random.below(problem.components.len() as u64)).unwrap();
        let device = usize::try_from(random.below(problem.devices.len() as u64)).unwrap();
        let forbid = random.one_in(2);
        let only = DeviceSet::only(device);
        let in_default = rules.iter().any(|r| r.components.contains(&target));
        if !in_default {
            rules.push(Rule {
                text: "own".to_owned(),
                default: false,
                devices: if forbid { all.without(only) } else { only },
                components: vec![target],
            });
        }
    }
    rules
}

/// What one placement costs: (spill, peak, traffic units), or `None` when it breaks a constraint.
type Costs = (u64, Ratio, u64);

fn costs(problem: &Problem, device_of: &[usize]) -> Option<Costs> {
    let index =
        |id: ComponentId| problem.components.iter().position(|c| c.demand.id == id).unwrap();
    let mut peak = Ratio::ZERO;
    let mut spill = 0;
    for (d, device) in problem.devices.iter().enumerate() {
        let here: Vec<&Component> = problem
            .components
            .iter()
            .zip(device_of)
            .filter(|&(_, &on)| on == d)
            .map(|(c, _)| c)
            .collect();
        let cpu = device.kind == DeviceKind::Cpu;
        let staging = here.iter().map(|c| c.demand.staging_bytes).max().unwrap_or(0);
        let staging = staging.max(if cpu { problem.host_staging_bytes } else { 0 });
        let weights: u64 = here.iter().map(|c| c.demand.weights_bytes).sum();
        let kv: u64 = here.iter().map(|c| c.demand.kv_cache_bytes).sum();
        let workspace = here.iter().map(|c| workspace(problem, c)).max().unwrap_or(0);
        let occupied = !here.is_empty() || (cpu && problem.host_staging_bytes > 0);
        let reserve = if occupied { device.reserve_bytes } else { 0 };
        let required = weights + reserve + (kv + workspace).max(staging);
        if required > device.capacity_bytes {
            return None;
        }
        if cpu {
            spill += weights + kv;
        } else {
            peak = peak.max(Ratio::new(required, device.capacity_bytes));
        }
    }
    let home = |l| device_of[index(ComponentId::Attention(l))];
    let mut chain = vec![device_of[index(ComponentId::Embedding)]];
    chain.extend((0..problem.layers()).map(home));
    chain.push(if problem.tied_head {
        chain[0]
    } else {
        device_of[index(ComponentId::OutputHead)]
    });
    let changes = chain.windows(2).filter(|w| w[0] != w[1]).count() as u64;
    let mut traffic = changes * problem.traffic_denominator;
    for (component, &on) in problem.components.iter().zip(device_of) {
        let id = component.demand.id;
        if id.kind().is_feed_forward() && on != home(id.layer().unwrap()) {
            traffic += 2 * component.visits;
        }
    }
    Some((spill, peak, traffic))
}

fn workspace(problem: &Problem, component: &Component) -> u64 {
    let w = &problem.workspace;
    match component.demand.id.kind() {
        ComponentKind::Embedding if problem.tied_head => w.embedding_bytes.max(w.head_bytes),
        ComponentKind::Embedding => w.embedding_bytes,
        ComponentKind::Attention | ComponentKind::Router => w.attention_bytes,
        ComponentKind::Mlp | ComponentKind::SharedExpert | ComponentKind::Expert => {
            w.feed_forward_bytes
        }
        ComponentKind::FinalNorm => 0,
        ComponentKind::OutputHead => w.head_bytes,
    }
}

/// The costs of every placement that keeps together what must be and stays where it may; `None` when
/// there are too many.
fn enumerate(problem: &Problem) -> Option<Vec<Costs>> {
    let leaders: Vec<usize> = (0..problem.components.len())
        .filter(|&c| problem.components[c].lives_with == problem.components[c].demand.id)
        .collect();
    let choices: Vec<Vec<usize>> =
        leaders.iter().map(|&c| problem.components[c].allowed.iter().collect()).collect();
    let count = choices.iter().try_fold(1_u64, |n, c| n.checked_mul(c.len() as u64))?;
    if count > PLACEMENTS_MAX {
        return None;
    }
    let mut found = Vec::new();
    for mut number in 0..count {
        let mut device_of = vec![0; problem.components.len()];
        for (&leader, devices) in leaders.iter().zip(&choices) {
            let device = devices[usize::try_from(number % devices.len() as u64).unwrap()];
            number /= devices.len() as u64;
            for (index, component) in problem.components.iter().enumerate() {
                if component.lives_with == problem.components[leader].demand.id {
                    device_of[index] = device;
                }
            }
        }
        found.extend(costs(problem, &device_of));
    }
    Some(found)
}

fn value(problem: &Problem, costs: &Costs, kind: ObjectiveKind) -> ObjectiveValue {
    match kind {
        ObjectiveKind::SpillBytes => ObjectiveValue::Bytes(costs.0),
        ObjectiveKind::PeakUtilization => ObjectiveValue::Ratio(costs.1),
        ObjectiveKind::Traffic => {
            ObjectiveValue::Ratio(Ratio::new(costs.2, problem.traffic_denominator))
        }
    }
}

/// `found` is the best there is: exactly, or for a peak within its stated gap.
fn same(kind: ObjectiveKind, found: ObjectiveValue, best: ObjectiveValue) -> bool {
    let slack = if kind == ObjectiveKind::PeakUtilization { 1e-4 * best.as_f64() } else { 0.0 };
    found >= best && found.as_f64() - best.as_f64() <= slack + 1e-12
}

fn check_solved(problem: &Problem, all: &[Costs], solved: &Solved) -> Result<(), String> {
    if solved.limit.is_some() {
        return Err(format!("not proven: {:?}", solved.stages));
    }
    let mut left: Vec<&Costs> = all.iter().collect();
    for stage in &solved.stages {
        let of = |c: &&Costs| value(problem, c, stage.kind);
        let best = left.iter().map(of).min().ok_or("nothing is left under the caps")?;
        if !same(stage.kind, stage.optimum, best) {
            return Err(format!("{:?}: found {:?}, best {best:?}", stage.kind, stage.optimum));
        }
        if stage.bound > best {
            return Err(format!("{:?}: bound {:?} above {best:?}", stage.kind, stage.bound));
        }
        left.retain(|c| of(c) <= stage.cap);
    }
    check_polished(problem, all, solved)?;
    let mine =
        costs(problem, &solved.placement.device_of).ok_or("the placement is not feasible")?;
    for stage in &solved.stages {
        if value(problem, &mine, stage.kind) != stage.value {
            return Err(format!("{:?}: reported {:?}, is {mine:?}", stage.kind, stage.value));
        }
    }
    Ok(())
}

/// In order, every objective is as small as the final values of the others allow.
fn check_polished(problem: &Problem, all: &[Costs], solved: &Solved) -> Result<(), String> {
    for (index, stage) in solved.stages.iter().enumerate() {
        let held = solved.stages.iter().enumerate().filter(|(other, _)| *other != index);
        let rivals =
            all.iter().filter(|c| held.clone().all(|(_, o)| value(problem, c, o.kind) <= o.value));
        let best = rivals.map(|c| value(problem, c, stage.kind)).min().ok_or("no rival")?;
        if !same(stage.kind, stage.value, best) {
            return Err(format!("{:?}: final {:?}, possible {best:?}", stage.kind, stage.value));
        }
    }
    Ok(())
}

fn check_case(seed: u64, formulation: Formulation) -> Result<bool, String> {
    let problem = random_problem(&mut Random::new(seed));
    if problem.components.iter().any(|c| c.allowed.is_empty()) {
        return Ok(false);
    }
    let Some(all) = enumerate(&problem) else { return Ok(false) };
    let options = Options { formulation, node_limit: 20_000, ..Options::default() };
    let outcome = plan::solve(&problem, &options).map_err(|e| e.to_string())?;
    match outcome {
        Outcome::Solved(solved) => check_solved(&problem, &all, &solved)?,
        Outcome::Infeasible(why) if all.is_empty() => {
            let blamed = !why.conflicting_rules.is_empty() || !why.shortfalls.is_empty();
            if !blamed {
                return Err("infeasible without a reason".to_owned());
            }
        }
        other => return Err(format!("{} placements, but {other:?}", all.len())),
    }
    Ok(true)
}

fn check_many(seeds: std::ops::Range<u64>, formulation: Formulation) -> usize {
    let results: Vec<(u64, Result<bool, String>)> =
        seeds.into_par_iter().map(|seed| (seed, check_case(seed, formulation))).collect();
    let failures: Vec<String> = results
        .iter()
        .filter_map(|(seed, result)| result.as_ref().err().map(|e| format!("seed {seed}: {e}")))
        .collect();
    assert!(
        failures.is_empty(),
        "{} failures, first:\n{}",
        failures.len(),
        failures[..failures.len().min(8)].join("\n")
    );
    results.iter().filter(|(_, result)| matches!(result, Ok(true))).count()
}

#[test]
fn counts_agree_with_enumeration() {
    let checked = check_many(0..CASES * 3 / 2, Formulation::Counts);
    println!("{checked} cases");
    assert!(checked >= 2_000, "only {checked} cases were small enough to enumerate");
}

#[test]
fn textbook_agrees_with_enumeration() {
    let checked = check_many(0..200, Formulation::Textbook);
    assert!(checked >= 100, "only {checked} cases were small enough to enumerate");
}
