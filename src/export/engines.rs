//! What serving engines are told, and a person about them, whatever the form of the map.

use super::{Plan, Refusal};
use crate::checkpoint;
use crate::memory::KvType;
use crate::model::ComponentId;

/// The flag for the type of the cache, with a space before it: none where it is that of the model.
pub(super) fn cache_type(plan: &Plan<'_>) -> Result<&'static str, Refusal> {
    match plan.scenario.load.kv_type {
        KvType::F16 | KvType::Bf16 => Ok(""),
        KvType::Fp8E4m3 => Ok(" --kv-cache-dtype fp8_e4m3"),
        other => {
            let id =
                plan.homes().map(|(id, _)| id).find(|id| matches!(id, ComponentId::Attention(_)));
            let reason = format!(
                "its cache is of 16-bit floats or fp8_e4m3, and room was planned for one of {}",
                other.name()
            );
            let id = id.unwrap_or(ComponentId::Embedding);
            Err(Refusal::new(plan, id, reason, ["--kv-type", "f16"]))
        }
    }
}

/// That memory was planned by other rules than those of this runtime, as `whose` calls them.
pub(super) fn planned_by_another(plan: &Plan<'_>, own: &str, whose: &str) -> Option<String> {
    let runtime = plan.scenario.load.runtime.name();
    (runtime != own).then(|| {
        format!(
            "memory was planned by the rules of {runtime}; --runtime {own} plans by those of {whose}"
        )
    })
}

/// That bytes are those of a GGUF file, with what the consumer makes of one as a clause.
pub(super) fn of_gguf(plan: &Plan<'_>, clause: &str) -> Option<String> {
    let scenario = plan.scenario;
    let found = scenario.model.found.as_ref().map(|found| found.format);
    let stored = scenario.scheme.is_stored() && found == Some(checkpoint::Format::Gguf);
    (stored || scenario.scheme.kind() == "GGUF")
        .then(|| format!("bytes are those of GGUF (`{}`), {clause}", scenario.scheme.name()))
}
