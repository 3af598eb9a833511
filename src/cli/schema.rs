//! `apportion schema`: what the files look like, for editors.

use apportion::error::Error;
use apportion::report::{Align, Table};
use apportion::schema::{self, FORMATS};
use serde_json::json;

use super::Answer;
use super::args::SchemaArgs;

/// One schema, or the list of formats.
pub fn run(args: &SchemaArgs) -> Result<Answer, Error> {
    if let Some(name) = &args.format {
        return Ok(Answer::new(schema::format(name)?.schema.to_owned(), true));
    }
    if args.output.json {
        let formats = FORMATS.iter().map(
            |format| json!({"name": format.name, "about": format.about, "lines": format.lines}),
        );
        return Ok(Answer::json(&json!({"formats": formats.collect::<Vec<_>>()}), true));
    }
    let mut table = Table::new(&[("format", Align::Left), ("what", Align::Left)]);
    for format in FORMATS {
        let each = if format.lines { " (of each line)" } else { "" };
        table.row([format.name.to_owned(), format!("{}{each}", format.about)]);
    }
    Ok(Answer::new(table.render(), true))
}
