//! The colours of devices, for light and dark pages, and what a device is told by without them.
//!
//! Eight hues that stay apart for readers who see two primary colours (a test computes it), each with at least
//! 3:1 against the page and letters of at least 4.5:1 on it. Beyond eight devices the hues come again under
//! another pattern. Letters say the same without any of it; host memory is grey and always `C`.

use std::fmt::Write;

use crate::hardware::{Device, DeviceKind};

/// A colour and whether letters on it are dark.
pub(super) struct Hue(pub(super) &'static str, pub(super) bool);

pub(super) const LIGHT: [Hue; 8] = [
    Hue("#1f5fbf", false),
    Hue("#d9540b", true),
    Hue("#3f9186", true),
    Hue("#8a2e6a", false),
    Hue("#5a5208", false),
    Hue("#3b1a78", false),
    Hue("#2294ea", true),
    Hue("#6d0f2b", false),
];
pub(super) const DARK: [Hue; 8] = [
    Hue("#80c0ff", true),
    Hue("#e5a83b", true),
    Hue("#4a9168", true),
    Hue("#c873c9", true),
    Hue("#f5ec5a", true),
    Hue("#f0523d", true),
    Hue("#a4efe0", true),
    Hue("#4f8ff7", true),
];
/// Of host memory.
pub(super) const HOST: [Hue; 2] = [Hue("#6a737d", false), Hue("#8b949e", true)];
/// What letters on a hue are written in.
pub(super) const BRIGHT: &str = "#ffffff";
pub(super) const DIM: &str = "#0d1117";

/// Patterns over hues: those of the first eight devices have none.
const PATTERNS: [&str; 8] = [
    "none",
    "repeating-linear-gradient(45deg,var(--veil) 0 1px,transparent 1px 4px)",
    "repeating-linear-gradient(-45deg,var(--veil) 0 1px,transparent 1px 4px)",
    "repeating-linear-gradient(0deg,var(--veil) 0 1px,transparent 1px 4px)",
    "repeating-linear-gradient(90deg,var(--veil) 0 1px,transparent 1px 4px)",
    "repeating-linear-gradient(45deg,var(--veil) 0 2px,transparent 2px 7px)",
    "repeating-linear-gradient(-45deg,var(--veil) 0 2px,transparent 2px 7px)",
    "repeating-linear-gradient(0deg,var(--veil) 0 2px,transparent 2px 7px)",
];

/// How each device is drawn: the number of its hue and that of its pattern; no hue for host memory.
pub(super) fn looks(devices: &[Device]) -> Vec<Option<(usize, usize)>> {
    let mut gpus = 0;
    let look = |device: &Device| {
        (device.kind == DeviceKind::Gpu).then(|| {
            let look = (gpus % LIGHT.len(), gpus / LIGHT.len());
            gpus += 1;
            look
        })
    };
    devices.iter().map(look).collect()
}

fn hue(look: Option<(usize, usize)>, hues: &'static [Hue; 8], host: &'static Hue) -> &'static Hue {
    look.and_then(|(hue, _)| hues.get(hue)).unwrap_or(host)
}

/// The colour around a letter.
fn halo(colour: &str) -> String {
    let around = [
        "1px 0",
        "-1px 0",
        "0 1px",
        "0 -1px",
        "1px 1px",
        "-1px -1px",
        "1px -1px",
        "-1px 1px",
        "0 0 2px",
    ];
    around.map(|at| format!("{at} {colour}")).join(",")
}

/// Rules that give class `dN` the colour of device N: as a background, as a fill, and for letters on it.
pub(super) fn rules(devices: &[Device]) -> String {
    let (mut light, mut dark, mut patterns) = (String::new(), String::new(), String::new());
    let looks = looks(devices);
    for (index, &look) in looks.iter().enumerate() {
        for (out, hue) in
            [(&mut light, hue(look, &LIGHT, &HOST[0])), (&mut dark, hue(look, &DARK, &HOST[1]))]
        {
            let ink = if hue.1 { DIM } else { BRIGHT };
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                ".d{index}{{background-color:{0};fill:{0};color:{ink}}}.k{index}{{fill:{ink}}}",
                hue.0
            );
            // A letter keeps the pattern at a distance.
            if look.is_some_and(|(_, pattern)| pattern > 0) {
                let _ = write!(out, ".d{index}{{text-shadow:{}}}", halo(hue.0));
            }
            out.push('\n');
        }
        if let Some(pattern) =
            look.and_then(|(_, pattern)| PATTERNS.get(pattern)).filter(|p| **p != "none")
        {
            let _ = writeln!(patterns, ".d{index}{{background-image:{pattern}}}");
        }
    }
    format!("{light}{patterns}@media (prefers-color-scheme: dark){{\n{dark}}}\n")
}

/// The same for cells too narrow for a letter: a mark at a height of the device's own.
pub(super) fn marks(devices: &[Device]) -> String {
    let rows = devices.len().clamp(2, 8);
    let mark = |index: usize| {
        let at = (index % rows) * 100 / (rows - 1);
        format!(
            ".n.d{index}{{background-image:linear-gradient(currentColor,currentColor);\
             background-size:100% 2px;background-repeat:no-repeat;background-position:0 {at}%}}\n"
        )
    };
    (0..devices.len()).map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::style::PAPERS;

    fn linear(colour: &str) -> [f64; 3] {
        let channel = |at: usize| {
            let byte = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let c = f64::from(byte) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        [channel(1), channel(3), channel(5)]
    }

    /// WCAG 2: (lighter + 0.05) / (darker + 0.05).
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |colour: &str| {
            let [r, g, b] = linear(colour);
            0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
        };
        let (a, b) = (luminance(a), luminance(b));
        a.max(b) / a.min(b)
    }

    #[test]
    fn hues_stand_out_from_the_page_and_letters_from_hues() {
        for (hues, host, papers) in [(&LIGHT, &HOST[0], PAPERS[0]), (&DARK, &HOST[1], PAPERS[1])] {
            for Hue(colour, dim) in hues.iter().chain([host]) {
                for paper in papers {
                    assert!(contrast(colour, paper) >= 3.0, "{colour} on {paper}");
                }
                let ink = if *dim { DIM } else { BRIGHT };
                let found = contrast(colour, ink);
                assert!(found >= 4.5, "{ink} on {colour}: {found}");
            }
        }
    }

    #[test]
    fn words_stand_out_from_the_page() {
        use crate::report::page::style::{INKS, LINES};
        for (scheme, papers) in PAPERS.iter().enumerate() {
            for paper in papers {
                for ink in INKS[scheme] {
                    assert!(contrast(ink, paper) >= 4.5, "{ink} on {paper}");
                }
                for line in LINES[scheme] {
                    assert!(contrast(line, paper) >= 3.0, "{line} on {paper}");
                }
            }
        }
    }

    /// What is seen without one of the three kinds of cones (Machado, Oliveira and Fernandes 2009, severity 1).
    const EYES: [[[f64; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ];

    fn times(matrix: [[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }

    /// Coordinates in which equal distances look about equal (Ottosson's OKLab).
    fn oklab(linear: [f64; 3]) -> [f64; 3] {
        let lms = times(
            [
                [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
                [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
                [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
            ],
            linear.map(|c| c.clamp(0.0, 1.0)),
        );
        times(
            [
                [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
                [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
                [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
            ],
            lms.map(f64::cbrt),
        )
    }

    #[test]
    fn hues_stay_apart_for_every_kind_of_eyes() {
        let distance = |eyes, a: &Hue, b: &Hue| {
            let [a, b] = [a, b].map(|hue| oklab(times(eyes, linear(hue.0))));
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        for (hues, host) in [(&LIGHT, &HOST[0]), (&DARK, &HOST[1])] {
            for (index, hue) in hues.iter().enumerate() {
                for eyes in EYES {
                    for (other, before) in hues[..index].iter().enumerate() {
                        let least = if index < 4 { 0.08 } else { 0.06 };
                        let found = distance(eyes, hue, before);
                        assert!(
                            found >= least,
                            "{} and {}: {found} ({other}, {index})",
                            hue.0,
                            before.0
                        );
                    }
                }
                assert!(distance(EYES[0], hue, host) >= 0.06, "{} and host memory", hue.0);
            }
        }
    }

    #[test]
    fn sixty_four_devices_all_look_different() {
        let device = |index: usize| Device {
            id: index.to_string(),
            kind: if index < 63 { DeviceKind::Gpu } else { DeviceKind::Cpu },
            capacity_bytes: 1,
            reserve_bytes: 0,
        };
        let devices: Vec<_> = (0..64).map(device).collect();
        let mut looks = looks(&devices);
        assert_eq!(looks[63], None);
        assert!(
            looks[..63]
                .iter()
                .all(|look| look.is_some_and(|(_, pattern)| pattern < PATTERNS.len()))
        );
        looks.sort_unstable();
        looks.dedup();
        assert_eq!(looks.len(), 64);
        assert_eq!(rules(&devices).matches("background-image").count(), 63 - 8);
    }
}
