//! `apportion man`: the help as pages for `man`.

use apportion::error::Error;
use apportion::files::{make_folder, write_atomically};
use clap::{Command, CommandFactory};

use super::Answer;
use super::args::{Cli, ManArgs};

/// One page to stdout, or all of them into a folder.
pub fn run(args: &ManArgs) -> Result<Answer, Error> {
    // Sub-commands get their full names and the options that all share.
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let Some(folder) = &args.output else {
        let page = match &args.command {
            None => page(&root),
            Some(name) => {
                let found = root.get_subcommands().find(|command| command.get_name() == name);
                let names: Vec<&str> = root.get_subcommands().map(Command::get_name).collect();
                page(found.ok_or_else(|| {
                    Error::new("write the manual page")
                        .object(name)
                        .expected("the name of a command")
                        .hint(format!("the commands are {}", names.join(", ")))
                })?)
            }
        };
        return Ok(Answer::new(page?, true));
    };
    make_folder(folder)?;
    let mut names = Vec::new();
    for command in std::iter::once(&root).chain(root.get_subcommands()) {
        let name = format!("{}.1", title(command));
        write_atomically(&folder.join(&name), &page(command)?)?;
        names.push(name);
    }
    Ok(Answer::new(names.join("\n") + "\n", true))
}

/// `apportion-solve`.
fn title(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn page(command: &Command) -> Result<String, Error> {
    let mut page = Vec::new();
    let failed =
        |e: &dyn std::fmt::Display| Error::new("write the manual page").found(e.to_string());
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(|e| failed(&e))?;
    String::from_utf8(page).map_err(|e| failed(&e))
}
