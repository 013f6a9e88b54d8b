//! The submit folder on the testbed's NAS, and watchers of a test's own.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use crate::service::Service;
use crate::{ALICE, At, CTL, ROOT, Ran, until};

/// The site's.
pub const NAS: &str = "/mnt/nas/slurm-jobs";
/// Another ordinary user.
pub const BOB: At = At { user: "bob", host: "login" };

/// The user that watchers run as, on the controller.
const SLURM: &str = "slurm";

/// Copies a script into the site's submit folder, as a user does.
pub fn put(at: At, name: &str, script: &str, mode: u32) {
    put_into(at, NAS, name, script, mode);
}

/// The same, with another folder.
pub fn put_into(at: At, folder: &str, name: &str, script: &str, mode: u32) {
    let _ = begin();
    let line =
        r#"cat > "$0/submit/.$$.new" && chmod $2 "$0/submit/.$$.new" && mv -T -- "$0/submit/.$$.new" "$0/submit/$1""#;
    let _ = at.run_with(&["bash", "-c", line, folder, name, &format!("{mode:o}")], script.as_bytes()).ok();
}

/// When this program first put a file somewhere, as submissions have it in their names: called before that.
pub fn begin() -> &'static str {
    static BEGIN: OnceLock<String> = OnceLock::new();
    BEGIN.get_or_init(|| CTL.run(&["date", "-u", "+%Y%m%d-%H%M%S"]).ok().text())
}

fn list(folder: &str) -> Vec<String> {
    let text = CTL.run(&["find", folder, "-mindepth", "1", "-printf", r"%P\0"]).ok().stdout;
    let names = text.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// The names in the site's submit folder.
#[must_use]
pub fn submit() -> Vec<String> {
    list(&format!("{NAS}/submit"))
}

/// The names among the refused.
#[must_use]
pub fn failed() -> Vec<String> {
    list(&format!("{NAS}/failed"))
}

/// Waits until a file that was put there is refused, and gives its reason; the newest, if there were others of its name.
#[must_use]
pub fn reason(name: &str) -> String {
    let mut text = String::new();
    until("the file is refused", || {
        // A name that was there before has the submission's in front.
        let line = r#"cd "$0/failed" && ls -t -- "$1.reason.txt" *-"$1.reason.txt" 2> /dev/null | head -n 1 | xargs -r cat && \
                      find . -name "*$1.reason.txt" -mmin -1 | grep -q ."#;
        let ran = CTL.run(&["bash", "-c", line, NAS, name]);
        text = ran.text();
        if ran.code == Some(0) && !text.is_empty() { Ok(()) } else { Err(format!("{:?}", submit())) }
    });
    text
}

/// Waits until a file that was put there has its job, and gives its record.
#[must_use]
pub fn processed(name: &str) -> Value {
    let mut found = None;
    until("the file has its job", || {
        let records = records(NAS);
        // Files of earlier runs are there, too, perhaps with jobs of higher numbers.
        let new = records.into_iter().filter(|(id, _)| id.as_str() >= begin()).map(|(_, record)| record);
        let of_name = new.filter(|record| record.get("name").and_then(Value::as_str) == Some(name));
        found = of_name.max_by_key(|record| record.get("job").and_then(Value::as_u64));
        found.is_some().then_some(()).ok_or_else(|| format!("{:?}", submit()))
    });
    found.expect("it was found")
}

/// Each record in a `processed`, by its submission.
#[must_use]
pub fn records(folder: &str) -> BTreeMap<String, Value> {
    let line = r#"cd "$0/processed" && for f in *.json .*.json; do test -e "$f" && cat -- "$f" | tr -d '\n' && echo; done; true"#;
    let text = CTL.run(&["bash", "-c", line, folder]).ok().text();
    let values = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values.filter_map(|value| Some((value.get("submission")?.as_str()?.to_owned(), value))).collect()
}

/// The site's log.
#[must_use]
pub fn site_log() -> String {
    CTL.run(&["cat", "/var/log/slurm-k8s/job_watcher.log"]).ok().text()
}

/// Waits until a job has ended.
pub fn wait_for_job(job: &str) {
    until("the job ends", || {
        let state = ROOT.run(&["squeue", "-h", "-o", "%T", "-j", job]).text();
        if state.is_empty() { Ok(()) } else { Err(state) }
    });
}

/// A submit folder of a test's own, with its config on the controller.
#[derive(Debug)]
pub struct Folder {
    /// The folder with `submit` in it.
    pub path: String,
    config: String,
}

impl Folder {
    /// Makes it; `keys` are more of its config.
    #[must_use]
    pub fn new(keys: &str) -> Self {
        let path = CTL.run(&["mktemp", "-d", "/mnt/nas/watch.XXXXXX"]).ok().text();
        let _ = CTL
            .run(&[
                "bash",
                "-c",
                "chown slurm: $0 && chmod 755 $0 && mkdir -m 755 $0/log && chown slurm: $0/log",
                &path,
            ])
            .ok();
        let this = Self::at(path, keys);
        // It makes the folders.
        let _ = this.once().ok();
        this
    }

    /// Runs one as from cron.
    #[must_use]
    pub fn once(&self) -> Ran {
        let argv = self.watcher(&["--once"]);
        CTL.run(&argv.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// In a folder that is there and the watcher's.
    #[must_use]
    pub fn at(path: String, keys: &str) -> Self {
        let config = format!("{path}/k8s.toml");
        let text = format!(
            "cluster = \"testbed\"\n[paths]\nlog = \"{path}/log\"\n[watch]\nfolder = \"{path}\"\npoll = \"200ms\"\nsettle = \"200ms\"\n\
             submit_timeout = \"30s\"\nlease = \"60s\"\n{keys}"
        );
        let _ = CTL.run_with(&["tee", &config], text.as_bytes()).ok();
        Self { path, config }
    }

    /// Puts a script there.
    pub fn put(&self, at: At, name: &str, script: &str) {
        put_into(at, &self.path, name, script, 0o644);
    }

    /// The names in one of its folders.
    #[must_use]
    pub fn names(&self, folder: &str) -> Vec<String> {
        list(&format!("{}/{folder}", self.path))
    }

    /// The log of its watchers.
    #[must_use]
    pub fn log(&self) -> String {
        CTL.run(&["cat", &format!("{}/log/job_watcher.log", self.path)]).text()
    }

    /// A command line of the watcher's user, with the rights of the service.
    fn watcher(&self, options: &[&str]) -> Vec<String> {
        let rights = "+setuid,+setgid,+kill";
        let (user, group) = (format!("--reuid={SLURM}"), format!("--regid={SLURM}"));
        let (inherited, ambient) = (format!("--inh-caps={rights}"), format!("--ambient-caps={rights}"));
        let config = format!("--config={}", self.config);
        let user = ["setpriv", &user, &group, "--init-groups", &inherited, &ambient];
        [&user[..], &["slurm-k8s", "watch", &config], options].concat().into_iter().map(str::to_owned).collect()
    }

    /// Starts one. Its process is the watcher's own.
    #[must_use]
    pub fn start(&self) -> Service {
        let argv = self.watcher(&[]);
        let argv: Vec<_> = argv.iter().map(String::as_str).collect();
        Service::start(&argv)
    }

    /// The jobs of its submissions, by their comments: of alice's.
    #[must_use]
    pub fn jobs(&self) -> BTreeMap<String, usize> {
        let text = ALICE.run(&["squeue", "-h", "-t", "all", "-o", "%k", "-u", "alice"]).ok().text();
        let mut counts = BTreeMap::new();
        for id in text.lines().filter_map(|line| line.split_once("submit-folder:")) {
            *counts.entry(id.1.trim().to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = CTL.run(&["rm", "-rf", &self.path]);
        }
    }
}
