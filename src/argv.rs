//! The command that Slurm is about to run, changed in place.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;

use slurm_k8s_core::{honour, multi_prog};
use slurm_spank::SpankHandle;
use slurm_spank::spank_sys::{self, spank_t};

use crate::hooks::handle;

/// Makes srun send the command as the user typed it, where it has put the path that it found on the submit host: it is
/// the image's that counts. Then the shim takes its place, and the programs of `--multi-prog` get it in front of them:
/// a node without spank-k8s is not to run them ([`honour`]).
pub fn prepare_launch(shim: &[u8]) {
    let Some(typed) = typed() else {
        return;
    };
    let words = words();
    let Some((found, arguments)) = words.split_first() else {
        return;
    };
    if let Some(name) = before(&typed, arguments) {
        let command = if is_name_of(name, found) { name } else { found };
        if bcast(&typed) {
            // srun itself will put the file's path on the node there.
            replace(0, command);
        } else {
            mark(shim, command);
        }
    } else if let Some((config, more)) = arguments.split_first()
        && before(&typed, more) == Some(found)
    {
        // The one word that nobody typed is the text of the file that was: --multi-prog.
        announce(found);
        replace(1, &multi_prog::through_shim(shim, config));
    }
}

/// Puts the shim in the command's place, and the command where the node finds it.
fn mark(shim: &[u8], command: &[u8]) {
    announce(command);
    replace(0, shim);
}

/// Tells a shim that nobody has prepared anything for what it stands for.
fn announce(command: &[u8]) {
    // SAFETY: in slurm_spank_local_user_init, after which srun itself copies its environment into the step's
    // (`pre_launch_srun_job`), in the same thread. The others only wait for that thread.
    unsafe { std::env::set_var(honour::COMMAND, std::ffi::OsStr::from_bytes(command)) };
}

/// Puts the command back, where [`mark`] has taken it away.
pub fn unmark(spank: &SpankHandle) {
    let Ok(Some(command)) = spank.getenv_os(honour::COMMAND) else {
        return;
    };
    let _ = spank.unsetenv(honour::COMMAND);
    if words().first().is_some_and(|word| honour::is_shim(word)) {
        replace(0, command.as_bytes());
    }
}

/// Whether srun is to send the program, too.
fn bcast(typed: &[Vec<u8>]) -> bool {
    std::env::var_os("SLURM_BCAST").is_some() || typed.iter().any(|word| word.starts_with(b"--bcast"))
}

/// srun's own command line.
fn typed() -> Option<Vec<Vec<u8>>> {
    let bytes = std::fs::read("/proc/self/cmdline").ok()?;
    Some(bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
}

/// The word in front of these, where they end the command line or one component's part of it.
fn before<'a>(typed: &'a [Vec<u8>], arguments: &[Vec<u8>]) -> Option<&'a Vec<u8>> {
    let ends = |after: &[Vec<u8>]| {
        let rest = after.strip_prefix(arguments);
        rest.is_some_and(|rest| rest.first().is_none_or(|word| word == b":"))
    };
    let at = (0..typed.len()).rev().find(|at| typed.get(at + 1..).is_some_and(ends))?;
    typed.get(at)
}

/// Whether srun has found this bare name there.
fn is_name_of(name: &[u8], found: &[u8]) -> bool {
    !name.contains(&b'/') && found.rsplit(|byte| *byte == b'/').next() == Some(name)
}

/// Puts the shim in the command's place: in front of it where Slurm can, else instead of it. Returns the command's
/// first word if that is no longer in the list.
pub fn put_shim(spank: &SpankHandle, shim: &CStr) -> Option<Vec<u8>> {
    unmark(spank);
    let words = words();
    if words.get(1).is_some_and(|config| multi_prog::is_through_shim(config)) {
        return None;
    }
    if let Some(prepend) = prepend() {
        let words = [shim.as_ptr()];
        // SAFETY: the handle is the running task_init hook's, where spank(8) allows this call; `words` holds one C
        // string that outlives it, and Slurm copies the words.
        if unsafe { prepend(handle(), 1, words.as_ptr()) } == 0 {
            return None;
        }
    }
    replace(0, shim.to_bytes());
    words.into_iter().next()
}

type Prepend = unsafe extern "C" fn(spank_t, c_int, *const *const c_char) -> c_int;
type Strdup = unsafe extern "C" fn(*const c_char) -> *mut c_char;

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: dlsym(3) with a C string; RTLD_DEFAULT looks in the host's libraries.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// Looked up at run time: rustc links with `BIND_NOW`, and one missing symbol makes the plugin unloadable.
fn prepend() -> Option<Prepend> {
    let address = symbol(c"spank_prepend_task_argv")?;
    // SAFETY: the symbol is that function of spank.h, whose type this is.
    Some(unsafe { std::mem::transmute::<*mut c_void, Prepend>(address) })
}

/// `S_JOB_ARGV`: none before Slurm has it, or if it is empty.
fn job_argv() -> Option<(usize, *mut *mut c_char)> {
    let (mut count, mut argv): (c_int, *mut *mut c_char) = (0, std::ptr::null_mut());
    // SAFETY: spank.h: S_JOB_ARGV takes `int *` and `char ***`; the handle is the running hook's.
    let code =
        unsafe { spank_sys::spank_get_item(handle(), spank_sys::spank_item_S_JOB_ARGV, &raw mut count, &raw mut argv) };
    let count = usize::try_from(count).ok()?;
    (code == 0 && !argv.is_null() && count > 0).then_some((count, argv))
}

/// A copy of the words.
fn words() -> Vec<Vec<u8>> {
    let Some((count, argv)) = job_argv() else {
        return Vec::new();
    };
    // SAFETY: job_argv gives an array of `count` pointers, each null or a C string, which Slurm does not change while a
    // hook runs.
    let word = |at| unsafe {
        let word = *argv.add(at);
        (!word.is_null()).then(|| CStr::from_ptr(word).to_bytes().to_vec())
    };
    (0..count).map_while(word).collect()
}

/// Swaps a word for a copy made by Slurm's allocator, since Slurm may free it.
fn replace(at: usize, word: &[u8]) {
    let (Ok(word), Some(strdup), Some((count, argv))) = (CString::new(word), symbol(c"slurm_xstrdup"), job_argv())
    else {
        return;
    };
    if at >= count {
        return;
    }
    // SAFETY: slurm_xstrdup of libslurm has this type; `at` is within the array, which is Slurm's own and no copy. The
    // old string is left to Slurm: something else may still point at it.
    unsafe {
        let strdup = std::mem::transmute::<*mut c_void, Strdup>(strdup);
        *argv.add(at) = strdup(word.as_ptr());
    }
}
