//! Slurm's entry points.
//!
//! Only the hooks that are used are exported: for an exported prolog or epilog hook slurmd would start a process more
//! for every job (spank(8)). slurm-spank's own macro exports all of them and fixes the version at compile time.

use std::error::Error;
use std::ffi::{c_char, c_int, c_long, c_uint};
use std::sync::atomic::{AtomicPtr, Ordering};

use slurm_spank::spank_sys::{spank_context, spank_context_S_CTX_REMOTE, spank_handle, spank_t};
use slurm_spank::{Context, Plugin, SpankHandle};

use crate::options::{self, Inherited};
use crate::step::Running;
use crate::{argv, node, report, step, submit};

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static plugin_name: [u8; 4] = *b"k8s\0";
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static plugin_type: [u8; 6] = *b"spank\0";
/// Filled in by [`fit_version`] before Slurm looks.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static plugin_version: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// A step that cannot begin fails its job, where Slurm would else drain the node and try the next (`slurm_errno.h`,
/// `ESPANK_JOB_FAILURE`; spank(8), from 25.05).
const JOB_FAILURE: c_int = 3012;
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static slurm_spank_init_failure_mode: c_int = JOB_FAILURE;
/// The first libslurm that knows it. To an older Slurm a positive code is success.
const KNOWS_JOB_FAILURE: c_long = 43;

unsafe extern "C" {
    /// The version of libslurm in the process (slurm.h): its libtool "current" in the upper 16 bits.
    safe fn slurm_api_version() -> c_long;
}

/// The code of a hook that runs as a step begins, among others.
fn code_at_begin(code: c_int) -> c_int {
    // SAFETY: spank.h: it has no parameters, and answers in every hook.
    let in_step = unsafe { spank_context() } == spank_context_S_CTX_REMOTE;
    let known = slurm_api_version() >> 16 >= KNOWS_JOB_FAILURE;
    if code != 0 && in_step && known { JOB_FAILURE } else { code }
}

/// Runs inside dlopen(3). Slurm compares major and minor of `plugin_version` with its own; the SPANK interface is the
/// same in all the versions below. For any other version the 0 stays, and Slurm refuses the plugin.
extern "C" fn fit_version() {
    let version: c_uint = match slurm_api_version() >> 16 {
        38 => 0x16_05_00,
        39 => 0x17_02_00,
        40 => 0x17_0b_00,
        41 => 0x18_05_00,
        42 => 0x18_0b_00,
        43 => 0x19_05_00,
        44 => 0x19_0b_00,
        45 => 0x1a_05_00,
        _ => 0,
    };
    plugin_version.store(version, Ordering::Relaxed);
}

// SAFETY: the loader calls each entry of .init_array once, with arguments that a function without parameters may
// ignore; `fit_version` calls only a function of libslurm, which the host has loaded before its plugins.
#[used]
#[unsafe(link_section = ".init_array")]
static FIT_VERSION: extern "C" fn() = fit_version;

/// The handle of the hook that runs now, for what slurm-spank has no call for.
static HANDLE: AtomicPtr<spank_handle> = AtomicPtr::new(std::ptr::null_mut());

/// The handle of the hook that runs now.
pub fn handle() -> spank_t {
    HANDLE.load(Ordering::Relaxed)
}

/// The plugin in one process of Slurm.
#[derive(Default)]
struct SpankK8s {
    /// In srun: what its job gives it.
    inherited: Inherited,
    /// In slurmstepd: the step's Pod.
    running: Option<Running>,
}

/// An error that was reported already.
#[derive(Debug)]
struct Reported;

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reported")
    }
}

impl Error for Reported {}

type Hook = Result<(), Box<dyn Error>>;

// SAFETY: task_init runs in a child that slurmstepd forked; the only other thread of ours sleeps in poll(2) until
// the first of those children connects to it, so it holds no lock at any fork.
unsafe impl Plugin for SpankK8s {
    fn init(&mut self, spank: &mut SpankHandle) -> Hook {
        match spank.context()? {
            Context::Local => {
                self.inherited = Inherited::take();
                options::register(spank)?;
            }
            Context::Allocator => {
                Inherited::forget();
                options::register(spank)?;
            }
            Context::Remote => {
                report::log_to_slurm(true);
                options::register(spank)?;
            }
            Context::Slurmd => {
                report::log_to_slurm(false);
                node::check();
            }
            Context::JobScript => {}
        }
        Ok(())
    }

    fn init_post_opt(&mut self, spank: &mut SpankHandle) -> Hook {
        match spank.context()? {
            Context::Local | Context::Allocator => {
                submit::check(spank, &self.inherited).map_err(|()| Reported)?;
            }
            Context::Remote => self.running = step::begin(spank),
            Context::Slurmd | Context::JobScript => {}
        }
        Ok(())
    }

    fn local_user_init(&mut self, spank: &mut SpankHandle) -> Hook {
        submit::before_launch(spank, &self.inherited);
        Ok(())
    }

    fn task_init(&mut self, spank: &mut SpankHandle) -> Hook {
        if let Some(running) = &self.running {
            return step::become_shim(running, spank).map_err(|()| Box::new(Reported).into());
        }
        argv::unmark(spank);
        Ok(())
    }

    fn exit(&mut self, spank: &mut SpankHandle) -> Hook {
        if let (Context::Remote, Some(running)) = (spank.context()?, self.running.take()) {
            step::finish(running);
        }
        Ok(())
    }

    fn setup(&mut self, _: &mut SpankHandle) -> Hook {
        // slurm-spank would install a tracing subscriber that panics at exit under RUST_LOG.
        Ok(())
    }
}

macro_rules! hook {
    ($entry:ident, $method:ident) => {
        hook!($entry, $method, std::convert::identity);
    };
    ($entry:ident, $method:ident, $code:expr) => {
        #[unsafe(no_mangle)]
        #[allow(missing_docs)]
        pub extern "C" fn $entry(spank: spank_t, argc: c_int, argv: *const *const c_char) -> c_int {
            HANDLE.store(spank, Ordering::Relaxed);
            let code = slurm_spank::spank_callback_with_globals::<SpankK8s, _>(|plugin, options, _| {
                let mut handle = slurm_spank::init_spank_handle(spank, argc, argv, options);
                // SAFETY: what Plugin's methods ask of their caller is what SPANK promises: one hook at a time, in
                // the documented order, with a handle that lives as long as the call.
                let result = plugin.$method(&mut handle);
                result.inspect_err(|error| {
                    if !error.is::<Reported>() {
                        report::line(&error.to_string());
                    }
                })
            });
            $code(code)
        }
    };
}

hook!(slurm_spank_init, init);
hook!(slurm_spank_init_post_opt, init_post_opt, code_at_begin);
hook!(slurm_spank_local_user_init, local_user_init);
hook!(slurm_spank_task_init, task_init);
hook!(slurm_spank_exit, exit);
