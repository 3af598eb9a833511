//! What `completions`, `man` and `schema` read.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::OutputArgs;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion completions bash > /etc/bash_completion.d/apportion
  apportion completions zsh > \"${fpath[1]}/_apportion\"
  apportion completions fish > ~/.config/fish/completions/apportion.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion man solve | man -l -
  apportion man -o ~/.local/share/man/man1")]
pub struct ManArgs {
    /// The command whose page goes to stdout [default: the program's own]
    #[arg(conflicts_with = "output")]
    pub command: Option<String>,
    /// Write all pages into this folder and list them
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  apportion schema
  apportion schema placement > placement.schema.json

Editors with the YAML language server check a file that begins with
  # yaml-language-server: $schema=placement.schema.json")]
pub struct SchemaArgs {
    /// The file format [default: list all]
    pub format: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}
