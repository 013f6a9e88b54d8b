//! Which Slurm this process is, to the micro.

use std::ffi::{CStr, c_int, c_long, c_void};

use crate::host::symbol;

/// `SLURM_VERSION_NUMBER` of the daemon; none if that cannot be known for sure.
///
/// libslurm tells only its interface's number, which is that of the major release. But Slurm loads a plugin (SPANK's
/// aside) only if its `plugin_version` is exactly the daemon's own, and a daemon has several loaded before it comes to
/// `job_submit`: they tell the version that the daemon itself has checked. All of them must say the same.
#[must_use]
pub fn of_process() -> Option<u32> {
    let (release, mut versions) = (release()?, plugins());
    versions.dedup();
    match versions.as_slice() {
        [version] if version >> 8 == release => Some(*version),
        _ => None,
    }
}

/// As people write it: `22.05.8`.
#[must_use]
pub fn written(version: u32) -> String {
    format!("{}.{:02}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

/// Major and minor, from libslurm's libtool "current", which every release counts up by one.
fn release() -> Option<u32> {
    let address = symbol(c"slurm_api_version")?;
    // SAFETY: slurm.h: `long slurm_api_version(void)` in every version.
    let current = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_long>(address)() } >> 16;
    Some(match current {
        38 => 0x16_05,
        39 => 0x17_02,
        40 => 0x17_0b,
        41 => 0x18_05,
        42 => 0x18_0b,
        43 => 0x19_05,
        44 => 0x19_0b,
        45 => 0x1a_05,
        _ => return None,
    })
}

/// `plugin_version` of every plugin of Slurm's that is loaded in this process, SPANK's and our own aside.
fn plugins() -> Vec<u32> {
    let mut names: Vec<std::ffi::CString> = Vec::new();
    // SAFETY: dl_iterate_phdr(3) calls `collect` for each loaded object, with the address of `names`, which it alone
    // uses meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut names).cast()) };
    names.iter().filter_map(|name| version_of(name)).collect()
}

unsafe extern "C" fn collect(info: *mut libc::dl_phdr_info, _: usize, names: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr(3) gives a valid entry, whose name is a C string or null, and the pointer that `plugins`
    // has given it.
    let (name, names) = unsafe {
        let name = (*info).dlpi_name;
        (if name.is_null() { c"" } else { CStr::from_ptr(name) }, &mut *names.cast::<Vec<std::ffi::CString>>())
    };
    if name.to_bytes().ends_with(b".so") {
        names.push(name.to_owned());
    }
    0
}

fn version_of(name: &CStr) -> Option<u32> {
    // SAFETY: dlopen(3) of an object that is loaded already, which it is to stay; no code of it runs.
    let object = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if object.is_null() {
        return None;
    }
    // SAFETY: a plugin of Slurm's has `const char plugin_type[]` and `const uint32_t plugin_version` (plugin.c); the
    // object stays loaded until the dlclose below, which gives back what dlopen counted. dlsym on such a handle also
    // looks in the object's own libraries; none of those are plugins.
    unsafe {
        let kind = libc::dlsym(object, c"plugin_type".as_ptr()).cast::<std::ffi::c_char>();
        let version = libc::dlsym(object, c"plugin_version".as_ptr()).cast::<u32>();
        let found = if kind.is_null() || version.is_null() {
            None
        } else {
            let foreign = [&b"spank"[..], b"job_submit/k8s"].contains(&CStr::from_ptr(kind).to_bytes());
            (!foreign).then(|| version.read())
        };
        libc::dlclose(object);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_no_slurm_has_no_version() {
        assert_eq!(of_process(), None);
        assert_eq!(plugins(), []);
    }

    #[test]
    fn versions_are_written_as_slurm_writes_them() {
        assert_eq!(written(0x16_05_08), "22.05.8");
        assert_eq!(written(0x18_0b_0a), "24.11.10");
    }
}
