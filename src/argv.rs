//! The command that Slurm is about to run, changed in place.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use slurm_spank::spank_sys::{self, spank_t};

use crate::hooks::handle;

/// What the user typed, from srun's own command line.
pub struct Typed {
    words: Vec<Vec<u8>>,
    /// `--multi-prog` is among srun's options.
    pub multi_prog: bool,
}

/// srun's command line: what it was before srun looked the command up.
pub fn typed() -> Option<Typed> {
    let bytes = std::fs::read("/proc/self/cmdline").ok()?;
    let words: Vec<Vec<u8>> = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let (count, _) = job_argv()?;
    let options = words.len().saturating_sub(count);
    let multi_prog = words.iter().take(options).any(|word| word == b"--multi-prog");
    Some(Typed { words, multi_prog })
}

/// Puts the bare command name back where srun has put the path it found on the submit host.
pub fn restore_command(typed: &Typed) {
    let Some((count, argv)) = job_argv() else {
        return;
    };
    let Some(word) = typed.words.len().checked_sub(count).and_then(|at| typed.words.get(at)) else {
        return;
    };
    // SAFETY: job_argv gives an array of at least one C string (count > 0).
    let found = unsafe { CStr::from_ptr(*argv) }.to_bytes();
    let bare = !word.contains(&b'/');
    if bare && found.rsplit(|byte| *byte == b'/').next() == Some(word) {
        replace_first(argv, word);
    }
}

/// Puts the shim in the command's place: in front of it where Slurm can, else instead of it. Returns the command's
/// first word if that is no longer in the list.
pub fn put_shim(shim: &CStr) -> Option<Vec<u8>> {
    if let Some(prepend) = prepend() {
        let words = [shim.as_ptr()];
        // SAFETY: the handle is the running task_init hook's, where spank(8) allows this call; `words` holds one C
        // string that outlives it, and Slurm copies the words.
        if unsafe { prepend(handle(), 1, words.as_ptr()) } == 0 {
            return None;
        }
    }
    let (_, argv) = job_argv()?;
    // SAFETY: as in restore_command.
    let first = unsafe { CStr::from_ptr(*argv) }.to_bytes().to_vec();
    replace_first(argv, shim.to_bytes());
    Some(first)
}

/// Whether this Slurm has `spank_prepend_task_argv` (23.11 and newer).
pub fn can_prepend() -> bool {
    prepend().is_some()
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
    // SAFETY: argv is not null here, and has count > 0 entries.
    let usable = code == 0 && !argv.is_null() && count > 0 && unsafe { !(*argv).is_null() };
    usable.then_some((count, argv))
}

/// Swaps the first word for a copy made by Slurm's allocator, since Slurm may free it.
fn replace_first(argv: *mut *mut c_char, word: &[u8]) {
    let (Ok(word), Some(strdup)) = (CString::new(word), symbol(c"slurm_xstrdup")) else {
        return;
    };
    // SAFETY: slurm_xstrdup of libslurm has this type; argv's first entry is ours to change (the array is Slurm's
    // own, not a copy), and the old string is left to Slurm: something else may still point at it.
    unsafe {
        let strdup = std::mem::transmute::<*mut c_void, Strdup>(strdup);
        *argv = strdup(word.as_ptr());
    }
}
