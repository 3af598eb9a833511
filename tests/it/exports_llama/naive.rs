//! What llama.cpp does with its flags, written down a second time and as plainly as it can be: one loop per rule, no
//! types of the program.

use regex::Regex;

/// Layers to devices and tensors to devices; the host is one behind the last device.
pub struct Assigned {
    /// Per layer, the output last.
    pub layers: Vec<usize>,
    /// Per tensor.
    pub tensors: Vec<usize>,
}

/// `names` are those of `-dev`, and `buffers` those of `-ot`, of all devices there are.
pub fn assign(
    words: &[String],
    layers: usize,
    tensors: &[&str],
    names: &[String],
    buffers: &[String],
    free: &[u64],
) -> Assigned {
    let host = names.len();
    let mut order: Vec<usize> = (0..host).collect();
    let mut gpu_layers = layers + 1;
    let mut shares: Vec<f32> = Vec::new();
    let mut overrides: Vec<(Regex, usize)> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let value = words.get(at + 1).cloned().unwrap_or_default();
        match words[at].as_str() {
            "-dev" if value == "none" => order.clear(),
            "-dev" => {
                let index = |name: &str| names.iter().position(|other| other == name).unwrap();
                order = value.split(',').map(index).collect();
            }
            // Minus one for all of them.
            "-ngl" => gpu_layers = value.parse().unwrap_or(layers + 1),
            "-ts" => shares = value.split(',').map(|share| share.parse().unwrap()).collect(),
            "-ot" => {
                for one in value.split(',') {
                    let (pattern, buffer) = one.split_once('=').unwrap();
                    let device = buffers.iter().position(|other| other == buffer);
                    assert!(device.is_some() || buffer == "CPU", "{buffer}");
                    overrides.push((Regex::new(pattern).unwrap(), device.unwrap_or(host)));
                }
            }
            "-ncmoe" => {
                for layer in 0..value.parse().unwrap() {
                    let pattern = format!(r"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps");
                    overrides.push((Regex::new(&pattern).unwrap(), host));
                }
            }
            _ => {}
        }
        at += 1;
    }
    if shares.is_empty() {
        shares = order.iter().map(|&device| free[device].to_string().parse().unwrap()).collect();
    }
    shares.resize(order.len(), 0.0);
    let of_layers = homes(layers, gpu_layers, &order, &shares, host);
    let place = |name: &&str| {
        for (pattern, device) in &overrides {
            if pattern.is_match(name) {
                return *device;
            }
        }
        if *name == "token_embd.weight" {
            return host;
        }
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
        layer.map_or(of_layers[layers], |layer| of_layers[layer.parse::<usize>().unwrap()])
    };
    Assigned { tensors: tensors.iter().map(place).collect(), layers: of_layers }
}

fn homes(
    layers: usize,
    gpu_layers: usize,
    order: &[usize],
    shares: &[f32],
    host: usize,
) -> Vec<usize> {
    let small = |number: usize| f32::from(u16::try_from(number).unwrap());
    let mut homes = Vec::new();
    let on_devices = gpu_layers.min(layers + 1);
    for unit in 0..=layers {
        let before = layers + 1 - on_devices;
        if unit < before || order.is_empty() {
            homes.push(host);
            continue;
        }
        let total: f32 = shares.iter().sum();
        let mut sum = 0.0;
        let mut home = host;
        for (&device, share) in order.iter().zip(shares) {
            sum += share;
            if sum / total > small(unit - before) / small(on_devices) {
                home = device;
                break;
            }
        }
        homes.push(home);
    }
    homes
}
