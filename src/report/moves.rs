//! What `generate` prints of components that moved meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use super::decimals;
use crate::error::printable;
use crate::units::{format_bytes, format_time};

/// A migration, as far as it came.
#[derive(Clone, Debug)]
pub struct Moves {
    /// Steps of the plan.
    pub steps: usize,
    /// Those that were done by earlier programs.
    pub before: usize,
    /// Those that are done.
    pub done: usize,
    /// Weights, keys and values that moved.
    pub moved_bytes: u64,
    /// What all of it took.
    pub elapsed: Duration,
    /// The longest pause between two tokens.
    pub longest: Duration,
    /// In the order of the runtime.
    pub devices: Vec<PeakBytes>,
    /// What asked for it, where nobody did.
    pub why: Option<String>,
    /// What finding the placement and the plan took, where that was done meanwhile.
    pub solving: Option<Duration>,
    /// Why it went no further.
    pub stopped: Option<String>,
}

/// The most that was on a device.
#[derive(Clone, Debug)]
pub struct PeakBytes {
    /// Its name.
    pub id: String,
    /// Before the first step.
    pub start_bytes: u64,
    /// The most at once.
    pub peak_bytes: u64,
    /// What it may hold.
    pub budget_bytes: u64,
}

/// A few lines.
pub fn moves(moves: &Moves) -> String {
    let Moves { steps, before, done, moved_bytes, elapsed, longest, devices, .. } = moves;
    let earlier = if *before > 0 { format!(", {before} of them before") } else { String::new() };
    let all = format!(
        "moved      {} in {}, longest pause {}; {done} of {steps} steps are done{earlier}\n",
        format_bytes(*moved_bytes),
        time(*elapsed),
        time(*longest)
    );
    let peak = |device: &PeakBytes| {
        let (peak, budget) = (format_bytes(device.peak_bytes), format_bytes(device.budget_bytes));
        // Memory that shrank below what was there.
        let over = device.peak_bytes > device.budget_bytes;
        let start = if over { ", before anything moved" } else { "" };
        format!("{} {peak} of {budget}{start}", printable(&device.id))
    };
    let peaks: Vec<String> = devices.iter().map(peak).collect();
    let peaks = format!("at most    {}\n", peaks.join("; "));
    let because = moves.why.as_ref().map(|why| {
        format!("because    {why}; planned in {}\n", time(moves.solving.unwrap_or_default()))
    });
    let stopped = moves.stopped.as_ref().map(|why| format!("stopped    {why}\n"));
    [all, peaks].into_iter().chain(because).chain(stopped).collect()
}

fn time(time: Duration) -> String {
    format_time(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).saturating_mul(1000))
}

/// The same for programs.
pub fn moves_json(moves: &Moves) -> Value {
    let device = |device: &PeakBytes| {
        json!({
            "id": device.id,
            "start_bytes": device.start_bytes,
            "peak_bytes": device.peak_bytes,
            "budget_bytes": device.budget_bytes,
        })
    };
    let seconds = |time: Duration| decimals(&format!("{:.6}", time.as_secs_f64()));
    json!({
        "steps": moves.steps,
        "steps_before": moves.before,
        "steps_done": moves.done,
        "moved_bytes": moves.moved_bytes,
        "seconds": seconds(moves.elapsed),
        "longest_pause_seconds": seconds(moves.longest),
        "devices": moves.devices.iter().map(device).collect::<Vec<_>>(),
        "why": moves.why,
        "solving_seconds": moves.solving.map(seconds),
        "stopped": moves.stopped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_people_and_for_programs() {
        let device = PeakBytes {
            id: "gpu0".to_owned(),
            start_bytes: 1 << 20,
            peak_bytes: 3 << 20,
            budget_bytes: 4 << 20,
        };
        let mut example = Moves {
            steps: 7,
            before: 0,
            done: 7,
            moved_bytes: 5 << 20,
            elapsed: Duration::from_millis(12),
            longest: Duration::from_micros(3500),
            devices: vec![device],
            why: None,
            solving: None,
            stopped: None,
        };
        assert_eq!(
            moves(&example),
            "moved      5.00 MiB in 12.00 ms, longest pause 3.50 ms; 7 of 7 steps are done\n\
             at most    gpu0 3.00 MiB of 4.00 MiB\n"
        );
        example.before = 2;
        example.stopped = Some("no room".to_owned());
        example.why = Some("routing drifted by 0.310".to_owned());
        example.solving = Some(Duration::from_millis(250));
        let text = moves(&example);
        assert!(text.contains("7 of 7 steps are done, 2 of them before\n"), "{text}");
        let end = "because    routing drifted by 0.310; planned in 250.00 ms\nstopped    no room\n";
        assert!(text.ends_with(end), "{text}");
        let json = moves_json(&example);
        assert_eq!(
            (&json["longest_pause_seconds"], &json["stopped"]),
            (&json!(0.0035), &json!("no room"))
        );
        assert_eq!(json["devices"][0]["peak_bytes"], json!(3 << 20));
    }
}
