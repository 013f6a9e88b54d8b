//! Functions of the Slurm daemon that has loaded us.
//!
//! They are looked up at run time: rustc links with `BIND_NOW`, so a missing one would only give the dynamic linker's
//! words in slurmctld's log, and a program without Slurm, such as a test, could not be linked at all.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

type Strdup = unsafe extern "C" fn(*const c_char) -> *mut c_char;
type Free = unsafe extern "C" fn(*mut *mut c_void);
type Overwrite = unsafe extern "C" fn(*mut *mut *mut c_char, *const c_char, *const c_char) -> c_int;

/// Takes a format and its values. `slurm_error` returns a number, too, which nobody needs.
pub type Log = unsafe extern "C" fn(*const c_char, ...);

/// What we need of the host; the same in every known version of Slurm.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// A copy of a C string by Slurm's allocator.
    pub xstrdup: Strdup,
    /// Frees what Slurm's allocator gave, and sets the pointer to null.
    pub xfree: Free,
    /// Sets a variable in an array that ends with null and is Slurm's own.
    pub env_array_overwrite: Overwrite,
    /// A line in the daemon's log.
    pub info: Option<Log>,
    /// A line in the daemon's log, as an error.
    pub error: Option<Log>,
}

impl Host {
    /// Finds them in this process; none if it is no daemon of Slurm's.
    #[must_use]
    pub fn find() -> Option<Self> {
        // SAFETY: each symbol is the function of libslurm of that name, whose type (xstring.h, xmalloc.h, env.h, log.h) is
        // the field's in every known version.
        unsafe {
            Some(Self {
                xstrdup: std::mem::transmute::<*mut c_void, Strdup>(symbol(c"slurm_xstrdup")?),
                xfree: std::mem::transmute::<*mut c_void, Free>(symbol(c"slurm_xfree")?),
                env_array_overwrite: std::mem::transmute::<*mut c_void, Overwrite>(symbol(
                    c"slurm_env_array_overwrite",
                )?),
                info: symbol(c"slurm_info").map(|address| std::mem::transmute::<*mut c_void, Log>(address)),
                error: symbol(c"slurm_error").map(|address| std::mem::transmute::<*mut c_void, Log>(address)),
            })
        }
    }

    /// A string of Slurm's own; null if the text has a NUL, which no C string can hold.
    #[must_use]
    pub fn string(&self, text: impl Into<Vec<u8>>) -> *mut c_char {
        CString::new(text).map_or(std::ptr::null_mut(), |text| {
            // SAFETY: `text` is a C string that lives through the call, and Slurm copies it.
            unsafe { (self.xstrdup)(text.as_ptr()) }
        })
    }

    /// A line in the daemon's log.
    pub fn log(&self, line: &str) {
        Self::say(self.info, line);
    }

    /// A line in the daemon's log, as an error.
    pub fn complain(&self, line: &str) {
        Self::say(self.error, line);
    }

    fn say(log: Option<Log>, line: &str) {
        if let (Some(log), Ok(line)) = (log, CString::new(line)) {
            // SAFETY: a format with one string, and that string.
            unsafe { log(c"job_submit/k8s: %s".as_ptr(), line.as_ptr()) }
        }
    }
}

/// A symbol that the process has.
#[must_use]
pub fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: dlsym(3) with a C string; RTLD_DEFAULT looks in the program and its libraries.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}
