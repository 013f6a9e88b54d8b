//! A batch script and what was given with it, judged: the same for `slurm-k8s validate`, for slurmctld at submit, and for
//! whoever submits scripts in a user's place.

use std::ffi::OsString;

use crate::config::{Config, Requirement};
use crate::finding::{self, Finding, Kind};
use crate::limit::Amount;
use crate::option::{Given, IMAGE, JobOptions, OptionError, Origin, PROFILE, SCRIPT};
use crate::script::form::FormError;
use crate::script::sbatch::SbatchError;
use crate::script::{self, Directive, Line, LineError, LineKind, Lines};
use crate::{Place, policy, profile, requirement};

/// What is submitted.
#[derive(Clone, Copy)]
pub struct Submission<'a> {
    /// The script, whole; of a long one only the head is read.
    pub script: &'a [u8],
    /// Which component of a heterogeneous job; otherwise 0.
    pub component: usize,
    /// What sbatch was given: its command line, and the script's `#SBATCH` lines.
    pub given: &'a JobOptions,
    /// The job's environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The site's config; without it nothing is held to its policy.
    pub config: Option<&'a Config>,
    /// Whose job it is.
    pub uid: u32,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The options that hold, without those of a profile. Right only if no finding is an error.
    pub options: JobOptions,
    /// What is wrong, by place.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// The first finding for which the job is refused. An image of `none` is the way out: the job gets no Pod, and what
    /// its script says for one is nobody's business.
    #[must_use]
    pub fn refusal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is_error() && !self.options.is_switched_off())
    }
}

/// Judges a submission. Reads the head of the script and nothing else.
#[must_use]
pub fn judge(submission: &Submission<'_>) -> Judgement {
    let head = script::head(submission.script, submission.component);
    let mut findings: Vec<_> = head.faults.iter().map(|(place, error)| of_line(*place, error)).collect();
    let directives = of_directives(&head.directives, &mut findings);
    let given = submission.given;
    let layered = JobOptions::layered(given, directives.clone(), submission.variable);
    let options = layered.unwrap_or_else(|error| {
        findings.push(of_option(&error));
        given.clone().over(directives.clone())
    });
    if options.wants_pod() {
        findings.extend(submission.config.iter().flat_map(|config| of_site(config, &options, submission.uid)));
    } else if !head.directives.iter().any(|line| [IMAGE, PROFILE].contains(&line.option.name)) {
        // Options of `given` without an image were told by `layered`.
        findings.extend(directives.need_image().err().filter(|_| !options.is_switched_off()).map(|e| of_option(&e)));
    }
    findings.extend(head.directives.iter().filter_map(|line| overridden(line, given, &directives)));
    if head.body.is_none() && submission.component == 0 && !runs_a_file(&options) {
        let cause = "there is no command in the script".to_owned();
        let hint = Some("lines that begin with '#' are comments".to_owned());
        findings.push(Finding { kind: finding::NO_COMMAND, place: None, cause, hint });
    }
    findings.sort_by_key(Finding::order);
    Judgement { options, findings }
}

fn of_directives(lines: &[Directive<'_>], findings: &mut Vec<Finding>) -> JobOptions {
    let mut options = JobOptions::default();
    for line in lines {
        if let Err(error) = options.set(line.origin(), line.option.name, Some(&line.value)) {
            findings.push(of_option(&error));
        }
    }
    options
}

/// What the site does not allow, or does not have.
fn of_site(config: &Config, options: &JobOptions, uid: u32) -> Vec<Finding> {
    let found = |kind: Kind, given: Option<Given>, cause: String, hint: String| Finding {
        kind,
        place: given.and_then(|given| given.origin.place()),
        cause,
        hint: Some(hint),
    };
    let policy = policy::violations(config, options, uid).into_iter();
    let policy = policy.map(|error| found(finding::POLICY, error.given(), error.to_string(), error.hint()));
    let profile = profile::resolve(config, options).err();
    let profile = profile.map(|error| found(finding::PROFILE, Some(error.given()), error.to_string(), error.hint()));
    policy.chain(profile).collect()
}

/// More than the job's profile allows, as far as it is known what the job asks for.
#[must_use]
pub fn of_amount(config: &Config, options: &JobOptions, amount: &Amount) -> Option<Finding> {
    let error = profile::check_limits(config, options, amount).err()?;
    let place = error.given.origin.place();
    Some(Finding { kind: finding::LIMIT, place, cause: error.to_string(), hint: Some(error.hint()) })
}

/// Something that the site asks of the job of a Pod.
#[must_use]
pub fn of_requirement(config: &Config, has: impl Fn(Requirement) -> bool) -> Option<Finding> {
    let missing = requirement::check(config, has).err()?;
    Some(Finding { kind: finding::REQUIRED, place: None, cause: missing.to_string(), hint: Some(missing.hint()) })
}

/// A heterogeneous job has one script and one environment: options hold for the whole of it, and lines that say something
/// else for one component would be read by nobody.
#[must_use]
pub fn of_components(script: &[u8]) -> Option<Finding> {
    let other = |line: &Line<'_>| line.component > 0 && line.kind == LineKind::Comment;
    let line = Lines::of(script).find(|line| other(line) && line.text.starts_with(b"#K8S_"))?;
    let cause = "#K8S_ lines are for the whole job, not for one component".to_owned();
    let hint = Some("move it up, before the first #SBATCH hetjob".to_owned());
    Some(Finding { kind: finding::LINE, place: Some(Place::new(line.number, 1)), cause, hint })
}

/// A directive that the same script overrules.
fn overridden(line: &Directive<'_>, given: &JobOptions, directives: &JobOptions) -> Option<Finding> {
    let by = given.given(line.option.name).filter(|by| matches!(by.origin, Origin::Sbatch(_)))?;
    let value = |options: &JobOptions| {
        let mut values = options.values();
        values.find(|(spec, _)| spec.name == line.option.name).map(|(_, value)| value.clone())
    };
    (value(given) != value(directives)).then(|| {
        let there = by.origin.place().map_or(0, |place| place.line);
        let own = Given { option: line.option, origin: line.origin() };
        let cause = format!("{own} does not hold: {by} in line {there} says something else");
        Finding {
            kind: finding::OVERRIDDEN,
            place: Some(line.place),
            cause,
            hint: Some("leave one of them out".into()),
        }
    })
}

/// Whether a file is run where the script has no command.
fn runs_a_file(options: &JobOptions) -> bool {
    options.values().any(|(spec, _)| spec.name == SCRIPT)
}

/// A finding about a line.
#[must_use]
pub fn of_line(place: Place, error: &LineError) -> Finding {
    let kind = match error {
        LineError::Comment { .. } => finding::COMMENT,
        LineError::Late { .. } => finding::LATE,
        _ => finding::LINE,
    };
    Finding { kind, place: Some(place), cause: error.to_string(), hint: error.hint() }
}

/// A finding about the script as a whole.
#[must_use]
pub fn of_form(place: Place, error: FormError) -> Finding {
    let kind = if matches!(error, FormError::Large { .. }) { finding::LARGE } else { finding::FORM };
    Finding { kind, place: Some(place), cause: error.to_string(), hint: Some(error.hint().to_owned()) }
}

/// A finding about an option in an `#SBATCH` line.
#[must_use]
pub fn of_sbatch(place: Place, error: &SbatchError) -> Finding {
    let value = matches!(error, SbatchError::Option(error) if error.given().is_some());
    let kind = if value { finding::VALUE } else { finding::SBATCH };
    Finding { kind, place: Some(place), cause: error.to_string(), hint: error.hint() }
}

fn of_option(error: &OptionError) -> Finding {
    let kind = match error {
        OptionError::Conflict { .. } => finding::CONFLICT,
        OptionError::WithoutImage { .. } => finding::WITHOUT_IMAGE,
        _ => finding::VALUE,
    };
    let place = error.given().and_then(|given| given.origin.place());
    Finding { kind, place, cause: error.to_string(), hint: error.hint() }
}

#[cfg(test)]
mod tests;
