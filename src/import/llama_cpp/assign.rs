//! Where llama.cpp puts layers and tensors: its own rules, step by step.
//!
//! - src/llama-model.cpp, `load_tensors`: shares of `-ts` (of free memory without any) are summed up in 32-bit floats
//!   and divided by their sum; layer `i` of those on devices, of `n`, goes to the first device whose sum exceeds
//!   `i / n`. The first layers stay on the host, the output counts as the last, the embedding stays on the host.
//! - src/llama-model-loader.cpp, `create_tensor`: of the patterns of `-ot` the first that is found in a tensor's name
//!   decides, whatever its layer's device.

use regex::bytes::Regex;

use crate::export::llama_cpp::Place;

/// What decides where layers are.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    /// Layers, those of multi-token prediction included.
    pub(super) count: u32,
    /// `-ngl`; `None` for all.
    pub(super) on_gpus: Option<u32>,
    /// Devices of this machine, in the order of llama.cpp.
    pub(super) devices: Vec<usize>,
    /// The share of each, all zero for none: then of free memory.
    pub(super) shares: Vec<f32>,
    /// Free bytes of each.
    pub(super) free_bytes: Vec<u64>,
}

impl Layers {
    /// The place of every layer, and of the output behind them.
    pub(super) fn places(&self) -> Vec<Place> {
        let units = self.count.saturating_add(1);
        let asked = self.on_gpus.unwrap_or(units);
        let start = units.saturating_sub(asked);
        let on_devices = if self.devices.is_empty() { 0 } else { asked.min(units) };
        let sums = self.sums();
        let place = |unit: u32| match unit.checked_sub(start) {
            Some(of_those) if of_those < on_devices => {
                let share = float(u64::from(of_those)) / float(u64::from(on_devices));
                let first = sums.iter().position(|&sum| sum > share);
                first.map_or(Place::Host, |first| Place::Device(self.devices[first]))
            }
            _ => Place::Host,
        };
        (0..units).map(place).collect()
    }

    /// Sums of shares up to each device, divided by the sum of all.
    fn sums(&self) -> Vec<f32> {
        let count = self.devices.len();
        let mut shares: Vec<f32> = self.shares.iter().copied().take(count).collect();
        shares.resize(count, 0.0);
        if shares.iter().all(|share| *share <= 0.0) {
            shares = self.free_bytes.iter().map(|&bytes| float(bytes)).collect();
        }
        let mut sum = 0.0;
        let sums: Vec<f32> = shares
            .iter()
            .map(|share| {
                sum += share;
                sum
            })
            .collect();
        sums.into_iter().map(|one| one / sum).collect()
    }
}

/// The nearest 32-bit float, as C converts.
fn float(number: u64) -> f32 {
    // Reading a number rounds as converting does, and no cast can cut anything.
    number.to_string().parse().unwrap_or(f32::MAX)
}

/// The place of a tensor that belongs to this place unless a pattern says otherwise.
pub(super) fn tensor(name: &str, belongs: Place, overrides: &[(Regex, Place)]) -> Place {
    let found = overrides.iter().find(|(pattern, _)| pattern.is_match(name.as_bytes()));
    found.map_or(belongs, |&(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(count: u32, on_gpus: Option<u32>, shares: &[f32], free: &[u64]) -> Vec<usize> {
        let layers = Layers {
            count,
            on_gpus,
            devices: (0..free.len()).collect(),
            shares: shares.to_vec(),
            free_bytes: free.to_vec(),
        };
        let mut held = vec![0; free.len() + 1];
        for place in layers.places() {
            match place {
                Place::Host => held[free.len()] += 1,
                Place::Device(device) => held[device] += 1,
            }
        }
        held
    }

    /// What llama.cpp's loader said of Mixtral (32 layers and the output) for these flags and free MiB.
    #[test]
    fn counts_are_those_that_llama_cpp_reports() {
        let free = [24576 << 20, 12288 << 20, 8192 << 20];
        assert_eq!(layers(32, Some(99), &[], &free), [18, 9, 6, 0]);
        assert_eq!(layers(32, Some(99), &[1.0; 3], &free), [11, 11, 11, 0]);
        assert_eq!(layers(32, Some(99), &[17.0, 8.0, 8.0], &free), [17, 8, 8, 0]);
        assert_eq!(layers(32, Some(16), &[], &free), [9, 5, 2, 17]);
        assert_eq!(layers(32, None, &[9.0, 3.0, 21.0], &free), [9, 3, 21, 0]);
        assert_eq!(layers(32, Some(0), &[], &free), [0, 0, 0, 33]);
        assert_eq!(layers(32, Some(5), &[], &[]), [33]);
    }

    /// Whole numbers that add up come out exactly, a device with none gets none.
    #[test]
    fn whole_shares_are_exact() {
        for count in 1..120_u32 {
            for first in 0..=count {
                let shares = [float(u64::from(first)), 0.0, float(u64::from(count + 1 - first))];
                let held = layers(count, Some(count + 1), &shares, &[1; 3]);
                let first = usize::try_from(first).unwrap();
                let all = usize::try_from(count).unwrap() + 1;
                assert_eq!(held, [first, 0, all - first, 0], "{count} {first}");
            }
        }
    }
}
