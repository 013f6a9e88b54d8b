//! The layouts that `job_submit_k8s.so` goes by, against the headers of every Slurm that this machine has.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use slurm_k8s_slurm_sys::layout;

/// The machine's own, which `cargo testbed up` installs, and those of the other releases that it has in its cache.
fn headers() -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
    let systems = cache.map_or_else(|| home.join(".cache"), PathBuf::from).join("spank-k8s/system");
    let others = std::fs::read_dir(systems).into_iter().flatten().flatten();
    let mut folders = vec![PathBuf::from("/usr/include")];
    folders.extend(others.map(|entry| entry.path().join("usr/include")));
    folders.retain(|folder| folder.join("slurm/slurm.h").exists());
    folders
}

fn version(folder: &Path) -> u32 {
    let text = std::fs::read_to_string(folder.join("slurm/slurm_version.h")).unwrap();
    let number = text.split("SLURM_VERSION_NUMBER 0x").nth(1).unwrap();
    let digits = number.chars().take_while(char::is_ascii_hexdigit).collect::<String>();
    u32::from_str_radix(&digits, 16).unwrap()
}

#[test]
fn each_part_is_where_the_c_compiler_puts_it() {
    let folders = headers();
    assert!(!folders.is_empty(), "no slurm/slurm.h: `cargo testbed up` installs libslurm-dev");
    for folder in folders {
        let version = version(&folder);
        let layout = layout::of(version).unwrap_or_else(|| {
            panic!("Slurm {version:#08x} of {} is not in table.rs: run crates/slurm-sys/generate.sh", folder.display())
        });
        let mut source = String::from("#include <stddef.h>\n#include <slurm/slurm.h>\n");
        for (field, kind, at) in layout.fields() {
            source += &format!("_Static_assert(offsetof(job_desc_msg_t, {field}) == {at}, \"{field}\");\n");
            source += &format!(
                "_Static_assert(__builtin_types_compatible_p(__typeof__(((job_desc_msg_t *)0)->{field}), {kind}), \"type of {field}\");\n"
            );
        }
        source += &format!("_Static_assert(sizeof(job_desc_msg_t) == {}, \"size\");\n", layout.size);
        source +=
            "_Static_assert(NO_VAL == 0xfffffffe && NO_VAL16 == 0xfffe && MEM_PER_CPU == 1ULL << 63, \"values\");\n";
        let file = std::env::temp_dir().join(format!("layout-{}-{version:x}.c", std::process::id()));
        std::fs::write(&file, source).unwrap();
        let output = Command::new("cc").arg("-fsyntax-only").arg("-I").arg(&folder).arg(&file).output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(output.status.success(), "{version:#08x}: {}", String::from_utf8_lossy(&output.stderr));
        println!("{} is Slurm {version:#08x}: as table.rs has it", folder.display());
    }
}
