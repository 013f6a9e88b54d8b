//! What a job without the option pays, and what slurmstepd takes.

use crate::book::{Book, Contestant};
use crate::page::Section;
use crate::run::{Missing, figures, output};
use crate::stage::{ON_OTHER, Stage, script};

pub const WITH: &str = "`srun true` with the plugin";
pub const WITHOUT: &str = "`srun true` without the plugin";
pub const THREADS_WITHOUT: &str = "plain job, without the plugin: threads";
pub const THREADS_PLAIN: &str = "plain job: threads";
const THREADS_POD: &str = "job in a Pod: threads";
pub const RSS_WITHOUT: &str = "plain job, without the plugin: all memory";
const RSS_PLAIN: &str = "plain job: all memory";
pub const RSS_POD: &str = "job in a Pod: all memory";
const OWN_WITHOUT: &str = "plain job, without the plugin: private memory";
const OWN_PLAIN: &str = "plain job: private memory";
const OWN_POD: &str = "job in a Pod: private memory";

pub fn measure(book: &mut Book, stage: &Stage, rounds: u32) {
    let image = format!("--k8s-image={}", stage.userland);
    let contestants = vec![
        Contestant::new(&[WITH, WITHOUT, THREADS_WITHOUT, RSS_WITHOUT, OWN_WITHOUT], || {
            let [with, without, threads, rss, own] = figures(&output(ON_OTHER, &[&script("without.sh")])?)?;
            Ok(vec![with / 1e3, without / 1e3, threads, rss / 1024.0, own / 1024.0])
        }),
        Contestant::new(&[THREADS_PLAIN, RSS_PLAIN, OWN_PLAIN], || footprint(&[])),
        Contestant::new(&[THREADS_POD, RSS_POD, OWN_POD], || footprint(&[&image])),
    ];
    book.take_turns("the plugin's cost", rounds, contestants);
}

fn footprint(options: &[&str]) -> Result<Vec<f64>, Missing> {
    let text = output(ON_OTHER, &[&[&*script("footprint.sh")], options].concat())?;
    let [threads, rss, own] = figures(&text)?;
    Ok(vec![threads, rss / 1024.0, own / 1024.0])
}

pub fn sections() -> [Section; 3] {
    let section = |title, how: &str, unit, ratio, labels| Section { title, how: how.to_owned(), unit, ratio, labels };
    [
        section(
            "A job without the option",
            "On the second node, in turn with and without the plugin's line in plugstack.conf.d, which srun and each \
             slurmstepd read anew.",
            "ms",
            Some(("of without", WITHOUT)),
            vec![WITH, WITHOUT],
        ),
        section(
            "Threads of slurmstepd",
            "Of a sleeping batch job. \"Without the plugin\": its line was taken out of plugstack.conf.d.",
            "",
            None,
            vec![THREADS_WITHOUT, THREADS_PLAIN, THREADS_POD],
        ),
        section(
            "Memory of slurmstepd",
            "Of the same jobs, from /proc. All: VmRSS, of which the pages of programs and libraries are shared by all \
             slurmstepds of a node. Private: RssAnon.",
            "MiB",
            None,
            vec![RSS_WITHOUT, RSS_PLAIN, RSS_POD, OWN_WITHOUT, OWN_PLAIN, OWN_POD],
        ),
    ]
}
