//! `job_submit_k8s.so` fits itself to the Slurm that loads it, and to no other: in a program that stands for slurmctld.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What of Slurm the plugin needs, then the plugins in its order; prints the last one's version.
const HOST: &str = r#"
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
long slurm_api_version(void) { return atol(getenv("API")) << 16; }
char *slurm_xstrdup(const char *text) { return strdup(text); }
void slurm_xfree(void **pointer) { free(*pointer); *pointer = NULL; }
int slurm_env_array_overwrite(char ***array, const char *name, const char *value) { return 1; }
void slurm_info(const char *format, ...) { va_list list; va_start(list, format); vprintf(format, list); puts(""); }
int slurm_error(const char *format, ...) { va_list list; va_start(list, format); vprintf(format, list); puts(""); return -1; }
int main(int count, char **path) {
    void *plugin = NULL;
    for (int i = 1; i < count; i++)
        if (!(plugin = dlopen(path[i], RTLD_LAZY))) { puts(dlerror()); return 1; }
    printf("%06x\n", *(uint32_t *)dlsym(plugin, "plugin_version"));
    return 0;
}
"#;

fn compile(folder: &Path, name: &str, source: &str, options: &[&str]) -> PathBuf {
    let (file, out) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&file, source).unwrap();
    let output = Command::new("cc").args(options).arg("-o").arg(&out).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out
}

struct Bench(PathBuf);

impl Bench {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("spank-k8s-fit-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        compile(&folder, "host", HOST, &["-rdynamic"]);
        Self(folder)
    }

    /// A plugin of Slurm's own, of this kind and version.
    fn plugin(&self, name: &str, kind: &str, version: u32) -> PathBuf {
        let source = format!("const char plugin_type[] = \"{kind}\"; const unsigned plugin_version = {version:#x};");
        compile(&self.0, &format!("{name}.so"), &source, &["-shared", "-fPIC"])
    }

    /// What the host says with these plugins loaded before ours.
    fn loads(&self, api: u32, before: &[PathBuf]) -> String {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/libjob_submit_k8s.so");
        let mut host = Command::new(self.0.join("host"));
        let output = host.args(before).arg(ours).env("API", api.to_string()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn it_takes_the_version_that_slurmctld_has_checked() {
    let bench = Bench::new("known");
    for (api, version) in [(38, 0x16_05_08), (42, 0x18_0b_05), (45, 0x1a_05_05)] {
        let auth = bench.plugin("auth_x", "auth/x", version);
        let spank = bench.plugin("spank_y", "spank", 0x16_05_00);
        assert_eq!(bench.loads(api, &[auth.clone(), spank]), format!("{version:06x}"));
        let same = bench.plugin("select_x", "select/x", version);
        assert_eq!(bench.loads(api, &[auth, same]), format!("{version:06x}"));
    }
}

#[test]
fn a_version_that_nobody_has_measured_is_named_and_refused() {
    let bench = Bench::new("unknown");
    let auth = bench.plugin("auth_x", "auth/x", 0x16_05_63);
    let said = "job_submit/k8s: this build of spank-k8s does not know Slurm 22.05.99; install one that does, or take k8s \
                out of JobSubmitPlugins\n000000";
    assert_eq!(bench.loads(38, &[auth]), said);
}

#[test]
fn a_version_that_is_not_sure_is_none() {
    let bench = Bench::new("unsure");
    let unsure = "job_submit/k8s: cannot tell which Slurm this is; the plugin does not load\n000000";
    let auth = bench.plugin("auth_x", "auth/x", 0x16_05_08);
    let other = bench.plugin("select_x", "select/x", 0x16_05_07);
    assert_eq!(bench.loads(38, &[]), unsure, "no plugin tells it");
    assert_eq!(bench.loads(38, &[auth.clone(), other]), unsure, "two say different things");
    assert_eq!(bench.loads(42, std::slice::from_ref(&auth)), unsure, "libslurm says another release");
    assert_eq!(bench.loads(99, &[auth]), unsure, "libslurm's release is not known");
}
