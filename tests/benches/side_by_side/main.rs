//! `make bench`: spank-k8s and its peers on the same work, measured side by side on the running testbed.
//!
//! The contestants take turns, so that a slow moment of the machine meets all of them. What could not be measured is shown
//! as such. Prints the page that it writes to `docs/performance.md`. How many turns: see `parameters.rs`.

mod api;
mod book;
mod cost;
mod goals;
mod job;
mod latency;
mod life;
mod machine;
mod page;
mod parameters;
mod rate;
mod run;
mod stage;
mod stream;
mod table;
mod watch;

use std::process::ExitCode;

use book::Book;
use parameters::Parameters;

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benches too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Box<dyn std::error::Error>> {
    let parameters = Parameters::from_environment()?;
    let stage = stage::Stage::set()?;
    let machine = machine::describe();
    let mut book = Book::default();
    let jobs = latency::measure(&mut book, &stage, parameters.rounds);
    let verbs = api::measure(&mut book, &stage, &jobs);
    stream::measure(&mut book, &stage, &parameters);
    cost::measure(&mut book, &stage, &parameters);
    rate::measure(&mut book, &stage, &parameters);
    // If the testbed has gone meanwhile, there is no page.
    stage::when_idle()?;
    drop(stage);
    let mut sections = vec![latency::section()];
    sections.extend(life::sections());
    sections.extend(stream::sections());
    sections.push(api::section(&verbs));
    sections.extend(cost::sections());
    sections.extend(rate::sections(&parameters));
    let text = page::page(&goals::goals(&book), &book, &sections, &machine, &parameters);
    print!("{text}");
    std::fs::write(&parameters.page, text)?;
    Ok(())
}
