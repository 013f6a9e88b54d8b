//! `srun --multi-prog`: its configuration, with the shim in front of every program.
//!
//! Before Slurm 23.11 a plugin cannot change such a step's commands on the node, but srun sends the whole text of the
//! configuration along, and that can be changed.

/// The first line of a changed configuration; a comment to Slurm.
const MARK: &[u8] = b"# spank-k8s: each program is started through the shim\n";

/// The configuration with `shim` in front of each line's program. Slurm's rules (srun(1), MULTIPLE PROGRAM
/// CONFIGURATION): tasks, white space, program; a line that ends with a backslash goes on in the next one.
#[must_use]
pub fn through_shim(shim: &[u8], config: &[u8]) -> Vec<u8> {
    let mut out = MARK.to_vec();
    let mut goes_on = false;
    for line in config.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if text.is_empty() {
            continue;
        }
        match program(text).filter(|_| !goes_on) {
            Some(at) => {
                let (tasks, rest) = line.split_at(at);
                out.extend_from_slice(tasks);
                out.extend_from_slice(shim);
                out.push(b' ');
                out.extend_from_slice(rest);
            }
            None => out.extend_from_slice(line),
        }
        goes_on = text.ends_with(b"\\");
    }
    out
}

/// Whether this is a configuration that [`through_shim`] has made.
#[must_use]
pub fn is_through_shim(config: &[u8]) -> bool {
    config.starts_with(MARK)
}

/// Where a line's program begins; none in comments and in lines that Slurm refuses.
fn program(line: &[u8]) -> Option<usize> {
    let skip = |from: usize, space: bool| {
        let rest = line.get(from..)?;
        Some(from + rest.iter().position(|byte| byte.is_ascii_whitespace() != space)?)
    };
    let tasks = skip(0, true).filter(|at| line.get(*at) != Some(&b'#'))?;
    skip(skip(tasks, false)?, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(config: &str) -> String {
        let out = String::from_utf8(through_shim(b"/s", config.as_bytes())).unwrap();
        assert!(is_through_shim(out.as_bytes()) && !is_through_shim(config.as_bytes()));
        out.split_once('\n').unwrap().1.to_owned()
    }

    #[test]
    fn each_program_is_started_through_the_shim() {
        let config = "# comment\n\n0 echo a\n  1-2,5\t'a b' %t\n* /bin/true";
        assert_eq!(changed(config), "# comment\n0 /s echo a\n  1-2,5\t/s 'a b' %t\n* /s /bin/true");
    }

    #[test]
    fn a_line_that_goes_on_has_one_program() {
        assert_eq!(changed("0 echo a \\\n1 b\n1 true\n"), "0 /s echo a \\\n1 b\n1 /s true\n");
    }

    #[test]
    fn what_slurm_refuses_is_left_to_it() {
        assert_eq!(changed("0\n#\n   \n"), "0\n#\n   \n");
    }
}
