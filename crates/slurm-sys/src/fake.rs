//! A host that is no Slurm, and jobs in any layout, for tests.
#![allow(missing_docs, clippy::missing_panics_doc, clippy::must_use_candidate)]

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::host::Host;
use crate::job_desc::{JobDesc, NO_VAL, NO_VAL16, NO_VAL64};
use crate::layout::Layout;

unsafe extern "C" fn xstrdup(text: *const c_char) -> *mut c_char {
    // SAFETY: strdup(3) of a C string.
    unsafe { libc::strdup(text) }
}

unsafe extern "C" fn xfree(pointer: *mut *mut c_void) {
    // SAFETY: free(3) of what malloc(3) gave, or null.
    unsafe {
        libc::free(*pointer);
        *pointer = std::ptr::null_mut();
    }
}

unsafe extern "C" fn env_array_overwrite(
    array: *mut *mut *mut c_char,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    // SAFETY: the array is null, or of malloc(3) and ends with null; name and value are C strings.
    unsafe {
        let (name, value) = (CStr::from_ptr(name).to_bytes(), CStr::from_ptr(value).to_bytes());
        let entry = [name, b"=", value, b"\0"].concat();
        let mut at = 0;
        while !(*array).is_null() && !(*(*array).add(at)).is_null() {
            let old = CStr::from_ptr(*(*array).add(at)).to_bytes();
            if old.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"=")) {
                break;
            }
            at += 1;
        }
        let new = (*array).is_null() || (*(*array).add(at)).is_null();
        if new {
            *array = libc::realloc((*array).cast(), (at + 2) * size_of::<*mut c_char>()).cast();
            (*array).add(at + 1).write(std::ptr::null_mut());
        } else {
            libc::free((*(*array).add(at)).cast());
        }
        (*array).add(at).write(libc::strdup(entry.as_ptr().cast()));
    }
    1
}

/// The fake host; it has no log.
pub static HOST: Host = Host { xstrdup, xfree, env_array_overwrite, info: None, error: None };

/// A job on the way to slurmctld, as `sbatch` without options sends it.
pub struct Fake {
    memory: Vec<u64>,
    layout: &'static Layout,
}

impl Fake {
    pub fn new(layout: &'static Layout) -> Self {
        let mut this = Self { memory: vec![0; layout.size.div_ceil(8)], layout };
        for at in [layout.het_job_offset, layout.min_cpus, layout.min_nodes, layout.num_tasks, layout.time_limit] {
            this.set(at, NO_VAL);
        }
        for at in [layout.cpus_per_task, layout.ntasks_per_node] {
            this.set(at, NO_VAL16);
        }
        this.set(layout.pn_min_memory, NO_VAL64);
        this
    }

    /// Sets a number.
    pub fn set<T>(&mut self, at: usize, value: T) -> &mut Self {
        assert!(at + size_of::<T>() <= self.layout.size);
        // SAFETY: within the memory, and aligned as the C compiler has aligned the field.
        unsafe { self.memory.as_mut_ptr().cast::<u8>().add(at).cast::<T>().write(value) };
        self
    }

    /// Sets a text.
    pub fn text(&mut self, at: usize, text: &str) -> &mut Self {
        self.set(at, HOST.string(text.as_bytes()))
    }

    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    pub fn script(&mut self, script: &str) -> &mut Self {
        self.text(self.layout.script, script)
    }

    pub fn user(&mut self, uid: u32) -> &mut Self {
        self.set(self.layout.user_id, uid)
    }

    /// `NAME=value` in the environment.
    pub fn variable(&mut self, entry: &str) -> &mut Self {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        self.job().set_variable(name, value.as_bytes());
        self
    }

    /// `NAME=value` in the SPANK environment.
    pub fn spank_variable(&mut self, entry: &str) -> &mut Self {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        self.job().set_spank_variable(name, value.as_bytes());
        self
    }

    pub fn job(&mut self) -> JobDesc<'static> {
        // SAFETY: the memory has the layout, its strings are of HOST's allocator, and a test uses one job at a time.
        unsafe { JobDesc::new(self.memory.as_mut_ptr().cast(), self.layout, &HOST) }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let base = self.memory.as_mut_ptr().cast::<u8>();
        for (_, kind, at) in self.layout.fields() {
            // SAFETY: as in `job`; nothing of the job is used any more.
            #[allow(clippy::cast_ptr_alignment)]
            unsafe {
                let field = base.add(at).cast::<*mut c_void>();
                match kind {
                    "char *" => xfree(field),
                    "char **" => {
                        let mut entry = field.read().cast::<*mut c_void>();
                        while !entry.is_null() && !(*entry).is_null() {
                            xfree(entry);
                            entry = entry.add(1);
                        }
                        xfree(field);
                    }
                    _ => {}
                }
            }
        }
    }
}
