//! The loop with a model whose next token is known.

use std::cell::Cell;

use super::*;

const CONTEXT: usize = 600;
const VOCABULARY: usize = 1000;

/// After token n comes n + 1; every pass moves one activation of four bytes per token, and costs a second.
#[derive(Default)]
struct Counting<'a> {
    sequence: Vec<u32>,
    passes: Vec<usize>,
    resets: usize,
    seconds: Option<&'a Cell<u64>>,
    stop_at_pass: Option<(usize, &'a AtomicBool)>,
}

impl Runs for Counting<'_> {
    fn forward(&mut self, sequence: usize, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        assert_eq!(sequence, 0);
        assert!(self.sequence.len() + tokens.len() <= CONTEXT, "more than there is room for");
        self.sequence.extend(tokens);
        self.passes.push(tokens.len());
        if let Some(seconds) = self.seconds {
            seconds.set(seconds.get() + 1);
        }
        if let Some((_, stop)) = self.stop_at_pass.filter(|(at, _)| *at == self.passes.len()) {
            stop.store(true, Ordering::Relaxed);
        }
        let mut logits = vec![0.0; VOCABULARY];
        let next = (usize::try_from(*tokens.last().unwrap()).unwrap() + 1) % VOCABULARY;
        logits[next] = 1.0;
        Ok(logits)
    }

    fn reset(&mut self, sequence: usize) {
        assert_eq!(sequence, 0);
        self.resets += 1;
        self.sequence.clear();
    }

    fn context(&self) -> usize {
        CONTEXT
    }

    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn transfers(&self) -> Transfers {
        let count = self.passes.iter().sum::<usize>() as u64;
        Transfers { copies: count, activations: count, bytes: 4 * count }
    }
}

fn request(prompt: &[u32], max_tokens: usize) -> Request<'_> {
    Request { prompt, max_tokens, sampling: Sampling::default(), last_tokens: &[] }
}

/// What is generated, and what was told on the way.
fn run(model: &mut Counting<'_>, request: &Request<'_>) -> Result<(Generated, Vec<u32>), Error> {
    run_until(model, request, &AtomicBool::new(false))
}

fn run_until(
    model: &mut Counting<'_>,
    request: &Request<'_>,
    stop: &AtomicBool,
) -> Result<(Generated, Vec<u32>), Error> {
    let mut told = Vec::new();
    let mut on_token = |token| {
        told.push(token);
        Ok(())
    };
    let seconds = model.seconds;
    let clock = || Duration::from_secs(seconds.map_or(0, Cell::get));
    let mut hooks = Hooks { stop, clock: &clock, on_token: &mut on_token };
    let generated = generate(model, request, &mut hooks)?;
    Ok((generated, told))
}

#[test]
fn tokens_come_one_by_one_until_there_are_enough() {
    let seconds = Cell::new(5);
    let mut model = Counting { seconds: Some(&seconds), ..Counting::default() };
    let (generated, told) = run(&mut model, &request(&[7, 8], 4)).unwrap();
    assert_eq!(generated.tokens, [9, 10, 11, 12]);
    assert_eq!(told, generated.tokens);
    assert_eq!(generated.ended, Ended::MaxTokens);
    assert_eq!(model.sequence, [7, 8, 9, 10, 11], "the last token is not read");
    let work = |tokens: usize, seconds| {
        let count = tokens as u64;
        let transfers = Transfers { copies: count, activations: count, bytes: 4 * count };
        Work { tokens, elapsed: Duration::from_secs(seconds), transfers }
    };
    assert_eq!((generated.prefill, generated.decode), (work(2, 1), work(3, 3)));
}

#[test]
fn a_long_prompt_goes_through_in_parts() {
    let prompt: Vec<u32> = (0..600).collect();
    let mut model = Counting::default();
    let (generated, _) = run(&mut model, &request(&prompt, 9)).unwrap();
    assert_eq!(model.passes, [512, 88]);
    assert_eq!((generated.tokens, generated.ended), (vec![600], Ended::ContextFull));
}

#[test]
fn the_context_may_be_filled_to_the_last_token() {
    let prompt: Vec<u32> = (0..598).collect();
    let mut model = Counting::default();
    let (generated, _) = run(&mut model, &request(&prompt, 9)).unwrap();
    assert_eq!(generated.tokens, [598, 599, 600]);
    assert_eq!((model.sequence.len(), generated.ended), (CONTEXT, Ended::ContextFull));
}

#[test]
fn the_models_own_end_ends_it_and_is_kept() {
    let mut model = Counting::default();
    let request = Request { last_tokens: &[500, 11], ..request(&[8], 99) };
    let (generated, _) = run(&mut model, &request).unwrap();
    assert_eq!((generated.tokens, generated.ended), (vec![9, 10, 11], Ended::EndOfText));
}

#[test]
fn no_token_is_made_when_none_is_asked_for() {
    let mut model = Counting::default();
    let (generated, told) = run(&mut model, &request(&[8], 0)).unwrap();
    assert_eq!((generated.tokens.len(), told.len(), generated.ended), (0, 0, Ended::MaxTokens));
    assert_eq!(generated.prefill.tokens, 1);
}

#[test]
fn it_stops_after_the_token_or_part_it_is_at() {
    let stop = AtomicBool::new(false);
    let mut model = Counting { stop_at_pass: Some((3, &stop)), ..Counting::default() };
    let (generated, _) = run_until(&mut model, &request(&[8], 99), &stop).unwrap();
    assert_eq!((generated.tokens, generated.ended), (vec![9, 10, 11], Ended::Stopped));

    let stop = AtomicBool::new(false);
    let prompt: Vec<u32> = (0..600).collect();
    let mut model = Counting { stop_at_pass: Some((1, &stop)), ..Counting::default() };
    let (generated, _) = run_until(&mut model, &request(&prompt, 99), &stop).unwrap();
    assert_eq!((generated.tokens.len(), generated.ended), (0, Ended::Stopped));
    assert_eq!((generated.prefill.tokens, model.passes.len()), (512, 1));
}

#[test]
fn what_cannot_be_run_is_refused_before_any_work() {
    let long: Vec<u32> = vec![1; 601];
    for (prompt, words) in [
        (&[][..], "expected a token at least, found none"),
        (&[1, 1000], "at token 2 of 2: expected a number from 0 to 999, found 1000"),
        (&[u32::MAX], "found 4294967295"),
        (&long, "expected at most 600 tokens, the context that was planned for, found 601 tokens"),
    ] {
        let mut model = Counting::default();
        let message = run(&mut model, &request(prompt, 5)).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
        assert_eq!((model.passes.len(), model.resets), (0, 0));
    }
    let sampling = Sampling { temperature: -1.0, ..Sampling::default() };
    let mut model = Counting::default();
    assert!(run(&mut model, &Request { sampling, ..request(&[1], 5) }).is_err());
    assert_eq!(model.passes.len(), 0);
}

#[test]
fn an_error_of_the_listener_ends_it() {
    let stop = AtomicBool::new(false);
    let mut model = Counting::default();
    let mut on_token = |_| Err(Error::new("write"));
    let mut hooks = Hooks { stop: &stop, clock: &|| Duration::ZERO, on_token: &mut on_token };
    assert!(generate(&mut model, &request(&[1], 5), &mut hooks).is_err());
    assert_eq!(model.passes.len(), 1);
}

#[test]
fn a_text_is_read_in_sequences_of_a_chunk() {
    let tokens: Vec<u32> = (0..900).collect();
    let stop = AtomicBool::new(false);
    let mut model = Counting::default();
    let mut parts = Vec::new();
    let mut on_part = |tokens| parts.push(tokens);
    assert_eq!(read(&mut model, &tokens, 600, &stop, &mut on_part).unwrap(), 900);
    assert_eq!((&model.passes, model.resets), (&vec![512, 88, 300], 2));
    assert_eq!(parts, model.passes);
    assert_eq!(model.sequence, (600..900).collect::<Vec<_>>());
    for chunk in [0, 601] {
        let message = read(&mut model, &tokens, chunk, &stop, &mut |_| ()).unwrap_err();
        assert!(message.to_string().contains("chunks of 1 to 600 tokens"));
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(read(&mut model, &tokens, 600, &stop, &mut |_| ()).unwrap(), 0);
}
