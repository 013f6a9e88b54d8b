//! The folders of a compute node: what must be there, and what should not be any more.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slurm_k8s_core::config::Config;
use slurm_k8s_core::template::Template;
use slurm_k8s_core::{diagnosis, name};

use super::Finding;
use crate::slurm::{self, State};

/// What is younger may belong to a step that Slurm's table had not yet, or has no more.
const YOUNG: Duration = Duration::from_mins(2);
/// `TMPFS_MAGIC` of statfs(2).
const TMPFS: u64 = 0x0102_1994;

/// Looks at all of them.
pub async fn check(config: &Config) -> Vec<Finding> {
    let run = &config.paths.run;
    let mut found = run_folder(run);
    let absent = config.pod.mounts.iter().filter(|path| !path.is_dir());
    found.extend(absent.map(|path| Finding::new(diagnosis::MOUNT, format!("there is no folder {}", path.display()))));
    let of_profiles = config.profiles.values().filter_map(|profile| profile.template.as_ref());
    found.extend(config.pod.template.iter().chain(of_profiles).filter_map(|path| template(path)));
    // Without Slurm's word nothing is known to be left over.
    if let Ok(jobs) = slurm::jobs().await {
        let over = |id| !jobs.get(&id).is_some_and(|job| job.state == State::Active);
        found.extend(
            leftovers(run, over).iter().map(|path| Finding::new(diagnosis::LEFTOVER, path.display().to_string())),
        );
    }
    found
}

fn run_folder(run: &Path) -> Vec<Finding> {
    let wrong = |cause: String| vec![Finding::new(diagnosis::RUN_FOLDER, cause)];
    let Ok(meta) = std::fs::metadata(run) else { return wrong(format!("there is no {}", run.display())) };
    let mode = meta.mode() & 0o7777;
    if !meta.is_dir() || meta.uid() != 0 || mode & 0o066 != 0 || mode & 0o011 != 0o011 {
        return wrong(format!("{}: owner {}, mode {mode:04o}", run.display(), meta.uid()));
    }
    let mut found = Vec::new();
    if let Ok(system) = rustix::fs::statfs(run) {
        if u64::try_from(system.f_type).ok() != Some(TMPFS) {
            found.push(Finding::new(
                diagnosis::RUN_SHARED,
                format!("{} is on a file system with other things", run.display()),
            ));
        }
        let full = |free: u64, all: u64| all > 0 && free.saturating_mul(20) < all;
        if full(system.f_bavail, system.f_blocks) || full(system.f_ffree, system.f_files) {
            let cause = format!(
                "{}: {} of {} blocks and {} of {} inodes are free",
                run.display(),
                system.f_bavail,
                system.f_blocks,
                system.f_ffree,
                system.f_files
            );
            found.push(Finding::new(diagnosis::RUN_FULL, cause));
        }
    }
    found
}

fn template(path: &Path) -> Option<Finding> {
    let wrong = |reason: String| Some(Finding::new(diagnosis::TEMPLATE, format!("{}: {reason}", path.display())));
    match std::fs::read_to_string(path) {
        Err(error) => wrong(error.to_string()),
        Ok(text) => Template::parse(&text).err().and_then(|error| wrong(error.to_string())),
    }
}

/// Run folders, mounts and grants of jobs that are over.
fn leftovers(run: &Path, over: impl Fn(u32) -> bool) -> Vec<PathBuf> {
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let grants = entries(run.join("grants")).flat_map(&entries);
    let all = entries(run.join("pods")).chain(entries(run.join("mounts"))).chain(grants);
    let mut left: Vec<_> = all.filter(|path| job_of(path).is_some_and(&over) && !is_young(path)).collect();
    left.sort();
    left
}

fn job_of(path: &Path) -> Option<u32> {
    let rest = path.file_name()?.to_str()?.strip_prefix(name::PREFIX)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn is_young(path: &Path) -> bool {
    let age =
        std::fs::symlink_metadata(path).and_then(|meta| meta.modified()).map(|time| time.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age < YOUNG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jobs_left_is_told_once_they_are_over() {
        let run = tempfile::tempdir().unwrap();
        let make = |name: &str, old: bool| {
            let path = run.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            let age = if old { YOUNG * 2 } else { Duration::ZERO };
            let time = std::time::SystemTime::now() - age;
            std::fs::File::open(&path).unwrap().set_modified(time).unwrap();
            path
        };
        let gone = [
            make("grants/slurm-jobs/slurm-job-7", true),
            make("mounts/slurm-job-7-0-1", true),
            make("pods/slurm-job-7", true),
        ];
        make("pods/slurm-job-8", true);
        make("pods/slurm-job-70", false);
        make("pods/other", true);
        assert_eq!(leftovers(run.path(), |id| id != 8), gone);
        assert!(leftovers(&run.path().join("none"), |_| true).is_empty());
    }

    #[test]
    fn a_run_folder_that_all_can_list_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let ids = |path: &Path| run_folder(path).iter().map(|finding| finding.kind.id).collect::<Vec<_>>();
        assert_eq!(ids(&folder.path().join("none")), ["run-folder"]);
        // 0700: no task could enter it.
        assert_eq!(ids(folder.path()), ["run-folder"]);
    }

    #[test]
    fn a_template_that_is_wrong_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "spec: [").unwrap();
        assert_eq!(template(file.path()).unwrap().kind.id, "template");
        assert_eq!(template(Path::new("/none.yaml")).unwrap().kind.id, "template");
    }
}
