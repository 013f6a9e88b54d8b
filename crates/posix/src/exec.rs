//! execve(2) and the environment, byte for byte.

use std::ffi::{CStr, CString};
use std::io;

unsafe extern "C" {
    static environ: *const *const libc::c_char;
}

/// This process's environment as the kernel gave it: also entries without `=`, and repeated ones. Call it before
/// anything changes the environment and while there is one thread.
#[must_use]
pub fn environment() -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    // SAFETY: environ(7) is null or an array of C strings that ends with a null pointer. Nothing in this program's
    // process changes it (std::env::set_var is unsafe and not used).
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            entries.push(CStr::from_ptr(*at).to_bytes().to_vec());
            at = at.add(1);
        }
    }
    entries
}

/// Replaces this process; returns only if that failed.
#[must_use]
pub fn execve(path: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let list = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (list(argv), list(env));
    // SAFETY: the path is a C string; both arrays end with a null pointer and their strings live until after the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}
