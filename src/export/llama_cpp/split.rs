//! Layers to devices by `-dev`, `-ngl` and `-ts`: what llama.cpp can be told and what not.
//!
//! llama.cpp counts the layers and, behind them, one more for the output. The first of them stay on the host,
//! the last `-ngl` go to the devices of `-dev` in that order, each getting one run: with whole numbers in `-ts`
//! that add up to `-ngl`, runs are exactly as long as they say, because unit `i` goes to the first device
//! whose share of the sum exceeds `i / ngl`. The cache of a layer is where `-ngl` and `-ts` put the
//! layer, whatever `-ot` says, so every layer's attention must be reached in this way.

use super::targets::Place;

/// What `-dev`, `-ngl` and `-ts` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// Devices with a run, in the order in which they get them, and how long each run is.
    pub(super) runs: Vec<(usize, u32)>,
    /// Layers on devices, the output counted as one.
    pub(super) gpu_layers: u32,
    /// Where the output counts, and with it final norm and head unless overridden.
    pub(super) output: Place,
}

/// Why layers cannot be told so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The first layer that cannot be where it is wanted.
    pub(super) layer: usize,
    /// Why.
    pub(super) why: Why,
}

/// Why a layer cannot be where it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is on the host behind a layer on a device.
    HostBehind,
    /// Its device has had a run before, which ended.
    SecondRun,
}

impl Split {
    /// Of layers wanted here, with so many layers behind them that files have and maps do not, and a head
    /// wanted there.
    pub(super) fn of(layers: &[Place], further: u32, head: Option<Place>) -> Result<Self, Broken> {
        let mut runs: Vec<(usize, u32)> = Vec::new();
        for (layer, &place) in layers.iter().enumerate() {
            let Place::Device(device) = place else {
                if !runs.is_empty() {
                    return Err(Broken { layer, why: Why::HostBehind });
                }
                continue;
            };
            let before = runs.iter().position(|&(earlier, _)| earlier == device);
            match before {
                None => runs.push((device, 1)),
                Some(run) if run + 1 == runs.len() => runs[run].1 += 1,
                Some(_) => return Err(Broken { layer, why: Why::SecondRun }),
            }
        }
        if let Some((_, length)) = runs.last_mut() {
            *length += further;
        }
        // The output ends the last run, or makes one for the head where it can; elsewhere it is overridden.
        let fresh = match head {
            Some(Place::Device(device)) if runs.iter().all(|&(other, _)| other != device) => {
                Some(device)
            }
            _ => None,
        };
        match (fresh, runs.last_mut()) {
            (Some(device), _) => runs.push((device, 1)),
            (None, Some((_, length))) => *length += 1,
            (None, None) => {}
        }
        let output = runs.last().map_or(Place::Host, |&(device, _)| Place::Device(device));
        let gpu_layers = runs.iter().map(|&(_, length)| length).sum();
        Ok(Self { runs, gpu_layers, output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: Place = Place::Host;

    fn d(device: usize) -> Place {
        Place::Device(device)
    }

    #[test]
    fn the_output_ends_the_last_run_or_makes_one() {
        let split = |layers: &[Place], head| Split::of(layers, 0, Some(head)).unwrap();
        assert_eq!(split(&[d(0), d(0), d(1)], d(1)).runs, [(0, 2), (1, 2)]);
        assert_eq!(split(&[d(1), d(0)], d(2)).runs, [(1, 1), (0, 1), (2, 1)]);
        let overridden = split(&[d(0), d(1)], d(0));
        assert_eq!((overridden.runs, overridden.output), (vec![(0, 1), (1, 2)], d(1)));
        let host = split(&[H, H, d(0)], H);
        assert_eq!((host.gpu_layers, host.output), (2, d(0)));
        let nothing = split(&[H, H], H);
        assert_eq!((nothing.gpu_layers, nothing.output, nothing.runs), (0, H, vec![]));
        assert_eq!(split(&[H, H], d(0)).gpu_layers, 1);
        assert_eq!(Split::of(&[d(0), d(1)], 1, Some(d(1))).unwrap().runs, [(0, 1), (1, 3)]);
    }

    #[test]
    fn what_has_no_order_is_refused_at_the_layer() {
        let broken = |layers: &[Place]| Split::of(layers, 0, None).unwrap_err();
        assert_eq!(broken(&[d(0), H]), Broken { layer: 1, why: Why::HostBehind });
        assert_eq!(broken(&[d(0), d(1), d(0)]), Broken { layer: 2, why: Why::SecondRun });
    }
}
