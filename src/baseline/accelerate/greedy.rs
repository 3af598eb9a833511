//! `infer_auto_device_map`: one pass over the modules, never back to an earlier device.

use std::collections::VecDeque;

use super::{MaxMemory, Module};

/// Where accelerate sends a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The GPU of this index.
    Gpu(usize),
    /// Host memory: the weights are copied to a GPU for every pass.
    Cpu,
    /// A file: read and copied for every pass.
    Disk,
}

/// One entry of a device map; it owns every module below its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Dotted path of the module.
    pub module: String,
    /// Where it goes.
    pub target: Target,
}

/// Assigns modules in order of definition. A module that does not fit is replaced by its submodules if
/// it may be split, otherwise it and all that follow go to the next device: GPUs, CPU, disk. The first
/// GPU and the CPU keep room for the largest layer not yet placed.
pub fn infer_device_map(modules: &[Module], caps: &MaxMemory) -> Vec<Assignment> {
    let mut devices = devices(caps);
    let mut current = devices.next();
    let mut used = 0_u128;
    let mut waiting: VecDeque<&Module> = modules.iter().collect();
    let mut largest = Largest::of(&waiting);
    let mut map = Vec::new();
    while let Some(module) = waiting.pop_front() {
        largest.passed(module, &waiting);
        let Some((target, cap)) = current else { break };
        let held_back = if keeps_room(target) { u128::from(largest.bytes) } else { 0 };
        let needed = used + u128::from(module.bytes) + held_back;
        if cap.is_none_or(|cap| needed <= u128::from(cap)) {
            used += u128::from(module.bytes);
            map.push(Assignment { module: module.name.clone(), target });
        } else if !module.no_split && !module.children.is_empty() {
            for child in module.children.iter().rev() {
                waiting.push_front(child);
            }
            largest = Largest::of(&waiting);
        } else {
            waiting.push_front(module);
            current = devices.next();
            used = 0;
        }
    }
    map
}

/// Devices in the order they are filled, with what may be used of them; disk is unbounded.
fn devices(caps: &MaxMemory) -> impl Iterator<Item = (Target, Option<u64>)> {
    let gpus = caps.gpus.iter().enumerate().map(|(gpu, &cap)| (Target::Gpu(gpu), Some(cap)));
    let cpu = caps.cpu.map(|cap| (Target::Cpu, Some(cap)));
    gpus.chain(cpu).chain([(Target::Disk, None)])
}

/// Devices that keep room to bring in an offloaded layer.
fn keeps_room(target: Target) -> bool {
    matches!(target, Target::Gpu(0) | Target::Cpu)
}

/// The largest layer still to come. It is only looked for again when every module of that size has had
/// its turn, so a module being placed may still be counted as to come; accelerate's maps depend on it.
struct Largest<'a> {
    bytes: u64,
    names: Vec<&'a str>,
}

impl<'a> Largest<'a> {
    fn of(waiting: &VecDeque<&'a Module>) -> Self {
        let mut largest = Self { bytes: 0, names: Vec::new() };
        for module in waiting {
            largest.visit(module);
        }
        largest
    }

    fn visit(&mut self, module: &'a Module) {
        if module.no_split || module.children.is_empty() {
            if module.bytes > self.bytes {
                self.bytes = module.bytes;
                self.names.clear();
            }
            if module.bytes == self.bytes {
                self.names.push(&module.name);
            }
        } else {
            for child in &module.children {
                self.visit(child);
            }
        }
    }

    fn passed(&mut self, module: &Module, waiting: &VecDeque<&'a Module>) {
        self.names.retain(|name| !is_at_or_below(name, &module.name));
        if self.names.is_empty() {
            *self = Self::of(waiting);
        }
    }
}

/// Whether dotted path `name` is `module` or inside it.
pub(super) fn is_at_or_below(name: &str, module: &str) -> bool {
    name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
