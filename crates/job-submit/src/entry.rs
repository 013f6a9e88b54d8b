//! slurmctld's entry points. No panic crosses them.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use slurm_k8s_slurm_sys::host::Host;
use slurm_k8s_slurm_sys::job_desc::JobDesc;
use slurm_k8s_slurm_sys::layout::{self, Layout};
use slurm_k8s_slurm_sys::version;

use crate::site::{PATH, Site};
use crate::submit::{self, Refusal};

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static plugin_name: [u8; 22] = *b"spank-k8s, job_submit\0";
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static plugin_type: [u8; 15] = *b"job_submit/k8s\0";
/// Filled in by [`fit_version`] before Slurm looks.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs)]
pub static plugin_version: AtomicU32 = AtomicU32::new(0);

/// `SLURM_SUCCESS`, `SLURM_ERROR`, and what sbatch shows as "Invalid argument" (any errno is an error of Slurm's, too).
const SUCCESS: c_int = 0;
const ERROR: c_int = -1;
const INVALID: c_int = 22;

static FITTED: OnceLock<(Host, &'static Layout)> = OnceLock::new();
static SITE: Site = Site::at(PATH);

/// Runs inside dlopen(3), before slurmctld compares `plugin_version` with its own, to the micro. For a version whose
/// `job_desc_msg_t` nobody has measured the 0 stays, and slurmctld refuses the plugin.
extern "C" fn fit_version() {
    // A panic in a constructor would end slurmctld.
    let _ = catch_unwind(|| {
        let Some(host) = Host::find() else { return };
        let Some(version) = version::of_process() else {
            host.complain("cannot tell which Slurm this is; the plugin does not load");
            return;
        };
        match layout::of(version) {
            Some(layout) => {
                let _ = FITTED.set((host, layout));
                plugin_version.store(version, Ordering::Relaxed);
            }
            None => host.complain(&format!(
                "this build of spank-k8s does not know Slurm {}; install one that does, or take k8s out of JobSubmitPlugins",
                version::written(version)
            )),
        }
    });
}

// SAFETY: the loader calls each entry of .init_array once, with arguments that a function without parameters may
// ignore; `fit_version` calls only functions of the process's own libraries.
#[used]
#[unsafe(link_section = ".init_array")]
static FIT_VERSION: extern "C" fn() = fit_version;

/// Reads the config once, so that the log tells what is wrong with it. Never an error: that would keep slurmctld from
/// starting.
#[unsafe(no_mangle)]
pub extern "C" fn init() -> c_int {
    let _ = catch_unwind(|| {
        let Some((host, _)) = FITTED.get() else { return };
        match SITE.config() {
            Ok(Some(_)) => {}
            Ok(None) => host.log(&format!("there is no {PATH}: only what every site refuses is refused here")),
            Err(error) => host.complain(&format!("{error}; jobs for Pods are refused until it is mended")),
        }
    });
    SUCCESS
}

/// There is nothing to give back.
#[unsafe(no_mangle)]
pub extern "C" fn fini() -> c_int {
    SUCCESS
}

/// slurmctld asks whether to take a job.
///
/// # Safety
///
/// slurmctld's: `job` is a `job_desc_msg_t` of its own version that nobody else uses during the call, `message` where a
/// text of its allocator may be left for the user.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn job_submit(job: *mut c_void, _submitter: u32, message: *mut *mut c_char) -> c_int {
    let Some((host, layout)) = FITTED.get() else { return ERROR };
    if job.is_null() {
        return ERROR;
    }
    // SAFETY: the caller's promise; the layout is that of slurmctld's own version.
    let mut job = unsafe { JobDesc::new(job, layout, host) };
    let uid = job.user_id();
    let (code, text) = answer(host, uid, || submit::submit(&mut job, &SITE));
    if !text.is_empty() && !message.is_null() {
        // SAFETY: the caller's promise.
        unsafe { say(host, message, text) };
    }
    code
}

/// What slurmctld is told. After a panic the job is refused, so that nobody sees a half-changed one.
fn answer(host: &Host, uid: u32, judge: impl FnOnce() -> Result<String, Refusal>) -> (c_int, String) {
    match catch_unwind(AssertUnwindSafe(judge)) {
        Ok(Ok(notes)) => (SUCCESS, notes),
        Ok(Err(refusal)) => {
            host.log(&format!("refused a job of uid {uid}: {}", refusal.cause()));
            (INVALID, refusal.to_string())
        }
        Err(_) => {
            host.complain("a bug of spank-k8s: a panic while a job was judged; the job is refused");
            (ERROR, "spank-k8s: internal error, the job is refused; please report it".to_owned())
        }
    }
}

/// Puts a text where slurmctld looks for what to tell the user, below what another of `JobSubmitPlugins` has to say.
///
/// # Safety
///
/// `message` is null or a string of slurmctld's allocator, and nobody else uses it.
unsafe fn say(host: &Host, message: *mut *mut c_char, text: String) {
    // SAFETY: the caller's promise; what is put there is of slurmctld's allocator, which frees it.
    unsafe {
        let earlier = if (*message).is_null() { Vec::new() } else { CStr::from_ptr(*message).to_bytes().to_vec() };
        let text =
            if earlier.is_empty() { text.into_bytes() } else { [&earlier, &b"\n"[..], text.as_bytes()].concat() };
        (host.xfree)(message.cast());
        message.write(host.string(text));
    }
}

/// slurmctld asks whether to change a job. What `scontrol update` can change is what Slurm is asked for; script,
/// environment and options are not among it (`_update_job` in Slurm's `job_mgr.c` looks at neither), and of the rest the
/// node holds a job to its profile by what it then has. So every change is left to Slurm.
///
/// A fourth argument, for a message, exists from 23.02 on.
#[unsafe(no_mangle)]
pub extern "C" fn job_modify(_job: *mut c_void, _record: *mut c_void, _submitter: u32) -> c_int {
    SUCCESS
}

#[cfg(test)]
mod tests {
    use slurm_k8s_slurm_sys::fake::HOST;

    use super::*;

    #[test]
    fn what_another_plugin_has_said_stays() {
        let mut message: *mut c_char = std::ptr::null_mut();
        for (text, expected) in [("ours", "ours"), ("more", "ours\nmore")] {
            // SAFETY: `message` is null or of HOST's allocator, and this test's alone.
            unsafe {
                say(&HOST, &raw mut message, text.to_owned());
                assert_eq!(CStr::from_ptr(message).to_str(), Ok(expected));
            }
        }
        // SAFETY: as above.
        unsafe { (HOST.xfree)((&raw mut message).cast()) };
    }

    #[test]
    #[allow(clippy::panic)]
    fn after_a_panic_the_job_is_refused_and_the_next_one_judged() {
        let (code, text) = answer(&HOST, 1000, || panic!("on purpose"));
        assert_eq!((code, text.as_str()), (ERROR, "spank-k8s: internal error, the job is refused; please report it"));
        assert_eq!(answer(&HOST, 1000, || Ok("noted".into())), (SUCCESS, "noted".into()));
    }

    #[test]
    fn nothing_is_judged_where_slurm_is_not_known() {
        let mut message: *mut c_char = std::ptr::null_mut();
        // SAFETY: a null job is refused before it is looked at.
        assert_eq!(unsafe { job_submit(std::ptr::null_mut(), 0, &raw mut message) }, ERROR);
        assert_eq!((init(), fini(), plugin_version.load(Ordering::Relaxed)), (SUCCESS, SUCCESS, 0));
    }
}
