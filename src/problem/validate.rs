//! Whether the parts of a problem fit together: what planner and verifier take for granted.

use super::{DeviceSet, Draw, NOWHERE, ObjectiveKind, Placement, Problem, Rule, Sends, Timing};
use crate::error::Error;
use crate::memory::{ComponentDemand, Workspace};
use crate::model::ComponentId;
use crate::objective::{LayerParts, layer_parts};
use crate::units::BYTES_MAX;

impl Problem {
    /// Whether the parts fit together: what planner and verifier take for granted.
    ///
    /// # Errors
    /// Components out of order or twice, no device or too many, a component with nowhere to live or tied to
    /// one that is not there, a set or a rule that names what is not there, or numbers so large that their
    /// sums could overflow.
    pub fn validate(&self) -> Result<(), Error> {
        if self.devices.is_empty() || self.devices.len() > DeviceSet::DEVICES_MAX {
            let most = DeviceSet::DEVICES_MAX;
            return refuse(format!(
                "{} devices; 1 to {most} can be planned for",
                self.devices.len()
            ));
        }
        let ids = self.components.iter().map(|c| c.demand.id);
        if !ids.clone().zip(ids.skip(1)).all(|(a, b)| a < b) {
            return refuse("components that are not in canonical order, or one twice".to_owned());
        }
        if self.tied_head && self.index_of(ComponentId::Embedding).is_none() {
            return refuse("a head tied to an embedding that is not there".to_owned());
        }
        self.validate_places()?;
        self.validate_limits()?;
        self.validate_sends()?;
        self.validate_affinity()?;
        if layer_parts(self).iter().any(|p| !p.experts.is_empty() && !p.matrices.is_empty()) {
            return refuse("a layer of single experts and of matrices of all of them".to_owned());
        }
        for timing in [&self.decode, &self.prefill].into_iter().flatten() {
            self.validate_timing(timing)?;
        }
        if self.largest_sum() > u128::from(BYTES_MAX) || self.traffic_denominator == 0 {
            return refuse("numbers beyond what can be added up".to_owned());
        }
        Ok(())
    }

    /// Every component has somewhere to live and someone to live with, and rules speak of what is there.
    fn validate_places(&self) -> Result<(), Error> {
        let everywhere = DeviceSet::first(self.devices.len());
        for component in &self.components {
            let id = component.demand.id;
            if component.allowed.is_empty() {
                return refuse(format!("{id} may live on no device"));
            }
            if !component.allowed.without(everywhere).is_empty() {
                return refuse(format!("{id} may live on a device that is not there"));
            }
            if self.index_of(component.lives_with).is_none() {
                return refuse(format!(
                    "{id} lives with {}, which is not there",
                    component.lives_with
                ));
            }
        }
        let beyond = |rule: &&Rule| rule.components.iter().any(|&c| c >= self.components.len());
        match self.rules.iter().find(beyond) {
            Some(rule) => refuse(format!("`{}` names a component that is not there", rule.text)),
            None => Ok(()),
        }
    }

    /// Headroom for each device, room for one device, a current placement of these components.
    fn validate_limits(&self) -> Result<(), Error> {
        if self.headroom_bytes.len() > self.devices.len() {
            return refuse(format!(
                "{} headrooms for {} devices",
                self.headroom_bytes.len(),
                self.devices.len()
            ));
        }
        if self.devices_max == Some(0) {
            return refuse("a limit of no device at all".to_owned());
        }
        let fits = |current: &Placement| {
            current.device_of.len() == self.components.len()
                && current.device_of.iter().all(|&d| d < self.devices.len() || d == NOWHERE)
        };
        let migrates = self.objectives.iter().any(|o| o.kind == ObjectiveKind::Migration);
        if self.moved_bytes_max.is_some() && self.current.is_none() {
            return refuse("a limit on what moves from no current placement".to_owned());
        }
        match &self.current {
            Some(current) if !fits(current) => {
                refuse("a current placement of other components or devices".to_owned())
            }
            None if migrates => refuse("migration from no current placement".to_owned()),
            _ => Ok(()),
        }
    }

    /// Sends per device speak of as many experts as there are, few enough to price exactly.
    fn validate_sends(&self) -> Result<(), Error> {
        let Sends::PerDevice { experts, experts_per_token } = self.sends else { return Ok(()) };
        let (most, visited_most) = (Sends::EXPERTS_MAX, Sends::PER_TOKEN_MAX);
        let visited = 1..=visited_most.min(experts);
        if experts > most || !visited.contains(&experts_per_token) {
            return refuse(format!(
                "sends per device to {experts_per_token} of {experts} experts; up to {visited_most} \
                 of up to {most} can be priced"
            ));
        }
        let mut routed: Vec<u32> = vec![0; usize::try_from(self.layers()).unwrap_or(0)];
        for component in &self.components {
            let ComponentId::Expert(layer, _) = component.demand.id else { continue };
            let count = usize::try_from(layer).ok().and_then(|layer| routed.get_mut(layer));
            if let Some(count) = count {
                *count = count.saturating_add(1);
            }
        }
        match routed.into_iter().max() {
            Some(found) if found > experts => {
                refuse(format!("a layer of {found} experts where each has {experts}"))
            }
            _ => Ok(()),
        }
    }

    /// A time for everything everywhere, and draws of the experts that there are.
    fn validate_timing(&self, timing: &Timing) -> Result<(), Error> {
        let devices = self.devices.len();
        let square = |rows: &Vec<Vec<u64>>| {
            rows.len() == devices && rows.iter().all(|row| row.len() == devices)
        };
        let visits = &timing.visit_ps;
        let shaped = visits.len() == self.components.len()
            && visits.iter().all(|row| row.len() == devices)
            && timing.expert_tokens_milli.len() == self.components.len()
            && square(&timing.latency_ps)
            && square(&timing.token_ps);
        if !shaped {
            return refuse("times of other components or devices".to_owned());
        }
        let rows = [visits, &timing.latency_ps, &timing.token_ps];
        if rows.into_iter().flatten().flatten().any(|&ps| ps > Timing::PS_MAX) {
            return refuse("a time beyond what can be added up".to_owned());
        }
        let layers = usize::try_from(self.layers()).unwrap_or(usize::MAX);
        if timing.draws.is_empty() || timing.draws.iter().any(|set| set.len() != layers) {
            return refuse(format!("draws of other than {layers} layers"));
        }
        let parts = layer_parts(self);
        let mut draws = timing.draws.iter().flat_map(|set| set.iter().zip(&parts));
        draws.try_for_each(|(draw, parts)| check_draw(timing, draw, parts))
    }

    /// An upper bound on any sum of bytes, or of traffic units, that planner or verifier may form.
    fn largest_sum(&self) -> u128 {
        let bytes_of = |demand: &ComponentDemand| {
            let ComponentDemand { weights_bytes, rounding_bytes, .. } = *demand;
            let ComponentDemand { kv_cache_bytes, staging_bytes, .. } = *demand;
            let bytes = [weights_bytes, rounding_bytes, kv_cache_bytes, staging_bytes];
            bytes.map(u128::from).iter().sum::<u128>()
        };
        let demands = self.components.iter().map(|c| {
            // A visit there and back, at most certain, and a hand-over.
            let visits = match self.sends {
                Sends::PerExpert => c.visits,
                Sends::PerDevice { .. } => c.visits.max(self.traffic_denominator),
            };
            let traffic = u128::from(visits) * 2 + u128::from(self.traffic_denominator);
            bytes_of(&c.demand) + traffic
        });
        let everywhere = self.everywhere.iter().map(bytes_of).sum::<u128>();
        let devices =
            self.devices.iter().map(|d| u128::from(d.capacity_bytes) + u128::from(d.reserve_bytes));
        let Workspace { embedding_bytes, attention_bytes, feed_forward_bytes, head_bytes } =
            self.workspace;
        let rest = [embedding_bytes, attention_bytes, feed_forward_bytes, head_bytes];
        let rest = rest.map(u128::from).iter().sum::<u128>() + u128::from(self.host_staging_bytes);
        demands.sum::<u128>() + everywhere + devices.sum::<u128>() + rest
    }
}

/// A draw speaks of the experts of its layer, and draws evenly only among equal ones.
fn check_draw(timing: &Timing, draw: &Draw, parts: &LayerParts) -> Result<(), Error> {
    let experts = parts.experts.len();
    let known = |number: &u32| parts.experts.binary_search_by_key(number, |e| e.0).is_ok();
    match draw {
        Draw::Even(sizes) => {
            let within = |&(size, weight): &(u32, u64)| {
                usize::try_from(size).is_ok_and(|size| size <= experts) && weight <= 1 << 32
            };
            if !sizes.iter().all(within) || sizes.is_empty() != (experts == 0) {
                return refuse("an even draw of other experts than a layer has".to_owned());
            }
            let like = |a: usize, b: usize| {
                timing.visit_ps[a] == timing.visit_ps[b]
                    && timing.expert_tokens_milli[a] == timing.expert_tokens_milli[b]
            };
            if !parts.experts.windows(2).all(|pair| like(pair[0].1, pair[1].1)) {
                return refuse("an even draw among experts that differ".to_owned());
            }
        }
        Draw::Sets(sets) => {
            let ascending = |set: &Vec<u32>| set.windows(2).all(|pair| pair[0] < pair[1]);
            let sound = |(set, weight): &(Vec<u32>, u64)| {
                ascending(set) && set.iter().all(known) && *weight <= 1 << 40
            };
            if sets.len() > Draw::SETS_MAX || !sets.iter().all(sound) || draw.weight() == 0 {
                return refuse("a draw of sets of other experts than a layer has".to_owned());
            }
        }
    }
    Ok(())
}

fn refuse(found: String) -> Result<(), Error> {
    Err(Error::new("state the problem").found(found))
}
