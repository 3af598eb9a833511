//! What `generate` prints beside the text: how fast, and how many activations moved.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Moves, decimal, decimals, moves, moves_json, per_second, plural};
use crate::units::{Ratio, format_bytes};

/// What was generated and what it cost.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The new tokens.
    pub tokens: Vec<u32>,
    /// Their text, where there is a tokenizer.
    pub text: Option<String>,
    /// Why there are no more: a name.
    pub ended: &'static str,
    /// The prompt.
    pub prefill: Stretch,
    /// Every token after the first.
    pub decode: Stretch,
    /// Transfers per token that the placement expects; `None` on the way to another.
    pub planned_transfers: Option<Ratio>,
    /// Transfers of the decode stretch that the map asks for, given the experts that were chosen.
    pub routed_transfers: u64,
    /// Components that moved meanwhile, once for each migration.
    pub migrations: Vec<Moves>,
}

/// A stretch of work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stretch {
    /// Tokens that went through the model.
    pub tokens: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Activations that moved between devices.
    pub transfers: u64,
    /// Their bytes.
    pub transfer_bytes: u64,
}

impl Stretch {
    fn rate(&self) -> Option<Ratio> {
        per_second(self.tokens, self.elapsed).filter(|_| self.tokens > 0)
    }

    fn transfers_per_token(&self) -> Option<Ratio> {
        (self.tokens > 0).then(|| Ratio::new(self.transfers, self.tokens))
    }
}

/// The figures, a line for each kind.
pub fn generation(generation: &Generation) -> String {
    let Generation { prefill, decode, .. } = generation;
    let planned = generation.planned_transfers.map(decimal);
    let transfers = decode.transfers_per_token().map_or_else(
        || match &planned {
            Some(planned) => format!("{planned} per token expected"),
            None => "none measured".to_owned(),
        },
        |measured| {
            let bytes = format_bytes(decode.transfer_bytes);
            let routed = decimal(Ratio::new(generation.routed_transfers, decode.tokens));
            let measured = decimal(measured);
            let expected = planned.as_deref().map(|planned| format!(", {planned} expected"));
            let expected = expected.unwrap_or_default();
            format!(
                "{measured} per token, {routed} planned for these experts{expected}; {bytes} in all"
            )
        },
    );
    let ended = generation.ended.replace('_', " ");
    let migrations: String = generation.migrations.iter().map(moves).collect();
    format!(
        "prompt     {}\ndecode     {}\ntransfers  {transfers}\n{migrations}ended      {ended}\n",
        speed(prefill),
        speed(decode)
    )
}

fn speed(stretch: &Stretch) -> String {
    let tokens = plural(stretch.tokens, "token");
    let rate = stretch.rate();
    let rate = rate.map_or_else(String::new, |rate| format!(", {:.2} tokens/s", rate.as_f64()));
    format!("{tokens} in {:.2} s{rate}", stretch.elapsed.as_secs_f64())
}

/// The same for programs, with the tokens.
pub fn generation_json(generation: &Generation) -> Value {
    let Generation { prefill, decode, .. } = generation;
    let mut object = Map::new();
    let mut insert = |key: &str, value: Value| object.insert(key.to_owned(), value);
    insert("tokens", json!(generation.tokens));
    if let Some(text) = &generation.text {
        insert("text", json!(text));
    }
    insert("ended", json!(generation.ended));
    insert("prompt_tokens", json!(prefill.tokens));
    insert("prefill_tokens_per_second", number(prefill.rate()));
    insert("decode_tokens_per_second", number(decode.rate()));
    insert(
        "transfers",
        json!({
            "planned_per_token": generation.planned_transfers.map(Ratio::as_f64),
            "routed_per_token": (decode.tokens > 0)
                .then(|| Ratio::new(generation.routed_transfers, decode.tokens).as_f64()),
            "per_token_measured": decode.transfers_per_token().map(Ratio::as_f64),
            "bytes": decode.transfer_bytes,
        }),
    );
    if !generation.migrations.is_empty() {
        let migrations: Vec<Value> = generation.migrations.iter().map(moves_json).collect();
        insert("migrations", Value::Array(migrations));
    }
    Value::Object(object)
}

fn number(rate: Option<Ratio>) -> Value {
    rate.map_or(Value::Null, |rate| decimals(&format!("{:.3}", rate.as_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Generation {
        let stretch = |tokens, millis, transfers| Stretch {
            tokens,
            elapsed: Duration::from_millis(millis),
            transfers,
            transfer_bytes: transfers * 256,
        };
        Generation {
            tokens: vec![34, 90],
            text: None,
            ended: "max_tokens",
            prefill: stretch(8, 250, 9),
            decode: stretch(4, 500, 10),
            planned_transfers: Some(Ratio::new(9, 4)),
            routed_transfers: 10,
            migrations: Vec::new(),
        }
    }

    #[test]
    fn figures_are_for_people_and_for_programs() {
        let mut example = example();
        assert_eq!(
            generation(&example),
            "prompt     8 tokens in 0.25 s, 32.00 tokens/s\n\
             decode     4 tokens in 0.50 s, 8.00 tokens/s\n\
             transfers  2.5 per token, 2.5 planned for these experts, 2.25 expected; 2.50 KiB in all\n\
             ended      max tokens\n"
        );
        assert_eq!(
            generation_json(&example),
            json!({
                "tokens": [34, 90],
                "ended": "max_tokens",
                "prompt_tokens": 8,
                "prefill_tokens_per_second": 32.0,
                "decode_tokens_per_second": 8.0,
                "transfers": {
                    "planned_per_token": 2.25,
                    "routed_per_token": 2.5,
                    "per_token_measured": 2.5,
                    "bytes": 2560,
                },
            })
        );
        example.decode = Stretch::default();
        example.text = Some("hi".to_owned());
        let json = generation_json(&example);
        assert_eq!(
            (&json["text"], &json["decode_tokens_per_second"]),
            (&json!("hi"), &Value::Null)
        );
        assert_eq!(json["transfers"]["per_token_measured"], Value::Null);
        assert!(generation(&example).contains("transfers  2.25 per token expected\n"));
    }
}
