//! `apportion check` of a migration plan: everything moved again.

use apportion::error::{Error, printable};
use apportion::migrate::Plan;
use apportion::model::Model;
use apportion::report;
use serde_json::json;

use super::Answer;
use super::args::CheckArgs;

/// Reads the plan, replays it, and says what differs.
pub fn run(args: &CheckArgs, text: &str, source: &str) -> Result<Answer, Error> {
    if args.certificate.is_some() {
        return Err(Error::new("check the plan")
            .object(source)
            .expected("a placement beside --certificate")
            .found("a migration plan")
            .hint("check the placement it leads to"));
    }
    let model = args.model().map(Model::resolve).transpose()?;
    let plan = Plan::from_yaml(text, source, model.as_ref())?;
    let other = model.filter(|model| model.fingerprint != plan.to.scenario.model.fingerprint);
    let replayed = plan.replay();
    let mut wrong = match &replayed {
        Ok(replayed) => plan.differences(replayed),
        Err(wrong) => vec![wrong.clone()],
    };
    wrong.extend(other.map(|model| format!("model: the plan is of another than `{}`", model.name)));
    let valid = wrong.is_empty();
    if args.output.json {
        let plan = replayed.ok().map(|replayed| report::migration_json(&plan, &replayed));
        let status = if valid { "valid" } else { "refused" };
        let value = json!({ "status": status, "differences": wrong, "plan": plan });
        return Ok(Answer::json(&value, valid));
    }
    let name = printable(source);
    Ok(match replayed {
        Ok(replayed) if valid => {
            let moves = report::migration(&plan, &replayed);
            Answer::new(
                format!("valid: `{name}`, every step replayed within the limits\n\n{moves}"),
                true,
            )
        }
        _ => {
            let lines = wrong.iter().map(|line| format!("  {}\n", printable(line)));
            Answer::new(format!("refused: `{name}`\n{}", lines.collect::<String>()), false)
        }
    })
}
