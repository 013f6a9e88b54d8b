//! What a job without the option pays, and what slurmstepd takes.

use crate::book::{Book, Contestant};
use crate::page::Section;
use crate::parameters::Parameters;
use crate::run::{Missing, figures, output};
use crate::stage::{NAME, ON_OTHER, PLUGIN_LINE, Stage, script, when_idle};

const WITH: &str = "`srun true` in an allocation, with the plugin";
const WITHOUT: &str = "`srun true` in an allocation, without the plugin";
pub const LONGER: &str = "how much longer it takes with the plugin, turn by turn";
const NOISE: &str = "noise: the same between two with the plugin";
pub const THREADS_WITHOUT: &str = "plain job, without the plugin: threads";
pub const THREADS_PLAIN: &str = "plain job: threads";
const THREADS_POD: &str = "job in a Pod: threads";
pub const RSS_WITHOUT: &str = "plain job, without the plugin: all memory";
const RSS_PLAIN: &str = "plain job: all memory";
pub const RSS_POD: &str = "job in a Pod: all memory";
const OWN_WITHOUT: &str = "plain job, without the plugin: private memory";
const OWN_PLAIN: &str = "plain job: private memory";
const OWN_POD: &str = "job in a Pod: private memory";

pub fn measure(book: &mut Book, stage: &Stage, asked: &Parameters) {
    eprintln!("a plain step: {} turns", asked.plain_steps);
    plain_steps(book, asked.plain_steps);
    let image = format!("--k8s-image={}", stage.userland);
    let (hide, footprints) = (script("hide.sh"), script("footprint.sh"));
    let contestants = vec![
        Contestant::new(&[THREADS_WITHOUT, RSS_WITHOUT, OWN_WITHOUT], || footprint(&[&hide, PLUGIN_LINE, &footprints])),
        Contestant::new(&[THREADS_PLAIN, RSS_PLAIN, OWN_PLAIN], || footprint(&[&footprints])),
        Contestant::new(&[THREADS_POD, RSS_POD, OWN_POD], || footprint(&[&footprints, &image])),
    ];
    book.take_turns("slurmstepd", asked.memory_rounds, contestants);
}

fn plain_steps(book: &mut Book, turns: u32) {
    let salloc = ["salloc", "--quiet", "--job-name", NAME, "--nodelist", ON_OTHER.host, "--exclusive", "--chdir=/tmp"];
    let (script, turns) = (script("plain_steps.sh"), turns.to_string());
    let argv = [&salloc[..], &[&script, PLUGIN_LINE, &turns]].concat();
    let labels = [WITH, WITHOUT, LONGER, NOISE];
    let turn = |line| {
        let [with, without, again] = figures(line)?;
        Ok([with, without, with - without, with - again].map(|us| us / 1e3).to_vec())
    };
    match when_idle().and_then(|()| output(ON_OTHER, &argv)) {
        Ok(text) => text.lines().for_each(|line| book.note(&labels, turn(line))),
        Err(missing) => book.note(&labels, Err(missing)),
    }
}

fn footprint(argv: &[&str]) -> Result<Vec<f64>, Missing> {
    let [threads, rss, own] = figures(&output(ON_OTHER, argv)?)?;
    Ok(vec![threads, rss / 1024.0, own / 1024.0])
}

pub fn sections() -> [Section; 3] {
    let section = |title, how: &str, unit, labels| Section { title, how: how.to_owned(), unit, ratio: None, labels };
    [
        section(
            "A job without the option",
            "Steps in an allocation, so that no scheduler has a part, with and without the plugin's line in plugstack.conf.d, \
             which srun and each slurmstepd read anew. A turn is three steps: with, without, and with it again for the noise.",
            "ms",
            vec![WITH, WITHOUT, LONGER, NOISE],
        ),
        section(
            "Threads of slurmstepd",
            "Of a sleeping batch job. \"Without the plugin\": its line was taken out of plugstack.conf.d.",
            "",
            vec![THREADS_WITHOUT, THREADS_PLAIN, THREADS_POD],
        ),
        section(
            "Memory of slurmstepd",
            "Of the same jobs, from /proc. All: VmRSS, of which the pages of programs and libraries are shared by all \
             slurmstepds of a node. Private: RssAnon.",
            "MiB",
            vec![RSS_WITHOUT, RSS_PLAIN, RSS_POD, OWN_WITHOUT, OWN_PLAIN, OWN_POD],
        ),
    ]
}
