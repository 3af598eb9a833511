//! Every published size of the ground truth, from configs alone.
//!
//! A row is a repository's file in bytes, or a figure that a program printed with a few digits. Files are
//! larger than their tensors by their header: the same for every file of a repository, or at least what
//! a tokenizer of that size takes. `cargo test ground_truth -- --nocapture` lists all rows.

use std::collections::BTreeMap;

use apportion::model::ComponentKind;
use apportion::quant::{Scheme, Storage};

use super::{data, model};

/// One row, as read.
struct Row {
    model: String,
    quant: String,
    value: String,
    unit: String,
}

fn rows() -> Vec<Row> {
    let text = data("ground-truth/gguf-sizes.csv");
    let row = |line: &str| {
        let [model, quant, value, unit, _source] = fields(line).try_into().unwrap();
        Row { model, quant, value, unit }
    };
    text.lines().skip(1).map(row).collect()
}

/// The fields of a line; quotes keep commas.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

/// The model and how the file was made. What a row does not say of when and how is known of its
/// repository: see tests/data/SOURCES.md.
fn question(row: &Row) -> (&'static str, String) {
    const MODELS: [(&str, &str); 8] = [
        ("Mixtral-8x7B", "mixtral-8x7b"),
        ("Llama-3.1-8B", "llama-3.1-8b"),
        ("Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3"),
        ("Qwen2.5-7B", "qwen2.5-7b"),
        ("Qwen3-30B-A3B", "qwen3-30b-a3b"),
        ("gpt-oss-20b", "gpt-oss-20b"),
        ("gpt-oss-120b", "gpt-oss-120b"),
        ("DeepSeek-V2-Lite", "deepseek-v2-lite"),
    ];
    let name = MODELS.iter().find(|(part, _)| row.model.contains(part)).unwrap().1;
    let first = row.quant.split(' ').next().unwrap().to_lowercase();
    let scheme = match first.as_str() {
        "f16" | "bf16" => format!("gguf-{first}"),
        "mxfp4" => "mxfp4_moe".to_owned(),
        _ => first,
    };
    let has = |part: &str| row.model.contains(part) || row.quant.contains(part);
    // The log of llama.cpp's issue 6670 is of early April 2024, when routers were in 16 bit.
    let old = has("TheBloke") || has("old rules") || row.model == "Mixtral-8x7B-Instruct-v0.1";
    let option = match name {
        "mixtral-8x7b" if old => ":era=2023-12-14",
        "mixtral-8x7b" if has("PR 4872") || has("Q2_K_S") => ":era=2024-01-12",
        "mixtral-8x7b" if has("MaziyarPanahi") => ":era=2024-04-20",
        "qwen3-30b-a3b" if has("IQ4_NL") || has("Q4_0") => ":imatrix",
        "deepseek-v2-lite" => ":era=2025-01-01",
        _ => "",
    };
    (name, scheme + option)
}

/// `bytes` over `unit`, rounded to as many digits as the text has, as a whole number of the last digit.
fn rounded(bytes: u64, unit: u128, text: &str) -> (u128, u128) {
    let (whole, digits) = text.split_once('.').unwrap();
    let scale = 10_u128.pow(u32::try_from(digits.len()).unwrap());
    let said = format!("{whole}{digits}").parse().unwrap();
    ((u128::from(bytes) * scale * 2 + unit) / (2 * unit), said)
}

fn embedding_bytes(storage: &Storage) -> u64 {
    let tensors = storage.tensors.iter().zip(&storage.stored);
    let embedding = tensors.filter(|(t, _)| t.component.kind() == ComponentKind::Embedding);
    embedding.map(|(_, stored)| stored.bytes).sum()
}

/// Compares a row that is not a file: all digits of all its figures.
fn compare_digits(row: &Row, storage: &Storage, title: &str) {
    let bytes = storage.bytes();
    let (unit, compared) = if row.unit.starts_with("MiB Metal") {
        (1 << 20, bytes - embedding_bytes(storage))
    } else if row.unit.starts_with("MiB") {
        (1 << 20, bytes)
    } else {
        (1 << 30, bytes)
    };
    let (ours, said) = rounded(compared, unit, &row.value);
    println!("{title}: {bytes} bytes, printed {} {}", row.value, row.unit);
    // A label, not a figure of the tensors: the file has a header too.
    if row.unit.contains("file label") {
        assert!(ours.abs_diff(said) <= 1, "{title}: {ours} {said}");
        return;
    }
    assert_eq!(ours, said, "{title}");
    let lower = row.unit.to_lowercase();
    if let Some((before, _)) = lower.split_once(" bpw") {
        let bits = before.rsplit(['(', ' ']).next().unwrap();
        let elements: u64 = storage.elements();
        let (ours, said) = rounded(bytes * 8, u128::from(elements), bits);
        assert_eq!(ours, said, "{title}: bits per weight");
    }
}

#[test]
fn every_row_of_the_ground_truth() {
    let rows = rows();
    assert_eq!(rows.len(), 93);
    let mut headers: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for row in &rows {
        let (name, scheme) = question(row);
        let storage = Scheme::parse(&scheme).unwrap().store(&model(name)).unwrap();
        let title = format!("{} {} = {name} {scheme}", row.model, row.quant);
        if row.unit.starts_with("bytes") {
            let file: u64 = row.value.parse().unwrap();
            let header = file.checked_sub(storage.bytes()).unwrap_or_else(|| panic!("{title}"));
            println!("{title}: {} bytes and a header of {header}", storage.bytes());
            headers.entry(&row.model).or_default().push((header, &row.quant));
        } else {
            compare_digits(row, &storage, &title);
        }
    }
    for (repository, headers) in headers {
        check_headers(repository, &headers);
    }
}

/// One constant for a repository; what else a header can be where a repository has files of several days.
fn check_headers(repository: &str, headers: &[(u64, &str)]) {
    let sizes: Vec<u64> = headers.iter().map(|row| row.0).collect();
    let of_one_run = !repository.contains("TheBloke") && !repository.starts_with("gpt-oss");
    // A model in two parts has the header of one, cut in two, less what is padding.
    let whole: Vec<u64> =
        headers.iter().filter(|row| !row.1.contains("2 parts")).map(|row| row.0).collect();
    if of_one_run {
        assert!(whole.windows(2).all(|pair| pair[0] == pair[1]), "{repository}: {headers:?}");
    }
    // 32,000 to 201,000 tokens of a tokenizer.
    assert!(sizes.iter().all(|size| (700_000..14_000_000).contains(size)), "{headers:?}");
    let spread = sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
    assert!(spread < 2_000, "{repository}: {headers:?}");
}
