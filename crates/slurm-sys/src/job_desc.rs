//! A job as it is submitted or changed: `job_desc_msg_t`.

use std::ffi::{CStr, CString, c_char, c_void};

use crate::host::Host;
use crate::layout::Layout;

/// What stands for "not given" in numbers of 16, 32 and 64 bits (slurm.h).
pub const NO_VAL16: u16 = 0xfffe;
/// As [`NO_VAL16`].
pub const NO_VAL: u32 = 0xffff_fffe;
/// As [`NO_VAL16`].
pub const NO_VAL64: u64 = 0xffff_ffff_ffff_fffe;
/// The bit in `pn_min_memory` that makes it the memory of a cpu.
const MEM_PER_CPU: u64 = 0x8000_0000_0000_0000;

/// Memory that a job asks for, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// On each node (`--mem`); 0 is all there is.
    Node(u64),
    /// For each cpu (`--mem-per-cpu`).
    Cpu(u64),
}

/// A job, while one of the plugin's functions has it.
#[derive(Debug)]
pub struct JobDesc<'a> {
    base: *mut u8,
    layout: &'static Layout,
    host: &'a Host,
}

impl<'a> JobDesc<'a> {
    /// # Safety
    ///
    /// `job` is a `job_desc_msg_t` of a version that the layout is for, which nobody else uses while this lives, and
    /// whose strings and arrays are of `host`'s allocator.
    #[must_use]
    pub unsafe fn new(job: *mut c_void, layout: &'static Layout, host: &'a Host) -> Self {
        Self { base: job.cast(), layout, host }
    }

    fn field<T>(&self, at: usize) -> *mut T {
        // SAFETY: `at` is one of the layout's offsets, each within the structure and, since it is the C compiler's,
        // aligned for the field's type.
        #[allow(clippy::cast_ptr_alignment)]
        unsafe {
            self.base.add(at).cast()
        }
    }

    fn get<T: Copy>(&self, at: usize) -> T {
        // SAFETY: the field at that offset has this type, and nobody changes it meanwhile.
        unsafe { self.field::<T>(at).read() }
    }

    fn text(&self, at: usize) -> Option<&[u8]> {
        let text: *const c_char = self.get(at);
        // SAFETY: a `char *` of the structure is null or a C string, which lives as long as nobody sets the field;
        // that takes `&mut self`.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
    }

    /// The batch script; none in a job of srun or salloc.
    #[must_use]
    pub fn script(&self) -> Option<&[u8]> {
        self.text(self.layout.script)
    }

    /// The batch script's environment, as `NAME=value`.
    pub fn environment(&self) -> impl Iterator<Item = &[u8]> {
        self.list(self.layout.environment, self.layout.env_size)
    }

    /// What SPANK plugins of the submitting command have given the job, as `NAME=value`.
    pub fn spank_environment(&self) -> impl Iterator<Item = &[u8]> {
        self.list(self.layout.spank_job_env, self.layout.spank_job_env_size)
    }

    fn list(&self, array: usize, size: usize) -> impl Iterator<Item = &[u8]> {
        let array: *const *const c_char = self.get(array);
        let size = if array.is_null() { 0 } else { self.get::<u32>(size) as usize };
        // SAFETY: the array has `size` pointers, each null or a C string, that live as in `text`.
        (0..size).map_while(move |at| unsafe {
            let entry = array.add(at).read();
            (!entry.is_null()).then(|| CStr::from_ptr(entry).to_bytes())
        })
    }

    /// The job's user.
    #[must_use]
    pub fn user_id(&self) -> u32 {
        self.get(self.layout.user_id)
    }

    /// Which component of a heterogeneous job it is.
    #[must_use]
    pub fn het_component(&self) -> Option<u32> {
        Some(self.get::<u32>(self.layout.het_job_offset)).filter(|at| *at != NO_VAL)
    }

    /// `--account`.
    #[must_use]
    pub fn account(&self) -> Option<&[u8]> {
        self.text(self.layout.account)
    }

    /// `--partition`.
    #[must_use]
    pub fn partition(&self) -> Option<&[u8]> {
        self.text(self.layout.partition)
    }

    /// `--output`.
    #[must_use]
    pub fn output(&self) -> Option<&[u8]> {
        self.text(self.layout.std_out)
    }

    /// `--error`.
    #[must_use]
    pub fn error(&self) -> Option<&[u8]> {
        self.text(self.layout.std_err)
    }

    /// `--array`.
    #[must_use]
    pub fn array(&self) -> Option<&[u8]> {
        self.text(self.layout.array_inx)
    }

    /// `--time`, in minutes.
    #[must_use]
    pub fn minutes(&self) -> Option<u32> {
        number(self.get(self.layout.time_limit))
    }

    /// `--cpus-per-task`.
    #[must_use]
    pub fn cpus_per_task(&self) -> Option<u32> {
        small(self.get(self.layout.cpus_per_task))
    }

    /// `--ntasks-per-node`.
    #[must_use]
    pub fn tasks_per_node(&self) -> Option<u32> {
        small(self.get(self.layout.ntasks_per_node)).filter(|tasks| *tasks > 0)
    }

    /// `--ntasks`.
    #[must_use]
    pub fn tasks(&self) -> Option<u32> {
        number(self.get(self.layout.num_tasks))
    }

    /// The cpus of the whole job, at least.
    #[must_use]
    pub fn cpus(&self) -> Option<u32> {
        number(self.get(self.layout.min_cpus))
    }

    /// `--nodes`, at least.
    #[must_use]
    pub fn nodes(&self) -> Option<u32> {
        number(self.get(self.layout.min_nodes)).filter(|nodes| *nodes > 0)
    }

    /// `--mem` or `--mem-per-cpu`.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        match self.get(self.layout.pn_min_memory) {
            NO_VAL64 => None,
            memory if memory & MEM_PER_CPU != 0 => Some(Memory::Cpu(memory & !MEM_PER_CPU)),
            memory => Some(Memory::Node(memory)),
        }
    }

    /// Memory for each GPU or the like (`--mem-per-gpu`), as Slurm writes it.
    #[must_use]
    pub fn memory_per_gres(&self) -> Option<&[u8]> {
        self.text(self.layout.mem_per_tres)
    }

    /// Cpus for each GPU or the like (`--cpus-per-gpu`), as Slurm writes it.
    #[must_use]
    pub fn cpus_per_gres(&self) -> Option<&[u8]> {
        self.text(self.layout.cpus_per_tres)
    }

    /// GRES of the job, of each node, of each socket and of each task, as Slurm writes them: `gres:gpu:2`.
    #[must_use]
    pub fn gres(&self) -> [Option<&[u8]>; 4] {
        let layout = self.layout;
        [layout.tres_per_job, layout.tres_per_node, layout.tres_per_socket, layout.tres_per_task]
            .map(|at| self.text(at))
    }

    /// Sets a variable of the batch script's environment; false if the value has a NUL.
    pub fn set_variable(&mut self, name: &str, value: &[u8]) -> bool {
        self.set_in(self.layout.environment, self.layout.env_size, name, value)
    }

    /// Sets a variable of the job's SPANK environment; false if the value has a NUL.
    pub fn set_spank_variable(&mut self, name: &str, value: &[u8]) -> bool {
        self.set_in(self.layout.spank_job_env, self.layout.spank_job_env_size, name, value)
    }

    fn set_in(&mut self, array: usize, size: usize, name: &str, value: &[u8]) -> bool {
        let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else {
            return false;
        };
        let array: *mut *mut *mut c_char = self.field(array);
        // SAFETY: the field is null or an array of Slurm's own that ends with null: whoever unpacks the message makes it
        // so, and Slurm's own plugins call this function on it (job_submit/lua). It sets the field. What is counted
        // then are the entries before that null.
        unsafe {
            (self.host.env_array_overwrite)(array, name.as_ptr(), value.as_ptr());
            let entries = *array;
            let count = if entries.is_null() {
                0
            } else {
                (0..u32::MAX).take_while(|at| !(*entries.add(*at as usize)).is_null()).count()
            };
            self.field::<u32>(size).write(u32::try_from(count).unwrap_or(u32::MAX));
        }
        true
    }

    /// Puts another batch script in the place of the one that is there; false if it has a NUL.
    ///
    /// `mark` goes into the script's hash, by which Slurm's accounting tells scripts apart (`AccountingStoreFlags`): it
    /// was computed before, and must not be that of the unchanged script.
    pub fn set_script(&mut self, script: impl Into<Vec<u8>>, mark: u8) -> bool {
        if !self.set_text(self.layout.script, script) {
            return false;
        }
        // SAFETY: `slurm_hash_t` is one byte for the kind and 32 for the hash.
        unsafe {
            let hash: *mut u8 = self.field::<u8>(self.layout.script_hash).add(1);
            hash.write(hash.read() ^ mark);
        }
        true
    }

    /// Sets `--output`; false if it has a NUL.
    pub fn set_output(&mut self, pattern: impl Into<Vec<u8>>) -> bool {
        self.set_text(self.layout.std_out, pattern)
    }

    /// Sets `--error`; false if it has a NUL.
    pub fn set_error(&mut self, pattern: impl Into<Vec<u8>>) -> bool {
        self.set_text(self.layout.std_err, pattern)
    }

    fn set_text(&mut self, at: usize, text: impl Into<Vec<u8>>) -> bool {
        let text = self.host.string(text);
        if text.is_null() {
            return false;
        }
        let field: *mut *mut c_char = self.field(at);
        // SAFETY: the field has null or a string of Slurm's allocator, which xfree takes and sets to null; `text` is
        // one, too.
        unsafe {
            (self.host.xfree)(field.cast());
            field.write(text);
        }
        true
    }
}

fn number(value: u32) -> Option<u32> {
    Some(value).filter(|value| *value != NO_VAL)
}

fn small(value: u16) -> Option<u32> {
    Some(value).filter(|value| *value != NO_VAL16).map(u32::from)
}

#[cfg(test)]
mod tests {
    use crate::fake::Fake;
    use crate::layout::LAYOUTS;

    #[test]
    fn in_every_layout_what_is_set_is_read() {
        for layout in LAYOUTS {
            let mut fake = Fake::new(layout);
            fake.script("#!/bin/sh\ntrue\n").variable("A=1").variable("B=2").user(1000);
            let mut job = fake.job();
            assert_eq!(job.script(), Some(&b"#!/bin/sh\ntrue\n"[..]));
            assert_eq!((job.user_id(), job.minutes(), job.memory()), (1000, None, None));
            assert!(job.set_variable("B", b"3") && job.set_variable("C", b"x=y") && job.set_spank_variable("D", b""));
            assert_eq!(job.environment().collect::<Vec<_>>(), [&b"A=1"[..], b"B=3", b"C=x=y"]);
            assert_eq!(job.spank_environment().collect::<Vec<_>>(), [b"D="]);
            assert!(job.set_script(*b"#!/bin/bash\n", 1));
            assert_eq!(job.script(), Some(&b"#!/bin/bash\n"[..]));
            assert_eq!((job.output(), job.error(), job.array()), (None, None, None));
            assert!(job.set_output(*b"/out") && job.set_error(*b"/err") && job.set_error(*b"/other"));
            assert_eq!((job.output(), job.error()), (Some(&b"/out"[..]), Some(&b"/other"[..])));
            assert!(!job.set_script(*b"\0", 1) && !job.set_variable("E", b"\0"));
        }
    }
}
