//! `slurm-k8s validate`: what sbatch, slurmctld and the nodes would say of a script, before it is submitted.

mod asking;
mod image;
mod input;
mod output;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use slurm_k8s_core::config::Config;
use slurm_k8s_core::finding::{Finding, Severity};
use slurm_k8s_core::image::ImageRef;
use slurm_k8s_core::judge::{self, Submission};
use slurm_k8s_core::option::{IMAGE, JobOptions, Pull};
use slurm_k8s_core::script::{self, amount, form, sbatch};
use slurm_k8s_core::{Place, profile};

use crate::style::Style;
use input::{InputError, Script, Site};

/// For wrong arguments, as clap has it, and for files that cannot be read.
const UNUSABLE: u8 = 2;

/// What is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 if there is no error, 1 if there is one, 2 if a file cannot be read. \
                        SLURM_K8S_* and SBATCH_* in the environment count, as for sbatch.")]
pub struct Arguments {
    /// Batch scripts; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Ask the registries whether the images are there
    #[arg(long)]
    check_image: bool,
    /// Don't ask Slurm about partitions and resources
    #[arg(long)]
    no_slurm: bool,
    /// The site's configuration [default: /etc/slurm/k8s.toml if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A script, and what is said about it.
pub struct Report {
    /// The file as it was named.
    pub file: String,
    /// By place.
    pub findings: Vec<Finding>,
    /// The images of its Pods.
    pub images: Vec<String>,
}

impl Report {
    fn has_error(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }

    /// How many findings are this bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.kind.severity == severity).count()
    }

    /// The findings as they are printed.
    pub fn text(&self) -> String {
        output::lines(self, Style::Plain)
    }
}

/// Whose job it would be, and what is in its environment.
struct Submitter<'a> {
    uid: u32,
    variable: &'a dyn Fn(&str) -> Option<OsString>,
}

/// What can be said of another user's script, submitted without any options or variables.
pub fn of_owner(config: &Config, name: String, script: &[u8], uid: u32) -> Report {
    let script = Script { name, bytes: script.to_vec() };
    let submitter = Submitter { uid, variable: &|_| None };
    let (mut report, _) = of_script(&Site::of(config.clone()), &script, &submitter);
    report.findings.sort_by_key(Finding::order);
    report
}

/// Validates each file.
pub async fn run(arguments: &Arguments) -> Result<ExitCode, InputError> {
    let site = Site::read(arguments.config.as_deref())?;
    let mut slurm = asking::Slurm::new(!arguments.no_slurm);
    let mut registries = arguments.check_image.then(|| image::Registries::new(&site));
    let mut reports = Vec::new();
    let me = Submitter { uid: rustix::process::getuid().as_raw(), variable: &|name| std::env::var_os(name) };
    for file in &arguments.files {
        let script = Script::read(file)?;
        let (mut report, images) = of_script(&site, &script, &me);
        if let Some(registries) = &mut registries {
            for wanted in images {
                report.findings.extend(registries.check(&wanted).await);
            }
        }
        report.findings.extend(slurm.check(&script.bytes, report.has_error()).await);
        report.findings.sort_by_key(Finding::order);
        reports.push(report);
    }
    let failed = reports.iter().any(Report::has_error);
    if arguments.json {
        output::json(&reports);
    } else {
        output::text(&reports, Style::of(std::io::stdout().is_terminal()));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// An error's exit code.
pub fn unusable() -> ExitCode {
    ExitCode::from(UNUSABLE)
}

/// An image that a Pod of the script would have.
struct Wanted {
    image: ImageRef,
    place: Option<Place>,
}

/// What can be said without asking anybody.
fn of_script(site: &Site, script: &Script, submitter: &Submitter<'_>) -> (Report, Vec<Wanted>) {
    let mut report = Report { file: script.name.clone(), findings: Vec::new(), images: Vec::new() };
    let mut wanted = Vec::new();
    for (place, error) in form::check(&script.bytes) {
        report.findings.push(judge::of_form(place, error));
    }
    report.findings.extend(site.finding());
    for component in 0..script::components(&script.bytes) {
        let (words, mut faults) = sbatch::arguments(&script.bytes, component);
        let (given, more) = sbatch::options(&words);
        faults.extend(more);
        report.findings.extend(faults.iter().map(|(place, error)| judge::of_sbatch(*place, error)));
        if component > 0 && given.values().next().is_none() {
            continue;
        }
        let judged = judge::judge(&Submission {
            script: &script.bytes,
            component,
            given: &given,
            variable: submitter.variable,
            config: site.config.as_ref(),
            uid: submitter.uid,
        });
        wanted.extend(image_of(site, &judged.options));
        if let Some(config) = site.config.as_ref().filter(|_| judged.options.wants_pod()) {
            let has = |what| amount::has(&words, submitter.variable, what);
            report.findings.extend(judge::of_requirement(config, has));
            report.findings.extend(judge::of_amount(config, &judged.options, &amount::of(&words)));
        }
        // What has no place is about all components.
        let new = judged.findings.into_iter().filter(|finding| !report.findings.contains(finding)).collect::<Vec<_>>();
        report.findings.extend(new);
    }
    report.findings.extend(judge::of_components(&script.bytes));
    report.findings.extend(script::late(&script.bytes).iter().map(|(place, error)| judge::of_line(*place, error)));
    report.images.extend(wanted.iter().map(|wanted| wanted.image.to_string()));
    (report, wanted)
}

fn image_of(site: &Site, options: &JobOptions) -> Option<Wanted> {
    let resolved = site.config.as_ref().and_then(|config| profile::resolve(config, options).ok());
    let options = resolved.map_or_else(|| options.clone(), |(options, _)| options);
    if !options.wants_pod() || options.pull() == Some(Pull::Never) {
        return None;
    }
    let place = options.given(IMAGE).and_then(|given| given.origin.place());
    options.image().map(|image| Wanted { image: image.clone(), place })
}
