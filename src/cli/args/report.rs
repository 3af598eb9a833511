//! What `report` reads and draws.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OutputArgs;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion report placement.yaml -o map.html
  apportion report placement.yaml -o map.svg
  apportion report placement.yaml --format svg > map.svg

Exit status: 0 drawn, 1 the placement is refused (nothing is drawn), 2 bad input.")]
pub struct ReportArgs {
    /// A placement file written by `solve -o`; it is verified first
    pub placement: PathBuf,
    /// The checkpoint that the placement was solved for, where its bytes are those of its headers; another
    /// model is refused
    #[arg(long, value_name = "FILES")]
    pub model: Option<String>,
    /// What to draw [default: as the name of the file ends, else html]
    #[arg(long, value_enum, value_name = "KIND", help_heading = "Output")]
    pub format: Option<PictureArg>,
    /// Write the picture to this file instead of to stdout; its name ends in .html or .svg
    #[arg(short, long = "output", value_name = "FILE", help_heading = "Output")]
    pub output_file: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Kinds of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PictureArg {
    /// A page that needs nothing else
    Html,
    /// One picture: memory and map
    Svg,
}
