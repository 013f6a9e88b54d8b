//! The built plugins: which hooks Slurm finds in them, and what slurmctld's takes from the system.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::process::Command;

fn exported(so: &str) -> Vec<String> {
    names(so, "--defined-only")
}

/// Without the versions that the linker has written behind them.
fn names(so: &str, which: &str) -> Vec<String> {
    let path = format!("{}/../target/release/{so}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("nm").args(["-D", which, &path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.lines().filter_map(|line| line.split_whitespace().last());
    words.filter_map(|word| word.split('@').next()).map(str::to_owned).collect()
}

#[test]
fn the_plugin_exports_only_the_hooks_it_uses() {
    let mut hooks: Vec<_> =
        exported("libspank_k8s.so").into_iter().filter(|name| name.starts_with("slurm_spank_")).collect();
    hooks.sort();
    assert_eq!(
        hooks,
        [
            "slurm_spank_exit",
            "slurm_spank_init",
            "slurm_spank_init_failure_mode",
            "slurm_spank_init_post_opt",
            "slurm_spank_local_user_init",
            "slurm_spank_task_init",
        ]
    );
}

#[test]
fn slurm_finds_the_plugins_name_type_and_version() {
    let names = exported("libspank_k8s.so");
    for name in ["plugin_name", "plugin_type", "plugin_version"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing");
    }
}

#[test]
fn the_plugin_of_slurmctld_exports_what_slurmctld_looks_for_and_no_more() {
    let mut names = exported("libjob_submit_k8s.so");
    names.sort();
    let expected =
        ["fini", "init", "job_modify", "job_submit", "plugin_name", "plugin_type", "plugin_version"].map(str::to_owned);
    assert_eq!(names, expected);
}

/// As `make reproducible` has it, at the price of a look.
#[test]
fn no_file_tells_who_built_it() {
    let home = std::env::home_dir().unwrap();
    let registry = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), Into::into).join("registry");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let of_static = "static/x86_64-unknown-linux-gnu/release/slurm-k8s-";
    for file in [
        "release/libspank_k8s.so",
        "release/libjob_submit_k8s.so",
        "release/slurm-k8s",
        &format!("{of_static}agent"),
        &format!("{of_static}runtime"),
    ] {
        let bytes = std::fs::read(root.join("target").join(file)).unwrap();
        for path in [&registry, root] {
            let path = path.as_os_str().as_encoded_bytes();
            let tells = bytes.windows(path.len()).any(|window| window == path);
            assert!(!tells, "{file} has {}", String::from_utf8_lossy(path));
        }
    }
}

/// All that the plugin in slurmctld takes from the system, and what for. Nothing of it reaches a network, another process
/// or thread; files are opened by `open64` only.
const TAKEN: &[(&str, &[&str])] = &[
    ("reads its config", &["open64", "read", "close", "stat64", "statx", "fstat64", "lseek64", "clock_gettime"]),
    (
        "finds Slurm's functions and version in the process; dlopen with RTLD_NOLOAD only",
        &["dl_iterate_phdr", "dlopen", "dlsym", "dlclose"],
    ),
    (
        "memory and text",
        &[
            "malloc",
            "calloc",
            "realloc",
            "free",
            "posix_memalign",
            "memcpy",
            "memmove",
            "memset",
            "memcmp",
            "bcmp",
            "strlen",
        ],
    ),
    ("std: errors of the system", &["__errno_location", "__xpg_strerror_r"]),
    ("std: locks by futex, and the seed of hash maps, by their numbers", &["syscall"]),
    (
        "std: what a thread has of its own",
        &[
            "__tls_get_addr",
            "__cxa_thread_atexit_impl",
            "pthread_key_create",
            "pthread_key_delete",
            "pthread_setspecific",
            "gettid",
        ],
    ),
    (
        "std: a panic that is caught tells where it was, by the program's own files",
        &["getenv", "getcwd", "readlink", "realpath", "mmap64", "munmap", "write", "writev", "abort"],
    ),
    (
        "unwinding, from libgcc_s",
        &[
            "_Unwind_Backtrace",
            "_Unwind_DeleteException",
            "_Unwind_GetDataRelBase",
            "_Unwind_GetIP",
            "_Unwind_GetIPInfo",
            "_Unwind_GetLanguageSpecificData",
            "_Unwind_GetRegionStart",
            "_Unwind_GetTextRelBase",
            "_Unwind_RaiseException",
            "_Unwind_Resume",
            "_Unwind_SetGR",
            "_Unwind_SetIP",
        ],
    ),
    (
        "each shared object of the compiler's",
        &["__cxa_finalize", "__gmon_start__", "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable"],
    ),
];

#[test]
fn the_plugin_of_slurmctld_takes_nothing_of_networks_processes_or_threads() {
    let taken = names("libjob_submit_k8s.so", "--undefined-only");
    assert!(taken.iter().any(|name| name == "open64"), "nm shows no imports: {taken:?}");
    let known = |name: &String| TAKEN.iter().any(|(_, names)| names.contains(&name.as_str()));
    let more: Vec<_> = taken.iter().filter(|name| !known(name)).collect();
    assert!(more.is_empty(), "{more:?} is not in the table: what for?");
    // The other plugin does have what this one is not to have: the check sees it.
    let other = names("libspank_k8s.so", "--undefined-only");
    for name in ["socket", "connect", "fork", "execvp", "pthread_create", "getaddrinfo"] {
        assert!(other.iter().any(|taken| taken == name), "the table was not needed for {name}");
        assert!(!TAKEN.iter().any(|(_, names)| names.contains(&name)), "{name}");
    }
}
