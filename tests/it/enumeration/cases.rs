//! Tiny random problems of every shape the planner knows.

use apportion::hardware::{Device, DeviceKind};
use apportion::memory::{ComponentDemand, Workspace};
use apportion::model::{ComponentId, ComponentKind};
use apportion::placement::Placement;
use apportion::problem::{Component, DeviceSet, Objective, ObjectiveKind, Problem, Rule, Sends};
use apportion::units::Ratio;

use super::costs::visited;
use crate::support::{Random, Tiny};

/// A tiny problem; sometimes infeasible, sometimes with a CPU, uneven devices, pins, a tied head, layers of
/// several sizes, dense layers, shared experts, workspace, staging, reserve.
pub fn random_problem(random: &mut Random, layers_max: u64) -> Problem {
    let layers = u32::try_from(random.within(1, layers_max)).unwrap();
    let experts = u32::try_from(random.within(1, 3)).unwrap();
    let tied_head = random.one_in(4);
    let sizes = [random.within(3, 9), random.within(3, 9)];
    let (kv, staged) = (random.below(4), random.below(8));
    let mut components = Vec::new();
    let mut add = |id: ComponentId, weights: u64, kv: u64, staging: u64, leader, visits| {
        components.push(Component {
            demand: ComponentDemand {
                id,
                weights_bytes: weights,
                rounding_bytes: 0,
                kv_cache_bytes: kv,
                staging_bytes: staging,
            },
            allowed: DeviceSet(0),
            lives_with: leader,
            visits,
        });
    };
    let denominator = u64::from(experts);
    add(ComponentId::Embedding, random.within(2, 8), 0, 0, ComponentId::Embedding, 0);
    for l in 0..layers {
        let home = ComponentId::Attention(l);
        let size = sizes[usize::from(random.one_in(3))];
        add(home, random.within(1, 2), kv, staged / 2, home, 0);
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
        add(ComponentId::OutputHead, random.within(2, 8), 0, 0, ComponentId::OutputHead, 0);
    }
    round_and_leave_out(random, &mut components, tied_head);
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
        // No further wish, and nothing timed.
        ..Tiny::new(1, 0).gpu(1).problem()
    };
    problem.rules = random_rules(random, &problem);
    problem.apply_rules();
    problem
}

/// The same on five or six small GPUs, of which some may be too small for their own reserve: where the
/// planner prices devices instead of solving programs first.
pub fn random_crowd(random: &mut Random) -> Problem {
    let mut problem = random_problem(random, 2);
    let demands = problem.components.iter().map(|c| &c.demand);
    let total: u64 = demands.map(|d| d.weights_bytes + d.kv_cache_bytes).sum();
    let gpus = random.within(5, 6);
    let share = total * random.within(110, 260) / 100 / gpus + 2;
    let reserve = random.below(3);
    let capacity = |random: &mut Random| random.within(1, share * 2);
    let even = random.one_in(3);
    problem.devices = (0..gpus)
        .map(|g| Device {
            id: format!("gpu{g}"),
            kind: DeviceKind::Gpu,
            capacity_bytes: if even { share } else { capacity(random) },
            reserve_bytes: reserve,
        })
        .collect();
    problem.rules = random_rules(random, &problem);
    problem.objectives = random_objectives(random, false);
    problem.apply_rules();
    problem
}

/// What some runtimes do: allocate more than a tensor takes, keep the embedding outside, so that the
/// chain begins at the first layer.
fn round_and_leave_out(random: &mut Random, components: &mut Vec<Component>, tied_head: bool) {
    if random.one_in(4) {
        let round = |c: &mut Component| c.demand.rounding_bytes = c.demand.weights_bytes % 3;
        components.iter_mut().for_each(round);
    }
    if !tied_head && random.one_in(6) {
        components.remove(0);
    }
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
    let gpus = random.within(2, 3);
    let even = random.one_in(2);
    let fill = random.within(80, 220);
    let share = total * fill / 100 / gpus + 1;
    let reserve = u64::from(random.one_in(3));
    let mut devices: Vec<Device> = (0..gpus)
        .map(|g| Device {
            id: format!("gpu{g}"),
            kind: DeviceKind::Gpu,
            capacity_bytes: if even {
                share
            } else {
                random.within(share / 2, share * 3 / 2).max(1)
            },
            reserve_bytes: reserve,
        })
        .collect();
    if gpus == 2 && random.one_in(3) {
        devices.push(Device {
            id: "cpu".to_owned(),
            kind: DeviceKind::Cpu,
            capacity_bytes: random.within(total / 2, total + 10).max(1),
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

pub fn random_rules(random: &mut Random, problem: &Problem) -> Vec<Rule> {
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
            fixed: false,
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
                fixed: false,
                devices: if forbid { all.without(only) } else { only },
                components: vec![target],
            });
        }
    }
    rules
}

/// Adds what else can be wished for: headroom, a limit on devices, fewer devices or fewer moves as
/// objectives, sends per device.
pub fn random_wishes(random: &mut Random, problem: &mut Problem) {
    let devices = problem.devices.len();
    if random.one_in(3) {
        problem.headroom_bytes = (0..devices).map(|_| random.below(4)).collect();
    }
    if random.one_in(3) {
        problem.devices_max = Some(usize::try_from(random.within(1, devices as u64)).unwrap());
    }
    let tolerance = if random.one_in(2) { Ratio::ZERO } else { Ratio::new(1, 5) };
    let mut add = |random: &mut Random, kind| {
        let at = random.index(problem.objectives.len() + 1);
        problem.objectives.insert(at, Objective { kind, tolerance });
    };
    if random.one_in(3) {
        add(random, ObjectiveKind::DevicesUsed);
    }
    if random.one_in(2) {
        add(random, ObjectiveKind::Migration);
        problem.current = Some(random_current(random, problem));
    }
    if random.one_in(2) {
        send_per_device(random, problem);
    }
}

/// Where things are now: anywhere, but more often in runs than not.
fn random_current(random: &mut Random, problem: &Problem) -> Placement {
    let devices = problem.devices.len();
    let mut here = random.index(devices);
    let anywhere = random.one_in(4);
    let mut device = || {
        if anywhere || random.one_in(6) {
            here = random.index(devices);
        }
        here
    };
    Placement { device_of: problem.components.iter().map(|_| device()).collect() }
}

/// Tokens go once to every device, in units that divide the chances or do not.
fn send_per_device(random: &mut Random, problem: &mut Problem) {
    let experts = problem.components.iter().filter_map(|c| match c.demand.id {
        ComponentId::Expert(_, expert) => Some(expert + 1),
        _ => None,
    });
    let experts = experts.max().unwrap_or(1) + u32::from(random.one_in(6));
    let experts_per_token = u32::try_from(random.within(1, u64::from(experts))).unwrap();
    let denominator = [12, 12, 7, 1_000_000_000][random.index(4)];
    problem.sends = Sends::PerDevice { experts, experts_per_token };
    problem.traffic_denominator = denominator;
    for component in &mut problem.components {
        component.visits = match component.demand.id.kind() {
            ComponentKind::Mlp | ComponentKind::SharedExpert => denominator,
            ComponentKind::Expert => visited(denominator, experts, experts_per_token, 1),
            _ => 0,
        };
    }
}
