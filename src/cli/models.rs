//! `apportion models`: what it knows.

use apportion::error::Error;
use apportion::hardware::HardwareCatalogue;
use apportion::model::{Model, catalogue, families};
use apportion::quant::Scheme;
use apportion::report::{Align, Table, wrap};
use apportion::units::{exact_bandwidth, exact_compute, exact_size, exact_time, grouped};
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

/// What the figures of devices and links are.
const FIGURES: &str = "\
Data sheets state the most that hardware can do: here reading, and dense
products of 16-bit matrices; links one way, with a latency that small messages
usually have. A runtime gets less, how much less depends on kernels and types.
Figures of your own go before these: `--gpu rtx-4090=23GiB`, `--link 8us,24GB/s`
or any in a --hardware file. What has no memory here is given with a size:
`--cpu ddr5-5600-dual=64GiB`. --json names the sources.
";

/// Lists the catalogue and the families, or the quantizations, or the devices and links.
pub fn run(args: &ModelsArgs) -> Result<Answer, Error> {
    if args.output.json {
        return Ok(Answer::json(&everything()?, true));
    }
    let text = match (args.quants, args.hardware) {
        (true, _) => quantizations(),
        (_, true) => hardware(),
        _ => models()?,
    };
    Ok(Answer::new(text, true))
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
    Ok(json!({
        "models": models,
        "families": family_names(),
        "quantizations": quantizations,
        "devices": device_values(),
        "links": link_values(),
    }))
}

fn device_values() -> Vec<Value> {
    let devices = HardwareCatalogue::embedded().devices.iter();
    devices
        .map(|known| {
            json!({
                "name": known.name,
                "kind": known.kind.name(),
                "memory_bytes": known.memory_bytes,
                "bandwidth_bytes_per_second": known.speed.bytes_per_second,
                "flops": known.speed.flops,
                "source": known.source,
            })
        })
        .collect()
}

fn link_values() -> Vec<Value> {
    let links = HardwareCatalogue::embedded().links.iter();
    links
        .map(|known| {
            json!({
                "name": known.name,
                "latency_ps": known.link.latency_ps,
                "bytes_per_second": known.link.bytes_per_second,
                "source": known.source,
            })
        })
        .collect()
}

fn hardware() -> String {
    let catalogue = HardwareCatalogue::embedded();
    let mut devices = Table::new(&[
        ("device", Align::Left),
        ("kind", Align::Left),
        ("memory", Align::Right),
        ("bandwidth", Align::Right),
        ("compute", Align::Right),
    ]);
    for known in &catalogue.devices {
        devices.row([
            known.name.clone(),
            known.kind.name().to_owned(),
            known.memory_bytes.map(exact_size).unwrap_or_default(),
            exact_bandwidth(known.speed.bytes_per_second),
            known.speed.flops.map(exact_compute).unwrap_or_default(),
        ]);
    }
    let mut links = Table::new(&[
        ("link", Align::Left),
        ("latency", Align::Right),
        ("bandwidth", Align::Right),
    ]);
    for known in &catalogue.links {
        let (latency, rate) = (known.link.latency_ps, known.link.bytes_per_second);
        links.row([known.name.clone(), exact_time(latency), exact_bandwidth(rate)]);
    }
    format!("{}\n{}\n{FIGURES}", devices.render(), links.render())
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
