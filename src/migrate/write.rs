//! Writes a plan: deterministic, one step per line, the two placements behind it.

use sha2::{Digest, Sha256};

use super::{Plan, Step};
use crate::placement::emit::{Emitter, quoted, text};
use crate::scenario::hex;

/// The version of the format that this program writes, and the only one it reads.
pub(super) const VERSION: u64 = 1;

/// What tells such a file from others.
pub(super) const WHAT: &str = "migration-plan";

/// Host memory, where it is no device.
pub(super) const HOST: &str = "(host)";

/// The files of the model.
pub(super) const FILES: &str = "(files)";

/// What stands before the placement it begins with.
pub(super) const FROM: &str = "--- # from";

/// What stands before the placement it leads to.
pub(super) const TO: &str = "--- # to";

impl Plan {
    /// The file's text; equal plans give equal bytes.
    pub fn to_yaml(&self) -> String {
        let mut out = Emitter::default();
        out.comment("A migration plan by apportion. `apportion check FILE` replays it.");
        out.entry("apportion", WHAT);
        out.entry("version", VERSION);
        out.entry("caches", self.caches.name());
        let claims = &self.claims;
        out.entry("moved_bytes", claims.moved_bytes);
        out.entry("loaded_bytes", claims.loaded_bytes);
        out.entry("host_bytes", claims.host_bytes);
        out.entry("whole", claims.whole);
        let devices: Vec<_> = self.devices.iter().zip(&claims.devices).collect();
        out.list("devices", &devices, |out, (device, [start, peak, end])| {
            out.entry("id", text(&device.id));
            out.entry("limit_bytes", device.limit_bytes);
            out.entry("start_bytes", start);
            out.entry("peak_bytes", peak);
            out.entry("end_bytes", end);
        });
        out.list("steps", &self.steps, |out, step| out.scalar(quoted(&self.line(step))));
        let plan = out.finish();
        format!("{plan}{FROM}\n{}{TO}\n{}", self.from.to_yaml(), self.to.to_yaml())
    }

    /// SHA-256 over the file's text, in hex: what a journal says it is about.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(self.to_yaml()))
    }

    /// A step as a line: `layers.3.experts.5 gpu0 -> gpu1`.
    pub fn line(&self, step: &Step) -> String {
        format!("{} {} -> {}", step.component, self.name(step.from), self.name(step.to))
    }
}
