//! The admin's Pod template: what a site has in every Pod besides what we make. Where both say something, ours holds.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};

use crate::pod::CONTAINER;

/// Why a template cannot be used; the file's name is the caller's to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A value of another type than a Pod has there.
    #[error("line {line}: {field}: {reason}")]
    Type {
        /// The line, from 1.
        line: usize,
        /// The field with its path.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// Not YAML.
    #[error("line {line}: {reason}")]
    Yaml {
        /// The line, from 1.
        line: u64,
        /// What the parser says, on one line.
        reason: String,
    },
    /// No Pod has such a field.
    #[error("line {line}: a Pod has no field {field}")]
    Unknown {
        /// The line, from 1.
        line: usize,
        /// The field with its path.
        field: String,
    },
    /// A field that is ours also where we leave it out.
    #[error("line {line}: a template cannot set {field}")]
    Ours {
        /// The line, from 1.
        line: usize,
        /// The field with its path.
        field: &'static str,
    },
    /// Another container than the job's.
    #[error("a job's Pod has one container, and its name is job")]
    Container,
}

/// Fields that are ours also where we leave them out, as paths in JSON.
const OURS: &[&str] = &[
    "/metadata/name",
    "/metadata/namespace",
    "/spec/activeDeadlineSeconds",
    "/spec/hostNetwork",
    "/spec/hostPID",
    "/spec/hostIPC",
    "/spec/initContainers",
    "/spec/ephemeralContainers",
    "/spec/containers/0/command",
    "/spec/containers/0/args",
    "/status",
];

/// A template that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Value);

impl Template {
    /// Reads a Pod in YAML; it need not be whole.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let written: Value = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            TemplateError::Yaml { line, reason: one_line(&error.to_string()) }
        })?;
        let pod = match serde_json::from_value::<Pod>(written.clone()) {
            Ok(pod) => pod,
            Err(error) => {
                let (field, reason) = wrong(&written).unwrap_or_else(|| ("it".to_owned(), error.to_string()));
                return Err(TemplateError::Type { line: line(text, &field), field, reason: one_line(&reason) });
            }
        };
        let known = serde_json::to_value(&pod).unwrap_or_default();
        if let Some(path) = lost(&written, &known) {
            return Err(TemplateError::Unknown { line: line(text, &path), field: path });
        }
        if let Some(field) = OURS.iter().find(|path| written.pointer(path).is_some()) {
            return Err(TemplateError::Ours { line: line(text, field), field });
        }
        let containers = pod.spec.unwrap_or_default().containers;
        if containers.len() > 1 || containers.iter().any(|container| container.name != CONTAINER) {
            return Err(TemplateError::Container);
        }
        Ok(Self(known))
    }

    /// The Pod with what only the template has.
    #[must_use]
    pub fn under(&self, pod: Pod) -> Pod {
        let Ok(mut ours) = serde_json::to_value(&pod) else { return pod };
        fill(&mut ours, &self.0);
        serde_json::from_value(ours).unwrap_or(pod)
    }
}

/// The first value that alone, at its place, is no Pod's, and why.
fn wrong(written: &Value) -> Option<(String, String)> {
    let mut all = Vec::new();
    leaves(written, String::new(), &|value| value, &mut all);
    all.into_iter().find_map(|(path, alone)| {
        let error = serde_json::from_value::<Pod>(alone).err()?;
        Some((path, error.to_string()))
    })
}

/// Every value without others in it: its path, and an object that has it and nothing else.
fn leaves(value: &Value, path: String, around: &dyn Fn(Value) -> Value, all: &mut Vec<(String, Value)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.iter().for_each(|(name, value)| {
            let wrap = |inner| around(Value::Object([(name.clone(), inner)].into_iter().collect()));
            leaves(value, below(name), &wrap, all);
        }),
        Value::Array(items) if !items.is_empty() => items.iter().enumerate().for_each(|(at, value)| {
            let wrap = |inner| around(Value::Array(vec![inner]));
            leaves(value, below(&at.to_string()), &wrap, all);
        }),
        _ => all.push((path, around(value.clone()))),
    }
}

/// Where a field is written, for all that can be told of it.
fn line(text: &str, path: &str) -> usize {
    let key = path.rsplit(['.', '/']).next().unwrap_or_default();
    let starts = |line: &str| line.trim_start_matches([' ', '-', '{']).starts_with(&format!("{key}:"));
    text.lines().position(starts).map_or(1, |at| at + 1)
}

/// The first field of `written` that is not in `known`. A null is as good as none.
fn lost(written: &Value, known: &Value) -> Option<String> {
    let below = |name: String, written: &Value, known: Option<&Value>| match known {
        _ if written.is_null() => None,
        None => Some(name),
        Some(known) => lost(written, known).map(|path| format!("{name}.{path}")),
    };
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            written.iter().find_map(|(name, value)| below(name.clone(), value, known.get(name)))
        }
        (Value::Array(written), Value::Array(known)) => {
            written.iter().zip(known).enumerate().find_map(|(at, (w, k))| below(at.to_string(), w, Some(k)))
        }
        _ => None,
    }
}

/// Puts into `ours` what only `theirs` has.
fn fill(ours: &mut Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in theirs {
                fill(ours.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            for item in theirs {
                match ours.iter_mut().find(|own| same(own, item)) {
                    Some(own) => fill(own, item),
                    None => ours.push(item.clone()),
                }
            }
        }
        (ours @ Value::Null, theirs) => *ours = theirs.clone(),
        _ => {}
    }
}

/// Whether two items of a list are about the same thing: of one name, or equal.
fn same(ours: &Value, theirs: &Value) -> bool {
    let name = |item: &Value| item.as_object().and_then(|item: &Map<_, _>| item.get("name").cloned());
    ours == theirs || (name(ours).is_some() && name(ours) == name(theirs))
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, message) in [
            ("spec:\n  tolerations: [\n", "line "),
            ("spec:\n  priority: high\n", "line 2: spec.priority: invalid type: string \"high\""),
            ("spec:\n  tolerations: 3\n", "line 2: spec.tolerations: invalid type"),
            ("spec:\n  nodeSelector: {a: b}\n  priorityClas: high\n", "line 3: a Pod has no field spec.priorityClas"),
            (
                "spec:\n  containers:\n  - name: job\n    resource: {}\n",
                "line 4: a Pod has no field spec.containers.0.resource",
            ),
            ("spec:\n  containers:\n  - name: other\n", "a job's Pod has one container"),
            ("metadata:\n  name: x\n", "line 2: a template cannot set /metadata/name"),
            ("spec:\n  hostNetwork: true\n", "line 2: a template cannot set /spec/hostNetwork"),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn an_empty_template_changes_nothing() {
        for text in ["{}", "apiVersion: v1\nkind: Pod\n", "spec: {}\n"] {
            let template = Template::parse(text).unwrap();
            let pod = Pod::default();
            assert_eq!(
                serde_json::to_value(template.under(pod.clone())).unwrap()["metadata"],
                serde_json::to_value(pod).unwrap()["metadata"],
                "{text}"
            );
        }
    }
}
