//! From arguments to a scenario, and from a scenario to a verified answer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apportion::error::{Error, printable};
use apportion::files::read_text;
use apportion::hardware::{DeviceKind, Hardware, Link, Spec};
use apportion::memory::{KvType, Load, Staging};
use apportion::model::Model;
use apportion::placement::Record;
use apportion::plan::solver::SolverKind;
use apportion::plan::{self, Formulation, Options};
use apportion::problem::{Objective, Problem};
use apportion::quant::{Override, Scheme, from_config};
use apportion::remedy::{Remedies, remedies};
use apportion::routing::Statistics;
use apportion::runtime::{LayerDevices, NAMES, Profile, SendRule};
use apportion::scenario::{
    Attention, Constraint, ConstraintKind, Current, Granularity, Headroom, Limits, Scenario,
    affinity_of, default_objectives_replicated, parse_devices_max, parse_objectives,
};
pub use apportion::sweep::Found;
use apportion::sweep::answer;
use apportion::units::parse_bytes;

use super::args::{
    AttentionArg, EffortArgs, FormulationArg, GranularityArg, LayerDevicesArg, MachineArgs,
    ModelArgs, QuestionArgs, SendsArg, WishArgs,
};
use super::say;

/// What came of a question.
pub struct Asked {
    pub problem: Problem,
    pub found: Found,
    pub elapsed: Duration,
}

/// Reads what is typed about the model and its use.
pub fn model_facts(args: &ModelArgs) -> Result<(Model, Scheme, Load), Error> {
    let model = model(args)?;
    let scheme = scheme(args, &model)?;
    Ok((model, scheme, load(args)?))
}

/// Reads the model and says what is odd about it.
pub fn model(args: &ModelArgs) -> Result<Model, Error> {
    let model = Model::resolve(&args.model)?;
    for notice in &model.notices {
        say(&format!("note: {}", printable(notice)));
    }
    Ok(model)
}

/// The scheme that was typed, else that of the model's own files, with the overrides.
pub fn scheme(args: &ModelArgs, model: &Model) -> Result<Scheme, Error> {
    let asked = args.quant.as_deref().map(Scheme::parse).transpose()?;
    let scheme = match (asked, &model.found) {
        (Some(asked), _) => asked,
        (None, Some(_)) => Scheme::stored(),
        (None, None) => from_config(&model.published_quantization)?.ok_or_else(|| {
            Error::new("choose the quantization")
                .object(&args.model)
                .expected("--quant NAME")
                .found("a model whose files do not say how they are quantized")
                .hint("`apportion models --quants` lists the names")
        })?,
    };
    let typed = args.quant_override.iter().map(|text| Override::parse(text));
    let mut overrides = scheme.overrides().to_vec();
    overrides.extend(typed.collect::<Result<Vec<_>, _>>()?);
    let scheme = scheme.with_overrides(overrides)?;
    // Sizing by one tensor at a time is cheap, and what it says is worth knowing before a long search.
    for notice in scheme.notices(model)? {
        say(&format!("note: {}", printable(&notice)));
    }
    Ok(scheme)
}

/// The quantizations named, or all that the runtime of `--quant` can hold of this model.
pub fn schemes(names: &[String], args: &ModelArgs, model: &Model) -> Result<Vec<Scheme>, Error> {
    if !names.is_empty() {
        return names.iter().map(|name| Scheme::parse(name)).collect();
    }
    let mut all = scheme(args, model)?.alternatives();
    all.retain(|scheme| scheme.store(model).is_ok());
    Ok(all)
}

/// Reads how the model is used.
pub fn load(args: &ModelArgs) -> Result<Load, Error> {
    Ok(Load {
        context: args.context,
        batch: args.batch,
        kv_type: KvType::parse(&args.kv_type)?,
        staging: args.staging.as_deref().map(Staging::parse).transpose()?,
        runtime: runtime(args.runtime.as_deref(), args.runtime_profile.as_deref())?,
    })
}

/// The profile that is named, or the file's.
pub fn runtime(name: Option<&str>, profile: Option<&Path>) -> Result<Arc<Profile>, Error> {
    let Some(path) = profile else {
        return Profile::shared(name.unwrap_or(NAMES[0]));
    };
    let source = path.display().to_string();
    let text = read_text(path, "read the runtime profile")?;
    let profile = Profile::from_yaml(&text, &source)?;
    match name {
        Some(name) if Profile::shared(name)?.name() != profile.name() => {
            Err(Error::new("use the runtime profile")
                .object(source)
                .expected(format!("rules of `{name}`, as --runtime says"))
                .found(format!("rules of `{}`", profile.name())))
        }
        _ => Ok(Arc::new(profile)),
    }
}

/// Reads the whole question.
pub fn scenario(args: &QuestionArgs) -> Result<Scenario, Error> {
    let model = model(&args.model)?;
    let scheme = scheme(&args.model, &model)?;
    scenario_under(args, model, scheme)
}

/// Reads the whole question but for the model and the quantization.
pub fn scenario_under(
    args: &QuestionArgs,
    model: Model,
    scheme: Scheme,
) -> Result<Scenario, Error> {
    let limits = limits(&args.wishes, &model)?;
    Ok(Scenario {
        objectives: objectives(&args.wishes, &limits)?,
        default_pins: default_pins(&args.wishes),
        limits,
        model,
        scheme,
        load: load(&args.model)?,
        hardware: hardware(&args.machine)?,
        constraints: constraints(&args.wishes)?,
    })
}

/// Reads the machine.
pub fn hardware(args: &MachineArgs) -> Result<Hardware, Error> {
    if let Some(path) = &args.hardware {
        return hardware_file(path);
    }
    let spec = |option: &'static str, kind| {
        move |text: &String| Spec::parse(text, kind).map_err(|error| error.place(option))
    };
    let gpus = args.gpu.iter().map(spec("--gpu", DeviceKind::Gpu));
    let gpus = gpus.collect::<Result<Vec<_>, _>>()?;
    let cpu = args.cpu.as_ref().map(spec("--cpu", DeviceKind::Cpu)).transpose()?;
    let reserve = args.reserve.as_deref().map(parse_bytes).transpose();
    let reserve = reserve.map_err(|error| error.place("--reserve"))?;
    linked(Hardware::from_specs(&gpus, cpu, reserve.unwrap_or(0))?, args.link.as_deref())
}

/// The machine with the link of `--link` between all its devices, if there is one.
pub fn linked(hardware: Hardware, link: Option<&str>) -> Result<Hardware, Error> {
    let link = link.map(Link::parse).transpose().map_err(|error| error.place("--link"))?;
    link.map_or(Ok(hardware.clone()), |link| hardware.with_default_link(link))
}

/// Reads a machine from a file.
pub fn hardware_file(path: &Path) -> Result<Hardware, Error> {
    let text = read_text(path, "read the hardware file")?;
    Hardware::from_yaml(&text, &path.display().to_string())
}

/// Reads pins and forbidden places.
pub fn constraints(args: &WishArgs) -> Result<Vec<Constraint>, Error> {
    let pins = args.pin.iter().map(|text| Constraint::parse(ConstraintKind::Pin, text));
    let forbids = args.forbid.iter().map(|text| Constraint::parse(ConstraintKind::Forbid, text));
    pins.chain(forbids).collect()
}

/// Reads what else is to be respected; `model` is what is placed.
pub fn limits(args: &WishArgs, model: &Model) -> Result<Limits, Error> {
    let headrooms = args.headroom.iter().map(|text| Headroom::parse(text));
    let routing = routing(args)?;
    let (attention, affinity, routing) = match args.attention {
        AttentionArg::Single => (Attention::Single, None, routing),
        AttentionArg::Replicated => (Attention::Replicated, affinity_of(&routing)?, Vec::new()),
    };
    Ok(Limits {
        attention,
        affinity,
        routing,
        headrooms: headrooms.collect::<Result<_, _>>()?,
        devices_max: args.max_devices.as_deref().map(parse_devices_max).transpose()?,
        sends: args.sends.map(sends),
        layer_devices: args.layer_devices.map(layer_devices),
        granularity: match args.granularity {
            GranularityArg::Layer => Granularity::Layer,
            GranularityArg::Experts => Granularity::Experts,
            GranularityArg::FusedMatrix => Granularity::FusedMatrix,
            GranularityArg::Expert => Granularity::Expert,
        },
        current: args.migrate_from.as_deref().map(|path| current(path, model)).transpose()?,
        moved_bytes_max: None,
    })
}

/// The library's word for it.
pub fn sends(arg: SendsArg) -> SendRule {
    match arg {
        SendsArg::PerExpert => SendRule::PerExpert,
        SendsArg::PerDevice => SendRule::PerDevice,
    }
}

/// The library's word for it.
pub fn layer_devices(arg: LayerDevicesArg) -> LayerDevices {
    match arg {
        LayerDevicesArg::Sequential => LayerDevices::Sequential,
        LayerDevicesArg::Concurrent => LayerDevices::Concurrent,
    }
}

/// Reads the statistics that are named: one file, or several for the worst of them.
fn routing(args: &WishArgs) -> Result<Vec<Arc<Statistics>>, Error> {
    let files = args.routing.len();
    let refuse = |expected: &str| Error::new("use --routing").expected(expected);
    if files > 1 && !args.robust {
        return Err(refuse("one file, or --robust")
            .found(format!("{files} files"))
            .hint("with --robust the answer is the best under the worst of them"));
    }
    if files == 1 && args.robust {
        return Err(refuse("several files with --robust")
            .found("one")
            .hint("give --routing once more, or leave --robust out"));
    }
    args.routing.iter().map(|path| Statistics::read(path).map(Arc::new)).collect()
}

/// What is minimised: as typed, else as suits where attention is.
pub fn objectives(args: &WishArgs, limits: &Limits) -> Result<Vec<Objective>, Error> {
    match args.attention {
        AttentionArg::Replicated if args.objective.is_empty() => {
            Ok(default_objectives_replicated(limits.affinity.is_some()))
        }
        _ => parse_objectives(&args.objective),
    }
}

/// Whether what nothing else speaks of is pinned to the first GPU; divided experts are not.
pub fn default_pins(args: &WishArgs) -> bool {
    !args.free_default_pins && args.attention == AttentionArg::Single
}

/// Refuses what has a meaning only where each layer's attention has one home.
pub fn single_only(args: &WishArgs, given: &[(&str, bool)]) -> Result<(), Error> {
    let given = given.iter().find(|(_, given)| *given && args.attention != AttentionArg::Single);
    given.map_or(Ok(()), |(what, _)| {
        Err(Error::new("use")
            .object(*what)
            .expected("attention with one home per layer")
            .found("--attention replicated")
            .hint("`solve`, `compare`, `fit` and `check` know it, without integer programs or traffic"))
    })
}

/// What is where now, by a placement file of the same model.
fn current(path: &Path, model: &Model) -> Result<Current, Error> {
    let source = path.display().to_string();
    let text = read_text(path, "read the placement")?;
    Record::from_yaml(&text, &source, Some(model))?.current_of(model, &source)
}

/// Reads how hard to try.
pub fn options(args: &EffortArgs) -> Result<Options, Error> {
    Ok(Options {
        formulation: formulation(args.formulation),
        solver: SolverKind::parse(&args.solver).map_err(|error| error.place("--solver"))?,
        node_limit: args.node_limit,
        time_limit: args.time_limit.as_deref().map(parse_time_limit).transpose()?,
    })
}

/// The library's word for it.
pub fn formulation(arg: FormulationArg) -> Formulation {
    match arg {
        FormulationArg::Counts => Formulation::Counts,
        FormulationArg::Textbook => Formulation::Textbook,
    }
}

fn parse_time_limit(text: &str) -> Result<Duration, Error> {
    // A year: far from where clocks overflow, and as good as none.
    const SECONDS_MAX: u64 = 366 * 24 * 3600;
    let limit = text.trim().parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    let sensible = |limit: &Duration| !limit.is_zero() && limit.as_secs() <= SECONDS_MAX;
    limit.filter(sensible).ok_or_else(|| {
        Error::new("use --time-limit")
            .object(text)
            .expected(format!("seconds above 0 and up to {SECONDS_MAX}"))
    })
}

/// Runs `work` on as many threads as were asked for.
pub fn on_threads<T: Send>(
    threads: Option<u64>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    const THREADS_MAX: usize = 1024;
    let Some(threads) = threads else { return work() };
    let refuse = || Error::new("use --threads").object(threads.to_string());
    let count = usize::try_from(threads).ok().filter(|count| (1..=THREADS_MAX).contains(count));
    let count = count.ok_or_else(|| refuse().expected(format!("1 to {THREADS_MAX}")))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
    pool.map_err(|error| refuse().found(error.to_string()))?.install(work)
}

/// States, solves and verifies.
pub fn ask(scenario: &Scenario, options: &Options) -> Result<Asked, Error> {
    let problem = scenario.problem()?;
    let started = Instant::now();
    let found = answer(&problem, options)?;
    Ok(Asked { problem, found, elapsed: started.elapsed() })
}

/// What would help, each checked by asking again; together they get what solving left of a time limit.
pub fn ways_out(scenario: &Scenario, options: &Options, solved_in: Duration) -> Remedies {
    let time_left = options.time_limit.map(|limit| limit.saturating_sub(solved_in));
    let started = Instant::now();
    let undecided = AtomicBool::new(false);
    let feasible = |problem: &Problem| {
        let time_limit = time_left.map(|left| left.saturating_sub(started.elapsed()));
        let options = Options { time_limit, ..options.clone() };
        let answer = plan::is_feasible(problem, &options).ok().flatten();
        // What cannot be decided within the limits is not offered, but said.
        if answer.is_none() {
            undecided.store(true, Ordering::Relaxed);
        }
        answer == Some(true)
    };
    let remedies = remedies(scenario, &feasible);
    Remedies { undecided: undecided.into_inner(), ..remedies }
}
