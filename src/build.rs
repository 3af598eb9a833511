//! Lists the family templates in `models/`, so that adding one is adding a file.
//!
//! The generated array holds each file's name and text; nothing is interpreted here.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let models = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("models");
    println!("cargo::rerun-if-changed=models");
    println!("cargo::rerun-if-changed=src/build.rs");
    let mut files = Vec::new();
    for entry in fs::read_dir(&models)? {
        let name =
            entry?.file_name().into_string().map_err(|name| format!("{}", name.display()))?;
        if Path::new(&name).extension().is_some_and(|e| e == "yaml") && name != "catalogue.yaml" {
            files.push(name);
        }
    }
    // The order of a directory listing differs between file systems.
    files.sort();
    let mut code = String::from("&[\n");
    for name in files {
        let path = format!("/models/{name}");
        writeln!(
            code,
            "({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),"
        )?;
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("family_files.rs"), code)?;
    Ok(())
}
