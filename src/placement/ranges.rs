//! The map in few lines: names with ranges, written and read.
//!
//! The grammar is part of the format and stands in [`super`].
//!
//! A file is hostile until proven otherwise: how many components a line names is computed before any of
//! them is listed, and more than the model has are refused.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::model::{ComponentId, ComponentKind, Matrix};

/// One line of a map: a name with ranges, and the device all of it lives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// E.g. `layers.1-15.experts.0-3`.
    pub name: String,
    /// A device index when writing; whatever the file names when reading.
    pub device: usize,
}

/// Ascending ranges of numbers, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbers(Vec<(u32, u32)>);

impl Numbers {
    fn of(ascending: impl IntoIterator<Item = u32>) -> Self {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for number in ascending {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        Self(ranges)
    }

    /// `None` unless it is the grammar's `numbers`, ascending and without leading zeros.
    fn parse(text: &str) -> Option<Self> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (parse_number(first)?, parse_number(last)?);
            let ascends = ranges.last().is_none_or(|&(_, before)| before < first);
            if first > last || !ascends {
                return None;
            }
            ranges.push((first, last));
        }
        Some(Self(ranges))
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|&(first, last)| u64::from(last - first) + 1).sum()
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }
}

impl std::fmt::Display for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, &(first, last)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

fn parse_number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// Writes a map as lines, in canonical order: by kind as a token meets them, then by layer.
///
/// `homes` holds each component's device, in canonical order. Consecutive layers whose components of
/// one kind are divided alike share their lines.
pub fn lines(homes: &[(ComponentId, usize)]) -> Vec<Line> {
    let mut by_kind: BTreeMap<Kind, Vec<(ComponentId, usize)>> = BTreeMap::new();
    for &home in homes {
        by_kind.entry((home.0.kind(), home.0.matrix())).or_default().push(home);
    }
    by_kind.into_iter().flat_map(|(kind, homes)| lines_of_kind(kind, &homes)).collect()
}

/// A kind; the matrices of experts apart.
type Kind = (ComponentKind, Option<Matrix>);

fn lines_of_kind(kind: Kind, homes: &[(ComponentId, usize)]) -> Vec<Line> {
    let mut layers: BTreeMap<u32, BTreeMap<usize, Vec<u32>>> = BTreeMap::new();
    let mut lines = Vec::new();
    for &(id, device) in homes {
        match id.layer() {
            None => lines.push(Line { name: id.to_string(), device }),
            Some(layer) => {
                let experts = layers.entry(layer).or_default().entry(device).or_default();
                experts.extend(id.expert());
            }
        }
    }
    let mut runs: Vec<(u32, u32, BTreeMap<usize, Vec<u32>>)> = Vec::new();
    for (layer, division) in layers {
        match runs.last_mut() {
            Some((_, last, same)) if *last + 1 == layer && *same == division => *last = layer,
            _ => runs.push((layer, layer, division)),
        }
    }
    for (first, last, division) in runs {
        lines.extend(lines_of_run(kind, &Numbers(vec![(first, last)]), division));
    }
    lines
}

fn lines_of_run(kind: Kind, layers: &Numbers, division: BTreeMap<usize, Vec<u32>>) -> Vec<Line> {
    let mut lines: Vec<(Vec<u32>, Line)> = Vec::new();
    for (device, experts) in division {
        let name = match kind {
            (ComponentKind::Expert, _) => {
                format!("layers.{layers}.experts.{}", Numbers::of(experts.iter().copied()))
            }
            (_, Some(matrix)) => format!("layers.{layers}.experts.{}", matrix.name()),
            (kind, None) => format!("layers.{layers}.{}", kind.name()),
        };
        lines.push((experts, Line { name, device }));
    }
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Reads lines back: the device of each of `components` (in canonical order), by index.
///
/// A component that is unknown, named twice or forgotten is an error that names it and the line.
pub fn expand(lines: &[Line], components: &[ComponentId]) -> Result<Vec<usize>, Error> {
    let mut device_of: Vec<Option<(usize, usize)>> = vec![None; components.len()];
    for (position, line) in lines.iter().enumerate() {
        let refuse = || Error::new("read the map").place(format!("`{}`", line.name));
        let selection = Selection::parse(&line.name).ok_or_else(|| {
            refuse().expected(
                "a name such as `embedding`, `layers.0-15.attention` or `layers.3.experts.0-7`",
            )
        })?;
        if selection.count() > u64::try_from(components.len()).unwrap_or(u64::MAX) {
            return Err(refuse().found("it names more components than the model has"));
        }
        for id in selection.ids() {
            let index = components
                .binary_search(&id)
                .map_err(|_| refuse().found(format!("the model has no `{id}`")))?;
            if let Some((_, earlier)) = device_of[index] {
                let both = format!("`{id}` is named twice, first by `{}`", lines[earlier].name);
                return Err(refuse().found(both));
            }
            device_of[index] = Some((line.device, position));
        }
    }
    let forgotten = device_of.iter().position(Option::is_none);
    if let Some(index) = forgotten {
        let found = format!("`{}` is not named", components[index]);
        return Err(Error::new("read the map")
            .expected("every component of the model once")
            .found(found));
    }
    Ok(device_of.into_iter().flatten().map(|(device, _)| device).collect())
}

/// What the name of a line names, where that is no more than `most` components; `None` of what is no such name.
pub(crate) fn named_by(name: &str, most: u64) -> Option<Vec<ComponentId>> {
    let selection = Selection::parse(name).filter(|selection| selection.count() <= most)?;
    Some(selection.ids().collect())
}

/// What a line names.
enum Selection {
    One(ComponentId),
    Layers(Numbers, fn(u32) -> ComponentId),
    Experts(Numbers, Numbers),
    Matrices(Numbers, Matrix),
}

impl Selection {
    fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        let layers = |text, make| Some(Self::Layers(Numbers::parse(text)?, make));
        match parts.as_slice() {
            ["embedding"] => Some(Self::One(ComponentId::Embedding)),
            ["final_norm"] => Some(Self::One(ComponentId::FinalNorm)),
            ["output_head"] => Some(Self::One(ComponentId::OutputHead)),
            ["layers", l, "attention"] => layers(l, ComponentId::Attention),
            ["layers", l, "router"] => layers(l, ComponentId::Router),
            ["layers", l, "mlp"] => layers(l, ComponentId::Mlp),
            ["layers", l, "shared_expert"] => layers(l, ComponentId::SharedExpert),
            ["layers", l, "experts", part] => {
                let layers = Numbers::parse(l)?;
                Some(match Matrix::named(part) {
                    Some(matrix) => Self::Matrices(layers, matrix),
                    None => Self::Experts(layers, Numbers::parse(part)?),
                })
            }
            _ => None,
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Layers(layers, _) | Self::Matrices(layers, _) => layers.count(),
            Self::Experts(layers, experts) => layers.count().saturating_mul(experts.count()),
        }
    }

    fn ids(&self) -> Box<dyn Iterator<Item = ComponentId> + '_> {
        match self {
            Self::One(id) => Box::new(std::iter::once(*id)),
            Self::Layers(layers, make) => Box::new(layers.iter().map(make)),
            Self::Matrices(layers, matrix) => {
                Box::new(layers.iter().map(|layer| ComponentId::ExpertMatrix(layer, *matrix)))
            }
            Self::Experts(layers, experts) => Box::new(
                layers
                    .iter()
                    .flat_map(move |l| experts.iter().map(move |e| ComponentId::Expert(l, e))),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn components(layers: u32, experts: u32) -> Vec<ComponentId> {
        let mut ids = vec![ComponentId::Embedding, ComponentId::FinalNorm, ComponentId::OutputHead];
        for layer in 0..layers {
            ids.extend([ComponentId::Attention(layer), ComponentId::Router(layer)]);
            ids.extend((0..experts).map(|expert| ComponentId::Expert(layer, expert)));
        }
        ids.sort();
        ids
    }

    fn line(name: &str) -> Line {
        Line { name: name.to_owned(), device: 0 }
    }

    #[test]
    fn equal_neighbours_share_a_line() {
        let home = |&id: &ComponentId| (id, usize::from(id.layer() >= Some(2)));
        let homes: Vec<_> = components(4, 8).iter().map(home).collect();
        let names: Vec<_> = lines(&homes).into_iter().map(|l| (l.name, l.device)).collect();
        let expected = [
            ("embedding", 0),
            ("layers.0-1.attention", 0),
            ("layers.2-3.attention", 1),
            ("layers.0-1.router", 0),
            ("layers.2-3.router", 1),
            ("layers.0-1.experts.0-7", 0),
            ("layers.2-3.experts.0-7", 1),
            ("final_norm", 0),
            ("output_head", 0),
        ];
        assert_eq!(names, expected.map(|(name, device)| (name.to_owned(), device)));
    }

    #[test]
    fn matrices_of_experts_are_apart() {
        let matrices = [Matrix::Up, Matrix::Gate, Matrix::Down];
        let ids = (0..3).flat_map(|layer| matrices.map(|m| ComponentId::ExpertMatrix(layer, m)));
        let homes: Vec<_> =
            ids.map(|id| (id, usize::from(id.matrix() == Some(Matrix::Down)))).collect();
        let written = lines(&homes);
        let names: Vec<_> = written.iter().map(|line| (line.name.as_str(), line.device)).collect();
        let expected = [
            ("layers.0-2.experts.up", 0),
            ("layers.0-2.experts.gate", 0),
            ("layers.0-2.experts.down", 1),
        ];
        assert_eq!(names, expected);
        let (ids, devices): (Vec<_>, Vec<_>) = homes.into_iter().unzip();
        assert_eq!(expand(&written, &ids).unwrap(), devices);
    }

    #[test]
    fn any_map_reads_back() {
        let components = components(7, 5);
        for seed in 0..200_usize {
            // A linear congruence is enough disorder and needs no dependency.
            let devices: Vec<usize> = (0..components.len())
                .map(|i| (i * 7919 + seed * 104_729 + i * i * seed) / 7 % (1 + seed % 4))
                .collect();
            let homes: Vec<_> = components.iter().copied().zip(devices.iter().copied()).collect();
            assert_eq!(expand(&lines(&homes), &components).unwrap(), devices, "seed {seed}");
        }
    }

    #[test]
    fn twice_forgotten_and_unknown_are_named() {
        let ids = [ComponentId::Attention(0), ComponentId::Attention(1)];
        let message = |names: &[&str]| {
            let lines: Vec<_> = names.iter().map(|name| line(name)).collect();
            expand(&lines, &ids).unwrap_err().to_string()
        };
        assert!(message(&["layers.0-1.attention", "layers.1.attention"]).contains("named twice"));
        assert!(message(&["layers.0.attention"]).contains("`layers.1.attention` is not named"));
        assert!(message(&["layers.1-2.attention"]).contains("no `layers.2.attention`"));
    }

    #[test]
    fn hostile_ranges_are_refused_before_they_are_expanded() {
        let ids = components(2, 2);
        for name in [
            "layers.0-4294967295.experts.0-4294967295",
            "layers.1-0.attention",
            "layers.0,0.attention",
            "layers.00.attention",
            "layers.+0.attention",
            "layers.0-.attention",
            "layers.99999999999.attention",
            "layers..attention",
            "",
        ] {
            assert!(expand(&[line(name)], &ids).is_err(), "{name}");
        }
    }
}
