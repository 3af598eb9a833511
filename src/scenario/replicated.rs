//! Replicated attention: what is on every device, what is divided, and what that leaves to ask.

use std::sync::Arc;

use super::{Granularity, Scenario, limits, rules};
use crate::error::Error;
use crate::memory::Demand;
use crate::model::{ComponentId, ComponentKind, Geometry};
use crate::objective::law;
use crate::problem::{Affinity, Component, DeviceSet, Objective, ObjectiveKind, Problem, Sends};
use crate::routing::Statistics;
use crate::units::Ratio;

/// Crossings where pairs were counted, then the peak.
pub fn default_objectives_replicated(counted: bool) -> Vec<Objective> {
    let exact = |kind| Objective { kind, tolerance: Ratio::ZERO };
    let crossings = counted.then(|| exact(ObjectiveKind::Crossings));
    let peak = ObjectiveKind::PeakUtilization;
    let peak = Objective { kind: peak, tolerance: law(peak).default_tolerance() };
    crossings.into_iter().chain([peak]).collect()
}

/// `crossings` are asked for where attention has one home.
pub(super) fn refuse_crossings(objectives: &[Objective]) -> Result<(), Error> {
    if objectives.iter().all(|o| o.kind != ObjectiveKind::Crossings) {
        return Ok(());
    }
    Err(Error::new("minimise crossings")
        .expected("attention on every device")
        .found("attention with one home, to which activations return after every layer")
        .hint("`--attention replicated`, or the objective `traffic`"))
}

impl Scenario {
    /// States the problem of dividing the experts.
    pub(super) fn replicated(&self, demand: &Demand) -> Result<Problem, Error> {
        self.check_replicated()?;
        let everywhere = DeviceSet::first(self.hardware.devices.len());
        let on_host = demand.embedding_on_host;
        let placed = |id: ComponentId| id.kind() == ComponentKind::Expert;
        let components = demand.components.iter().filter(|d| placed(d.id)).map(|d| Component {
            demand: d.clone(),
            allowed: everywhere,
            lives_with: d.id,
            visits: 0,
        });
        let mut components: Vec<Component> = components.collect();
        let rules = rules::apply(self, &mut components)?;
        let affinity = self.limits.affinity.clone();
        let problem = Problem {
            components,
            devices: self.devices(&demand.per_device),
            workspace: demand.workspace,
            host_staging_bytes: demand.host_staging_bytes,
            tied_head: demand.tied_head,
            traffic_denominator: affinity.as_ref().map_or(1, |affinity| affinity.denominator()),
            rules,
            objectives: self.objectives.clone(),
            headroom_bytes: limits::headroom_bytes(&self.limits.headrooms, &self.hardware)?,
            devices_max: self.limits.devices_max,
            moved_bytes_max: None,
            sends: Sends::PerExpert,
            current: None,
            decode: None,
            prefill: None,
            everywhere: demand
                .components
                .iter()
                .filter(|d| !placed(d.id))
                .filter(|d| !on_host || d.id != ComponentId::Embedding)
                .cloned()
                .collect(),
            affinity,
        };
        self.check_pairs(&problem)?;
        Ok(problem)
    }

    /// What was asked for and has no meaning where attention is replicated.
    fn check_replicated(&self) -> Result<(), Error> {
        let refuse = || Error::new("replicate the attention");
        if self.model.geometry.experts == 0 {
            return Err(refuse()
                .object(&self.model.name)
                .expected("a model with routed experts to divide")
                .found("none"));
        }
        if self.hardware.has_cpu() {
            return Err(refuse()
                .expected("GPUs only")
                .found("a CPU in the machine")
                .hint("leave it out: serving engines divide experts among GPUs"));
        }
        let devices = self.hardware.devices.len();
        if let Some(most) = self.limits.devices_max.filter(|&most| most < devices) {
            return Err(refuse()
                .expected(format!("all {devices} devices, each of which holds the attention"))
                .found(format!("at most {most}"))
                .hint("leave devices out of the machine instead of --max-devices"));
        }
        let single = [
            ("--sends", self.limits.sends.is_some()),
            ("--migrate-from", self.limits.current.is_some()),
            ("a limit on what moves", self.limits.moved_bytes_max.is_some()),
            ("a rule for the devices of a layer", self.limits.layer_devices.is_some()),
            ("a granularity", self.limits.granularity != Granularity::Expert),
        ];
        if let Some((what, _)) = single.into_iter().find(|&(_, asked)| asked) {
            return Err(refuse()
                .object(what)
                .expected("only what has a meaning without a home for each layer's attention")
                .hint("`--attention single`"));
        }
        self.check_objectives()
    }

    fn check_objectives(&self) -> Result<(), Error> {
        for objective in &self.objectives {
            let refuse = || Error::new(format!("minimise {}", objective.kind.name()));
            match objective.kind {
                ObjectiveKind::PeakUtilization | ObjectiveKind::DevicesUsed => {}
                ObjectiveKind::Crossings if self.limits.affinity.is_some() => {}
                ObjectiveKind::Crossings => {
                    return Err(refuse()
                        .expected("counts of how experts of consecutive layers go together")
                        .found("none")
                        .hint(
                            "`--routing FILE` with `pair_counts`, as `apportion profile` writes",
                        ));
                }
                _ => {
                    return Err(refuse()
                        .expected(
                            "crossings, peak_utilization or devices_used with replicated attention",
                        )
                        .found("an objective that prices attention with one home")
                        .hint("`--attention single`"));
                }
            }
        }
        Ok(())
    }

    /// Whether the pair counts are of this model.
    fn check_pairs(&self, problem: &Problem) -> Result<(), Error> {
        let Some(affinity) = &problem.affinity else { return Ok(()) };
        let Geometry { experts_per_token, .. } = self.model.geometry;
        let layers = problem.expert_layers();
        let sizes = |affinity: &Affinity| -> Vec<[usize; 2]> {
            let size = |pairs: &Vec<Vec<u64>>| [pairs.len(), pairs.first().map_or(0, Vec::len)];
            affinity.pair_counts.iter().map(size).collect()
        };
        let wanted: Vec<[usize; 2]> =
            layers.windows(2).map(|ends| [0, 1].map(|end| ends[end].components.len())).collect();
        let refuse = || Error::new("use the pair counts").object(&self.model.name);
        if affinity.top_k != u64::from(experts_per_token) {
            return Err(refuse()
                .expected(format!("{experts_per_token} experts per token"))
                .found(affinity.top_k.to_string()));
        }
        let found = sizes(affinity);
        if found.len() != wanted.len() {
            return Err(refuse()
                .expected(format!("{} pairs of consecutive layers with experts", wanted.len()))
                .found(found.len().to_string()));
        }
        match found.iter().zip(&wanted).find(|(found, wanted)| found != wanted) {
            Some((found, wanted)) => Err(refuse()
                .expected(format!("{} x {} experts between layers", wanted[0], wanted[1]))
                .found(format!("{} x {}", found[0], found[1]))),
            None => problem.validate().map_err(|error| error.object("the pair counts")),
        }
    }
}

/// The one set of counts that crossings are priced by.
///
/// # Errors
/// More than one set.
pub fn affinity_of(statistics: &[Arc<Statistics>]) -> Result<Option<Arc<Affinity>>, Error> {
    match statistics {
        [] => Ok(None),
        [one] => Ok(one.affinity().map(Arc::new)),
        more => Err(Error::new("use the pair counts")
            .expected("one file of routing statistics with replicated attention")
            .found(more.len().to_string())),
    }
}
