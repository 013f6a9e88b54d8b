//! In slurmstepd: one Pod for this step on this node.

use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use slurm_k8s_core::config::{Config, SignalScope};
use slurm_k8s_core::gres::{self, Gpus};
use slurm_k8s_core::message::refuse;
use slurm_k8s_core::option::{Batch, Io, JobOptions};
use slurm_k8s_core::{option, profile, script};
use slurm_k8s_engine::results::Place;
use slurm_k8s_engine::slurm_conf::SlurmConf;
use slurm_k8s_engine::{Refusal, Scope, Session, Step};
use slurm_spank::SpankHandle;

use crate::{argv, node, options, report, results, spool};

/// How long the end of a step may wait for the Pod's removal.
const FINISH: Duration = Duration::from_secs(10);

/// Where a job finds its `--k8s-script`.
const SCRIPT_VARIABLE: &str = "K8S_SCRIPT";

/// Slurm's special steps (slurm.h).
const BATCH: u32 = 0xffff_fffb;
const INTERACTIVE: u32 = 0xffff_fffa;
const EXTERN: u32 = 0xffff_fffc;

/// A step that runs in a Pod.
pub struct Running {
    session: Session,
    options: JobOptions,
    shim: PathBuf,
    scope: Scope,
    io: Io,
    gpus: Gpus,
    /// What runs in the batch script's place.
    file: Option<PathBuf>,
    /// What the first task tells the user before it starts.
    note: Option<String>,
}

/// Sends the Pod. What is wrong is kept for the tasks: an error here would drain the node.
pub fn begin(spank: &SpankHandle) -> Option<Running> {
    let step_id = spank.job_stepid().ok()?;
    if matches!(step_id, EXTERN | INTERACTIVE) {
        return None;
    }
    let mut options = match options::read_on_node(spank) {
        Ok(options) if options.wants_pod() => options,
        Ok(_) => return None,
        // The client checks too, but its plugin may be older, or the environment made by hand.
        Err(error) => return Some(refused(refuse::option(&error).hinted(error.hint().as_deref()))),
    };
    let config = match node::config() {
        Ok(config) => config,
        Err(refusal) => return Some(refused(refusal)),
    };
    let (resolved, template) = match profile::resolve(&config, &options) {
        Ok(resolved) => resolved,
        Err(error) => return Some(refused(refuse::option(&error).hinted(Some(&error.hint())))),
    };
    let given = std::mem::replace(&mut options, resolved);
    if step_id == BATCH
        && let Err(error) = restore_script(spank)
    {
        return Some(refused(refuse::script(error)));
    }
    if let Some(script) = options.script()
        && let Err(error) = spank.setenv(SCRIPT_VARIABLE, script, true)
    {
        return Some(refused(refuse::variable(SCRIPT_VARIABLE, error)));
    }
    let (place, note) = results::leave_room(spank, &config);
    let file = options.script().filter(|_| step_id == BATCH && !has_commands(spank)).map(Path::to_owned);
    if step_id == BATCH && file.is_none() && options.batch().unwrap_or(config.pod.batch) == Batch::Host {
        return None;
    }
    let step = match describe(spank, step_id, &options, given, template, place) {
        Ok(step) => step,
        Err(what) => return Some(refused(refuse::slurm(what))),
    };
    Some(Running {
        shim: config.paths.agent(),
        scope: scope(&config),
        io: options.io().unwrap_or(config.pod.io),
        session: Session::begin(config, &step),
        gpus: step.gpus,
        options,
        file,
        note,
    })
}

/// A variable of the step's environment.
pub fn variable(spank: &SpankHandle, name: &str) -> Option<String> {
    spank.getenv_lossy(name).ok().flatten()
}

/// The array job and the task in it.
pub fn array(spank: &SpankHandle) -> Option<(u32, u32)> {
    match (spank.job_array_id(), spank.job_array_task_id()) {
        (Ok(job), Ok(task)) if job != 0 && task < 0xffff_fff0 => Some((job, task)),
        _ => None,
    }
}

/// Where slurmctld has put the shim into its first line.
fn restore_script(spank: &SpankHandle) -> std::io::Result<()> {
    match spank.job_argv_os().ok().and_then(|argv| argv.first().map(PathBuf::from)) {
        Some(path) => spool::restore(&path),
        None => Ok(()),
    }
}

/// Whether the batch script has any; one that cannot be read is Slurm's matter.
fn has_commands(spank: &SpankHandle) -> bool {
    let script = spank.job_argv_os().ok().and_then(|argv| argv.first().map(PathBuf::from));
    script.and_then(|path| std::fs::read(path).ok()).is_none_or(|text| script::has_body(&text))
}

fn refused(refusal: Refusal) -> Running {
    Running {
        session: Session::Refused(refusal),
        options: JobOptions::default(),
        shim: PathBuf::new(),
        scope: Scope::Task,
        io: Io::Tee,
        gpus: Gpus::default(),
        file: None,
        note: None,
    }
}

fn describe(
    spank: &SpankHandle,
    step_id: u32,
    options: &JobOptions,
    given: JobOptions,
    template: Option<PathBuf>,
    results: Option<Place>,
) -> Result<Step, &'static str> {
    let mib = if step_id == BATCH { spank.job_alloc_mem() } else { spank.step_alloc_mem() };
    let cores = if step_id == BATCH { spank.job_alloc_cores() } else { spank.step_alloc_cores() };
    let script = if step_id == BATCH {
        let argv = spank.job_argv_os().map_err(|_| "script")?;
        argv.first().map(PathBuf::from)
    } else {
        None
    };
    let variable = |name: &str| variable(spank, name);
    let batch = step_id == BATCH;
    // In a heterogeneous job or step the first task is another component's, which this one knows nothing of.
    let het = variable("SLURM_HET_SIZE").is_some();
    Ok(Step {
        nodes: spank.job_nnodes().map_err(|_| "node count")?,
        launch: variable("SLURM_STEP_LAUNCHER_PORT").filter(|_| !batch),
        meets: !batch && !het,
        gpus: if is_slurms("gpu") { Gpus::of(batch, variable) } else { Gpus::default() },
        nics: if is_slurms("nic") { gres::nics(batch, variable) } else { 0 },
        job_id: spank.job_id().map_err(|_| "job")?,
        step_id,
        node_index: spank.job_nodeid().map_err(|_| "node index")?,
        node: node_name().ok_or("node")?,
        tasks: spank.job_local_task_count().map_err(|_| "task count")?,
        array: array(spank),
        uid: spank.job_uid().map_err(|_| "user")?,
        gid: spank.job_gid().map_err(|_| "group")?,
        groups: spank.job_supplementary_gids().map_err(|_| "groups")?,
        image: options.image().cloned().ok_or("image")?,
        options: options.clone(),
        given,
        template,
        cores: cores.ok().and_then(|list| u64::try_from(gres::numbers(list).len()).ok()).filter(|count| *count > 0),
        memory_bytes: mib.ok().filter(|mib| *mib > 0).map(|mib| mib << 20),
        kill_wait: SlurmConf::read(&slurm_conf()).kill_wait(),
        script,
        results,
    })
}

/// This node's name in Slurm: slurmstepd has it in its own environment; else the short host name.
fn node_name() -> Option<String> {
    if let Ok(name) = std::env::var("SLURMD_NODENAME") {
        return Some(name);
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    host.trim().split('.').next().map(str::to_owned)
}

fn slurm_conf() -> PathBuf {
    std::env::var_os("SLURM_CONF").unwrap_or_else(|| "/etc/slurm/slurm.conf".into()).into()
}

/// If not, what the environment says of the resource is only the user's word.
fn is_slurms(kind: &str) -> bool {
    let conf = slurm_conf();
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let beside = |name: &str| conf.parent().map(|folder| folder.join(name)).unwrap_or_default();
    let text = read(conf.clone());
    gres::is_slurms(kind, &text) || gres::includes(&text).any(|name| gres::is_slurms(kind, &read(beside(name))))
}

fn scope(config: &Config) -> Scope {
    match config.signal.scope {
        SignalScope::Task => Scope::Task,
        SignalScope::Tree => Scope::Tree,
        SignalScope::Auto => SlurmConf::read(&slurm_conf()).scope(),
    }
}

/// In the forked task, as the user, just before Slurm's execve: the shim takes the command's place. A kept error is
/// printed here and ends the task with its documented exit code: the only hook where that works alike in every
/// version of Slurm.
pub fn become_shim(running: &Running, spank: &SpankHandle) -> Result<(), ()> {
    let open = match &running.session {
        Session::Open(open) => open,
        Session::Refused(refusal) => {
            report::message(&refusal.message, refusal.hint.as_deref());
            // SAFETY: _exit(2) ends this forked child at once; Slurm sees the task end with that code. Nothing of
            // slurmstepd's may run again in it.
            unsafe { libc::_exit(i32::from(refusal.code)) }
        }
    };
    if let Some(note) = running.note.as_ref().filter(|_| spank.task_global_id().is_ok_and(|task| task == 0)) {
        report::message(note, None);
    }
    let shim = CString::new(running.shim.as_os_str().as_bytes()).map_err(|_| ())?;
    let first = argv::put_shim(spank, &shim);
    number_gpus(running, spank);
    let task = spank.task_id().map_err(|_| ())?.to_string();
    let io = match running.io {
        Io::Tee => "tee",
        Io::Direct => "direct",
    };
    let scope = match running.scope {
        Scope::Task => "task",
        Scope::Tree => "tree",
    };
    let set = |name: &str, value: &std::ffi::OsStr| {
        spank.setenv(format!("SPANK_K8S_SHIM_{name}"), value, true).map_err(|_| ())
    };
    set("RUN_DIR", open.run_dir().as_os_str())?;
    set("TASK", task.as_ref())?;
    set("IO", io.as_ref())?;
    set("SCOPE", scope.as_ref())?;
    if let Some(first) = first {
        set("ARGV0", &std::ffi::OsString::from_vec(first))?;
    }
    if let Some(file) = &running.file {
        set("FILE", file.as_os_str())?;
    }
    if let Some(workdir) = running.options.workdir() {
        set("WORKDIR", workdir.as_os_str())?;
    }
    if !running.options.variables().is_empty() {
        set("ENV", &option::variable::written(running.options.variables()))?;
    }
    Ok(())
}

/// The task's GPUs (`--gpu-bind`) by their numbers in the container, for the programs that Slurm sets a variable for.
fn number_gpus(running: &Running, spank: &SpankHandle) {
    let Ok(Some(of_task)) = spank.getenv_lossy(running.gpus.variable()) else { return };
    let Some(numbers) = running.gpus.in_container(&of_task) else { return };
    for name in gres::IN_CONTAINER {
        if matches!(spank.getenv_os(name), Ok(Some(_)))
            && let Err(error) = spank.setenv(name, &numbers, true)
        {
            log::warn!("{name} has the node's numbers: {error}");
        }
    }
}

/// The step is over: the Pod goes.
pub fn finish(running: Running) {
    running.session.finish(FINISH);
}
