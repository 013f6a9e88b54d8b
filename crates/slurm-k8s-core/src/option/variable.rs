//! `--k8s-env`: variables of the user's process, beside what Slurm and the image give it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::list;

/// One variable that the user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; none takes the job's own value, also where the image's would hold.
    pub value: Option<Vec<u8>>,
}

/// What is wrong with a list of variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// Not a name that a shell takes.
    #[error("{0} is not a variable's name")]
    Name(String),
    /// A name that Slurm or we need.
    #[error("{0} is Slurm's own")]
    Taken(String),
}

/// Reads `NAME[=VALUE],…`. The last of two with one name holds, as in env(1).
pub fn parse(text: &[u8]) -> Result<Vec<Variable>, VariableError> {
    let mut variables: Vec<Variable> = Vec::new();
    for item in list::split(text, b',') {
        let item = list::plain(&item);
        let (name, value) = match item.iter().position(|byte| *byte == b'=') {
            Some(at) => (item.get(..at).unwrap_or_default(), item.get(at + 1..).map(<[u8]>::to_vec)),
            None => (item.as_slice(), None),
        };
        let shown = || crate::shown::quoted(name);
        let name =
            std::str::from_utf8(name).ok().filter(|name| is_name(name)).ok_or_else(|| VariableError::Name(shown()))?;
        if name.starts_with("SLURM_") || name.starts_with("SPANK_") {
            return Err(VariableError::Taken(shown()));
        }
        variables.retain(|variable| variable.name != name);
        variables.push(Variable { name: name.to_owned(), value });
    }
    Ok(variables)
}

/// The text that [`parse`] reads back.
#[must_use]
pub fn written(variables: &[Variable]) -> OsString {
    let one = |variable: &Variable| {
        let mut item = variable.name.clone().into_bytes();
        if let Some(value) = &variable.value {
            item.push(b'=');
            item.extend_from_slice(value);
        }
        list::escaped(&item, b",")
    };
    OsString::from_vec(variables.iter().map(one).collect::<Vec<_>>().join(&b','))
}

pub(crate) fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(word) && name.starts_with(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn of(name: &str, value: Option<&str>) -> Variable {
        Variable { name: name.into(), value: value.map(|value| value.as_bytes().to_vec()) }
    }

    #[test]
    fn variables_are_read_and_written() {
        for (text, expected) in [
            ("A", vec![of("A", None)]),
            ("A=", vec![of("A", Some(""))]),
            ("A=1,B=a=b,_c", vec![of("A", Some("1")), of("B", Some("a=b")), of("_c", None)]),
            ("A=x\\,y", vec![of("A", Some("x,y"))]),
            ("A=1,A=2", vec![of("A", Some("2"))]),
        ] {
            let variables = parse(text.as_bytes()).unwrap();
            assert_eq!(variables, expected);
            assert_eq!(parse(written(&variables).as_bytes()).unwrap(), variables);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "\"\" is not a variable's name"),
            ("A,1B=x", "\"1B\" is not a variable's name"),
            ("A-B=x", "\"A-B\" is not a variable's name"),
            ("SLURM_PROCID=1", "\"SLURM_PROCID\" is Slurm's own"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected);
        }
    }
}
