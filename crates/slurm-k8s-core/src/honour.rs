//! What keeps a job that is to run in a Pod from running on a node where Slurm has not loaded spank-k8s.
//!
//! Such a node would run the command as it finds it. So the command is not what it finds: the shim's path stands in its
//! place, in the first line of a batch script (put there in slurmctld) and in the first word of a step (put there by
//! srun). The plugin on the node puts the command back; where there is none, the shim starts, finds that nobody has
//! prepared anything for it, and says so. Where the shim is not installed either, the kernel finds nothing to start.

/// The file name of the shim.
pub const SHIM: &str = "slurm-k8s-agent";
/// The word between the shim and a script's interpreter.
pub const SCRIPT: &str = "script";
/// The variable with the first word of a step, in the step's environment. `SLURM` in front, since such variables are
/// sent whatever `--export` says.
pub const COMMAND: &str = "SLURM_SPANK_K8S_COMMAND";

/// The script with the shim as its interpreter, and its own behind it. None if it has no interpreter: no node can run
/// it then; or if the kernel cannot read the shim's path there, which ends at the first blank.
#[must_use]
pub fn mark(script: &[u8], shim: &[u8]) -> Option<Vec<u8>> {
    let own = split(script).map_or_else(|| script.strip_prefix(b"#!"), |(_, own)| Some(own))?;
    let line = own.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.trim_ascii().is_empty() || shim.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    let parts = [b"#!", shim, b" ", SCRIPT.as_bytes(), b" ", own];
    // Room for the zero byte of C, so that 4 MiB are copied once.
    let mut marked = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 1);
    parts.iter().for_each(|part| marked.extend_from_slice(part));
    Some(marked)
}

/// The script as it was; none if it is not marked.
#[must_use]
pub fn unmark(script: &[u8]) -> Option<Vec<u8>> {
    let (_, own) = split(script)?;
    Some([b"#!", own].concat())
}

/// Whether the script's beginning is that of a marked one.
#[must_use]
pub fn is_marked(beginning: &[u8]) -> bool {
    split(beginning).is_some()
}

/// Whether the shim's first argument is what the kernel gives the interpreter of a marked script: the rest of the first
/// line, as one word.
#[must_use]
pub fn is_of_script(argument: &[u8]) -> bool {
    argument.strip_prefix(SCRIPT.as_bytes()).is_some_and(|rest| rest.starts_with(b" "))
}

/// Whether a path is that of a shim, wherever the site that put it there keeps its own.
#[must_use]
pub fn is_shim(path: &[u8]) -> bool {
    path.starts_with(b"/") && path.rsplit(|byte| *byte == b'/').next() == Some(SHIM.as_bytes())
}

/// The shim, and what was behind `#!` before, with all that follows.
fn split(script: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = script.strip_prefix(b"#!")?;
    let at = rest.iter().position(u8::is_ascii_whitespace)?;
    let (shim, rest) = rest.split_at(at);
    let own = rest.strip_prefix(b" ")?.strip_prefix(SCRIPT.as_bytes())?.strip_prefix(b" ")?;
    is_shim(shim).then_some((shim, own))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: &[u8] = b"/usr/libexec/slurm-k8s/slurm-k8s-agent";

    #[test]
    fn a_script_is_marked_in_its_first_line_only() {
        for (script, marked) in [
            ("#!/bin/bash -l\necho hi\n", "#!/usr/libexec/slurm-k8s/slurm-k8s-agent script /bin/bash -l\necho hi\n"),
            ("#! /usr/bin/env python3", "#!/usr/libexec/slurm-k8s/slurm-k8s-agent script  /usr/bin/env python3"),
            ("#!/bin/sh\r\ntrue\r\n", "#!/usr/libexec/slurm-k8s/slurm-k8s-agent script /bin/sh\r\ntrue\r\n"),
        ] {
            let found = mark(script.as_bytes(), HERE).unwrap();
            assert_eq!(String::from_utf8_lossy(&found), marked);
            assert!(is_marked(&found) && !is_marked(script.as_bytes()));
            assert_eq!(unmark(&found).unwrap(), script.as_bytes());
            assert_eq!(unmark(script.as_bytes()), None);
        }
    }

    #[test]
    fn a_marked_script_that_comes_again_is_marked_once() {
        let once = mark(b"#!/bin/sh\n", b"/opt/k8s/slurm-k8s-agent").unwrap();
        let again = mark(&once, HERE).unwrap();
        assert_eq!(again, mark(b"#!/bin/sh\n", HERE).unwrap());
    }

    #[test]
    fn what_no_node_can_run_is_left_alone() {
        for script in ["", "echo hi\n", "#!", "#!\n/bin/sh", "#! \t\nx", " #!/bin/sh"] {
            assert_eq!(mark(script.as_bytes(), HERE), None, "{script:?}");
        }
        assert_eq!(mark(b"#!/bin/sh\n", b"/opt/my site/slurm-k8s-agent"), None);
    }

    #[test]
    fn other_programs_are_no_shims() {
        assert!(is_shim(HERE));
        for path in ["slurm-k8s-agent", "/bin/sh", "/x/slurm-k8s-agent2", "/slurm-k8s-agent/x", ""] {
            assert!(!is_shim(path.as_bytes()), "{path}");
        }
        assert!(is_of_script(b"script /bin/bash -l"));
        assert!(!is_of_script(b"script") && !is_of_script(b"exec"));
        assert!(!is_marked(b"#!/usr/bin/slurm-k8s-agent exec 3 4\n"));
    }

    proptest! {
        #[test]
        fn what_is_marked_comes_back(script in proptest::collection::vec(any::<u8>(), 0..200)) {
            let script = [b"#!/", &script[..]].concat();
            if !is_marked(&script) {
                let marked = mark(&script, HERE).unwrap();
                prop_assert_eq!(unmark(&marked).unwrap(), script);
            }
        }
    }
}
