//! What the design promises, and whether this run has it.

use crate::book::Book;
use crate::table::shown;
use crate::{api, cost, latency, life, rate, stream};

/// A promise and what was measured.
pub struct Goal {
    what: &'static str,
    measured: Option<f64>,
    unit: &'static str,
    reached: fn(f64) -> bool,
}

impl Goal {
    /// As a row of the page.
    pub fn row(&self) -> Vec<String> {
        let (measured, reached) = match self.measured {
            Some(value) => (shown(self.measured) + self.unit, if (self.reached)(value) { "yes" } else { "no" }),
            None => (String::new(), "not measured"),
        };
        vec![self.what.to_owned(), measured, reached.to_owned()]
    }
}

/// All of them.
pub fn goals(book: &Book) -> Vec<Goal> {
    let median = |label: &str| book.get(label).median();
    let with = |one: &str, two: &str, act: fn(f64, f64) -> f64| Some(act(median(one)?, median(two)?));
    let ratio = |one, two| with(one, two, |one, two| one / two);
    let more = |one, two| with(one, two, |one, two| one - two);
    let lesser = |one: Option<f64>, two: Option<f64>| one.zip(two).map(|(one, two)| one.min(two));
    let goal = |what, measured, unit, reached| Goal { what, measured, unit, reached };
    vec![
        goal(
            "a command in a Pod is at least 6 times faster than by `kubectl run`",
            ratio(latency::RUN, latency::OURS),
            " times",
            |value| value >= 6.0,
        ),
        goal(
            "it takes at most 1.4 times what the kubelet needs for a plain Pod",
            ratio(latency::OURS, latency::KUBELET),
            " times",
            |value| value <= 1.4,
        ),
        goal("Slurm knows the command's end after at most 10 ms", median(life::OURS_ENDED), " ms", |value| {
            value <= 10.0
        }),
        goal(
            "output is at least 0.9 times as fast as plain `srun`'s, by default (`tee`)",
            lesser(ratio(stream::FILE_TEE, stream::FILE_PLAIN), ratio(stream::PIPE_TEE, stream::PIPE_PLAIN)),
            " times",
            |value| value >= 0.9,
        ),
        goal(
            "the same with `--k8s-io=direct`",
            lesser(ratio(stream::FILE_DIRECT, stream::FILE_PLAIN), ratio(stream::PIPE_DIRECT, stream::PIPE_PLAIN)),
            " times",
            |value| value >= 0.9,
        ),
        goal("a job makes at most 3 requests to the API server", median(api::OURS), "", |value| value <= 3.0),
        goal(
            "a step without the option takes at most 1 ms longer than without the plugin",
            median(cost::LONGER),
            " ms",
            |value| value <= 1.0,
        ),
        goal("and has no thread more", more(cost::THREADS_PLAIN, cost::THREADS_WITHOUT), "", |value| value <= 0.0),
        goal(
            "slurmstepd takes at most 12 MiB more for a job in a Pod",
            more(cost::RSS_POD, cost::RSS_WITHOUT),
            " MiB",
            |value| value <= 12.0,
        ),
        goal(
            "back to back, at least 3 times the jobs per minute of the site's guide",
            ratio(rate::OURS, rate::SEED),
            " times",
            |value| value >= 3.0,
        ),
        goal("the same for steps in an allocation", ratio(rate::OURS_STEPS, rate::SEED_STEPS), " times", |value| {
            value >= 3.0
        }),
    ]
}
