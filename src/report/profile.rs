//! What `profile` prints: how uneven the experts are.

use std::time::Duration;

use serde_json::{Value, json};

use super::{decimals, per_second, percent, plural};
use crate::routing::Statistics;
use crate::units::{Ratio, grouped};

/// The expert that the largest share of tokens chose: layer, expert, share.
fn favourite(statistics: &Statistics) -> Option<(usize, usize, Ratio)> {
    let rows = statistics.counts.iter().enumerate();
    let all = rows.flat_map(|(layer, row)| {
        row.iter().enumerate().map(move |(expert, &count)| (count, layer, expert))
    });
    // The first of equals.
    let most = all.max_by(|a, b| a.0.cmp(&b.0).then((b.1, b.2).cmp(&(a.1, a.2))));
    most.map(|(count, layer, expert)| (layer, expert, Ratio::new(count, statistics.tokens)))
}

/// A summary; the figures are in the file.
pub fn profile(statistics: &Statistics, elapsed: Duration) -> String {
    let layers = statistics.counts.iter().filter(|row| !row.is_empty()).count();
    let rate = per_second(statistics.tokens, elapsed);
    let rate = rate.map_or_else(String::new, |rate| format!(", {:.2} tokens/s", rate.as_f64()));
    let favourite = favourite(statistics).map_or_else(String::new, |(layer, expert, share)| {
        let even = Ratio::new(statistics.top_k, statistics.experts() as u64);
        format!(
            "most chosen: expert {expert} of layer {layer}, for {} of the tokens; evenly it were {}\n",
            percent(share),
            percent(even)
        )
    });
    let sets = match &statistics.set_counts {
        Some(sets) => {
            let different: usize = sets.iter().map(Vec::len).sum();
            format!("{} sets of experts chosen together\n", grouped(different as u64))
        }
        None => format!(
            "sets of experts were not counted: more than {} are possible\n",
            grouped(Statistics::SETS_MAX as u64)
        ),
    };
    format!(
        "{} tokens in {:.2} s{rate}\n{} with {} experts, {} of them for a token\n{favourite}{sets}",
        grouped(statistics.tokens),
        elapsed.as_secs_f64(),
        plural(layers as u64, "layer"),
        statistics.experts(),
        statistics.top_k,
    )
}

/// The same for programs.
pub fn profile_json(statistics: &Statistics, elapsed: Duration, file: &str) -> Value {
    let rate = per_second(statistics.tokens, elapsed);
    let favourite = favourite(statistics);
    json!({
        "file": file,
        "tokens": statistics.tokens,
        "top_k": statistics.top_k,
        "experts": statistics.experts(),
        "seconds": decimals(&format!("{:.3}", elapsed.as_secs_f64())),
        "tokens_per_second": rate.map(|rate| decimals(&format!("{:.3}", rate.as_f64()))),
        "sets": statistics.set_counts.as_ref().map(|sets| sets.iter().map(Vec::len).sum::<usize>()),
        "most_chosen": favourite.map(|(layer, expert, share)| {
            json!({ "layer": layer, "expert": expert, "share": share.as_f64() })
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_chosen_expert_is_named() {
        let statistics = Statistics {
            model: "m".to_owned(),
            text: "t".to_owned(),
            source: None,
            tokens: 4000,
            top_k: 1,
            counts: vec![vec![], vec![1000, 3000], vec![3000, 1000]],
            set_counts: None,
            pair_counts: None,
        };
        let elapsed = Duration::from_secs(2);
        assert_eq!(
            profile(&statistics, elapsed),
            "4,000 tokens in 2.00 s, 2000.00 tokens/s\n\
             2 layers with 2 experts, 1 of them for a token\n\
             most chosen: expert 1 of layer 1, for 75.00 % of the tokens; evenly it were 50.00 %\n\
             sets of experts were not counted: more than 4,096 are possible\n"
        );
        let json = profile_json(&statistics, elapsed, "r.json");
        assert_eq!(json["most_chosen"], json!({"layer": 1, "expert": 1, "share": 0.75}));
    }
}
