//! `apportion models`: what it knows.

use apportion::error::Error;
use apportion::model::{Model, catalogue, families};
use apportion::quant::Scheme;
use apportion::report::{Align, Table, wrap};
use apportion::units::grouped;
use serde_json::{Value, json};

use super::Answer;
use super::args::ModelsArgs;

/// What names can say beyond the list; the modules under `src/quant` read them.
const OPTIONS: &str = "\
Other sizes: gptq-3bit-g64, hqq-2bit-g16, w4a16-g32-asym, mlx-4bit-g128, ...
Options after a colon, separated by commas:
  bitsandbytes  v5 (as transformers 5 loads it), block=128
  awq           gemv
  fp8           ue8m0, tensor, static, 64x64
  GGUF          imatrix, pure, era=DAY, output=TYPE, embedding=TYPE, ...
";

/// Lists the catalogue and the families, or the quantizations.
pub fn run(args: &ModelsArgs) -> Result<Answer, Error> {
    match (args.output.json, args.quants) {
        (true, _) => Ok(Answer::json(&everything()?, true)),
        (false, true) => Ok(Answer::new(quantizations(), true)),
        (false, false) => Ok(Answer::new(models()?, true)),
    }
}

fn everything() -> Result<Value, Error> {
    let models = catalogue()
        .iter()
        .map(|entry| {
            let model = Model::from_catalogue(&entry.name)?;
            Ok(json!({
                "name": entry.name,
                "family": entry.family,
                "parameters": model.parameters(),
                "source": entry.source,
            }))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let quantizations: Vec<_> = Scheme::all()
        .iter()
        .map(|scheme| {
            json!({
                "name": scheme.name(),
                "kind": scheme.kind(),
                "description": scheme.description(),
            })
        })
        .collect();
    Ok(json!({ "models": models, "families": family_names(), "quantizations": quantizations }))
}

fn models() -> Result<String, Error> {
    let mut table = Table::new(&[
        ("model", Align::Left),
        ("family", Align::Left),
        ("parameters", Align::Right),
    ]);
    for entry in catalogue() {
        let parameters = Model::from_catalogue(&entry.name)?.parameters();
        table.row([entry.name.clone(), entry.family.clone(), grouped(parameters)]);
    }
    let families = family_names().join(", ");
    let line = format!("Any config.json of these families works too: {families}.");
    Ok(format!("{}\n{}", table.render(), wrap(&line, 80)))
}

fn quantizations() -> String {
    let mut table = Table::new(&[("name", Align::Left), ("what it is", Align::Left)]);
    let mut last = "";
    for scheme in Scheme::all() {
        let kind = scheme.kind();
        if kind != last {
            table.row([format!("{kind}:"), String::new()]);
        }
        let description = scheme.description();
        // The heading has said so.
        let short = description.strip_prefix(kind).map(|rest| rest.trim_start_matches([':', ' ']));
        let short = short.unwrap_or(&description).to_owned();
        table.row([format!("  {}", scheme.name()), short]);
        last = kind;
    }
    format!("{}\n{OPTIONS}", table.render())
}

fn family_names() -> Vec<&'static str> {
    families().iter().map(|family| family.family.as_str()).collect()
}
