//! What a user should know before a placement is loaded: where it will be slow, what is left out.

use super::devices::{Backing, Device};
use super::manifest::{Item, Manifest};
use crate::dtype::GgmlType;
use crate::units::format_bytes;

/// Sentences about a manifest on these devices; often none.
pub fn notices(manifest: &Manifest, devices: &[Device]) -> Vec<String> {
    let slow = devices.iter().filter_map(|device| slow_on_cpu(manifest, device));
    manifest.notices.iter().cloned().chain(slow).collect()
}

/// CPUs of today multiply with bf16 by widening whole matrices at every use.
fn slow_on_cpu(manifest: &Manifest, device: &Device) -> Option<String> {
    let is_slow = |item: &&Item| {
        item.device == device.index && item.held == GgmlType::Bf16 && item.slot.is_linear()
    };
    let bytes = manifest.items.iter().filter(is_slow).map(|item| item.bytes);
    let bytes = bytes.reduce(u64::saturating_add)?;
    (device.backing == Backing::Cpu).then(|| {
        format!(
            "{} is CPU memory and holds {} of matrices in bf16, which is slow there: f16 takes the same \
             bytes and is many times as fast",
            device.id,
            format_bytes(bytes)
        )
    })
}
