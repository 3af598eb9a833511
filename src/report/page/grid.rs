//! The map as a grid: a row per layer and per end of the chain; of many experts equal neighbours in one run.
//!
//! What is drawn as HTML, as SVG and told as JSON is this, so that they cannot differ.

use std::collections::BTreeMap;

use crate::memory::ComponentDemand;
use crate::model::{ComponentId, Matrix};
use crate::placement::Placement;
use crate::problem::Problem;

/// More runs than this are not drawn one by one: each layer's experts are then sorted by device.
pub(super) const RUNS_MAX: usize = 20_000;

/// Layers with more experts than this have runs; experts of others are drawn one by one.
pub(super) const SINGLE_MAX: usize = 24;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    /// Attention; in the rows of the ends, the embedding, the final norm or the head.
    Attention,
    Router,
    Mlp,
    SharedExpert,
    Matrix(Matrix),
    Expert(u32),
}

impl Column {
    fn of(id: ComponentId) -> Self {
        match id {
            ComponentId::Embedding
            | ComponentId::FinalNorm
            | ComponentId::OutputHead
            | ComponentId::Attention(_) => Self::Attention,
            ComponentId::Router(_) => Self::Router,
            ComponentId::Mlp(_) => Self::Mlp,
            ComponentId::SharedExpert(_) => Self::SharedExpert,
            ComponentId::ExpertMatrix(_, matrix) => Self::Matrix(matrix),
            ComponentId::Expert(_, expert) => Self::Expert(expert),
        }
    }

    /// The heading; experts have one together.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Attention => "attn",
            Self::Router => "router",
            Self::Mlp => "mlp",
            Self::SharedExpert => "shared",
            Self::Matrix(matrix) => matrix.name(),
            Self::Expert(_) => "experts",
        }
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Attention => "attention, embedding, norm and head",
            Self::Router => "router",
            Self::Mlp => "dense feed-forward part",
            Self::SharedExpert => "shared expert",
            Self::Matrix(_) => "this matrix of all experts",
            Self::Expert(_) => "routed experts",
        }
    }

    pub(super) fn is_expert(self) -> bool {
        matches!(self, Self::Expert(_))
    }
}

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Home {
    /// On the device of this index.
    On(usize),
    /// On every device.
    Everywhere,
}

/// Neighbours in a row with one home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Index of its first column.
    pub(super) first: usize,
    /// How many columns it takes.
    pub(super) columns: usize,
    pub(super) home: Home,
    /// `layers.3.experts.0-7`.
    pub(super) name: String,
    /// Weights as allocated, of each copy.
    pub(super) weights_bytes: u64,
    pub(super) kv_cache_bytes: u64,
}

/// A layer, or an end of the chain.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// `embedding`, or the number of the layer.
    pub(super) name: String,
    pub(super) layer: Option<u32>,
    pub(super) runs: Vec<Run>,
}

/// The whole map.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// Whether experts stand by device and not by number, because there would be too many runs.
    pub(super) is_sorted: bool,
}

struct Cell<'a> {
    column: Column,
    home: Home,
    demand: &'a ComponentDemand,
}

impl Grid {
    pub(super) fn of(problem: &Problem, placement: &Placement) -> Self {
        let placed = problem.components.iter().zip(&placement.device_of);
        let placed = placed.map(|(component, &device)| (&component.demand, Home::On(device)));
        let everywhere = problem.everywhere.iter().map(|demand| (demand, Home::Everywhere));
        let mut rows: BTreeMap<(u8, u32), Vec<Cell<'_>>> = BTreeMap::new();
        for (demand, home) in placed.chain(everywhere) {
            let column = Column::of(demand.id);
            rows.entry(order(demand.id)).or_default().push(Cell { column, home, demand });
        }
        let mut columns: Vec<Column> = rows.values().flatten().map(|cell| cell.column).collect();
        columns.sort_unstable();
        columns.dedup();
        let merges = columns.iter().filter(|column| column.is_expert()).count() > SINGLE_MAX;
        for cells in rows.values_mut() {
            cells.sort_by_key(|cell| cell.column);
        }
        let drawn = |rows: &BTreeMap<(u8, u32), Vec<Cell<'_>>>| -> Vec<Row> {
            rows.values().filter_map(|cells| row(cells, &columns, merges)).collect()
        };
        let mut all = drawn(&rows);
        let is_sorted = all.iter().map(|row| row.runs.len()).sum::<usize>() > RUNS_MAX;
        if is_sorted {
            for cells in rows.values_mut() {
                sort_experts(cells);
            }
            all = drawn(&rows);
        }
        Self { columns, rows: all, is_sorted }
    }

    /// How many columns hold routed experts.
    pub(super) fn experts(&self) -> usize {
        self.columns.iter().filter(|column| column.is_expert()).count()
    }
}

/// Embedding, layers, final norm, head.
fn order(id: ComponentId) -> (u8, u32) {
    match id {
        ComponentId::Embedding => (0, 0),
        ComponentId::FinalNorm => (2, 0),
        ComponentId::OutputHead => (3, 0),
        other => (1, other.layer().unwrap_or(0)),
    }
}

/// Each device's experts of a row side by side, in the columns that they have together.
fn sort_experts(cells: &mut [Cell<'_>]) {
    let at = cells.partition_point(|cell| !cell.column.is_expert());
    let experts = &mut cells[at..];
    let columns: Vec<Column> = experts.iter().map(|cell| cell.column).collect();
    experts.sort_by_key(|cell| cell.home);
    for (cell, column) in experts.iter_mut().zip(columns) {
        cell.column = column;
    }
}

fn row(cells: &[Cell<'_>], columns: &[Column], merges: bool) -> Option<Row> {
    let id = cells.first()?.demand.id;
    let place = |column: Column| columns.binary_search(&column).unwrap_or(0);
    let joins = |a: &Cell<'_>, b: &Cell<'_>| {
        let experts = a.column.is_expert() && b.column.is_expert();
        merges && experts && a.home == b.home && place(a.column) + 1 == place(b.column)
    };
    let runs = cells.chunk_by(joins).map(|run| Run {
        first: place(run[0].column),
        columns: run.len(),
        home: run[0].home,
        name: name(run),
        weights_bytes: sum(run, |demand| {
            demand.weights_bytes.saturating_add(demand.rounding_bytes)
        }),
        kv_cache_bytes: sum(run, |demand| demand.kv_cache_bytes),
    });
    let layer = id.layer();
    let name = layer.map_or_else(|| id.to_string(), |layer| layer.to_string());
    Some(Row { name, layer, runs: runs.collect() })
}

fn sum(run: &[Cell<'_>], bytes: impl Fn(&ComponentDemand) -> u64) -> u64 {
    run.iter().fold(0, |sum, cell| sum.saturating_add(bytes(cell.demand)))
}

/// `layers.3.experts.0-7`; where experts are sorted their numbers need not follow each other.
fn name(run: &[Cell<'_>]) -> String {
    let (first, last) = (run[0].demand.id, run[run.len() - 1].demand.id);
    let (Some(from), Some(to), Some(layer)) = (first.expert(), last.expert(), first.layer()) else {
        return first.to_string();
    };
    let following = run
        .windows(2)
        .all(|two| two[0].demand.id.expert().map(|expert| expert + 1) == two[1].demand.id.expert());
    match (from == to, following) {
        (true, _) => first.to_string(),
        (false, true) => format!("layers.{layer}.experts.{from}-{to}"),
        (false, false) => format!("{} experts of layers.{layer}", run.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(id: ComponentId, home: usize, demands: &mut Vec<ComponentDemand>) -> (usize, Home) {
        demands.push(ComponentDemand {
            id,
            weights_bytes: 10,
            rounding_bytes: 1,
            kv_cache_bytes: 0,
            staging_bytes: 0,
        });
        (demands.len() - 1, Home::On(home))
    }

    #[test]
    fn equal_neighbours_are_one_run_and_kinds_stay_apart() {
        let mut demands = Vec::new();
        let mut homes = vec![cell(ComponentId::Attention(3), 0, &mut demands)];
        homes.extend([0, 0, 1, 0].iter().enumerate().map(|(expert, &home)| {
            let id = ComponentId::Expert(3, u32::try_from(expert).unwrap());
            cell(id, home, &mut demands)
        }));
        let mut cells: Vec<Cell<'_>> = homes
            .iter()
            .map(|&(at, home)| Cell {
                column: Column::of(demands[at].id),
                home,
                demand: &demands[at],
            })
            .collect();
        let columns: Vec<Column> = cells.iter().map(|cell| cell.column).collect();
        let found = |cells: &[Cell<'_>]| -> Vec<(usize, usize, String, u64)> {
            let row = row(cells, &columns, true).unwrap();
            assert_eq!(row.name, "3");
            let run = |run: Run| (run.first, run.columns, run.name, run.weights_bytes);
            row.runs.into_iter().map(run).collect()
        };
        let name = str::to_owned;
        assert_eq!(
            found(&cells),
            [
                (0, 1, name("layers.3.attention"), 11),
                (1, 2, name("layers.3.experts.0-1"), 22),
                (3, 1, name("layers.3.experts.2"), 11),
                (4, 1, name("layers.3.experts.3"), 11),
            ]
        );
        sort_experts(&mut cells);
        assert_eq!(
            found(&cells)[1..],
            [(1, 3, name("3 experts of layers.3"), 33), (4, 1, name("layers.3.experts.2"), 11),]
        );
    }
}
