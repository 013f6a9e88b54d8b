use proptest::prelude::*;

use super::*;

/// `KEY=VALUE` of each directive, and `PLACE: CAUSE | HINT` of each fault.
fn read(script: &[u8]) -> (Vec<String>, Vec<String>) {
    let head = head(script, 0);
    let directive =
        |line: &Directive<'_>| format!("{}={}", line.option.directive(), String::from_utf8_lossy(&line.value));
    let fault =
        |(place, error): &(Place, LineError)| format!("{place}: {error} | {}", error.hint().unwrap_or_default());
    (head.directives.iter().map(directive).collect(), head.faults.iter().map(fault).collect())
}

#[test]
fn directives_stand_before_the_first_command() {
    for (script, expected, body) in [
        ("#!/bin/sh\n#K8S_IMAGE=a\necho\n#K8S_IO=tee\n", &["K8S_IMAGE=a"][..], Some(3)),
        ("#!/bin/sh\n\n  # text\n#SBATCH -n1\n \t\n#K8S_IMAGE=a\n#\n", &["K8S_IMAGE=a"], None),
        ("#!/bin/sh\n#K8S_IMAGE=a", &["K8S_IMAGE=a"], None),
        ("#K8S_IMAGE=a\r\n#K8S_IO=tee\r\n\r\n x\r\n", &["K8S_IMAGE=a", "K8S_IO=tee"], Some(4)),
        ("echo\n#K8S_IMAGE=a\n", &[], Some(1)),
        ("\x0b\x0c\n:\n#K8S_IMAGE=a\n", &[], Some(2)),
        ("\u{feff}#!/bin/sh\n#K8S_IMAGE=a\n", &[], Some(1)),
        ("", &[], None),
        ("#!/bin/sh\n##K8S_IMAGE=a\n# see K8S_IMAGE=a\n#K8S\n#K8SIMAGE=a\n# k8s_cluster = x\n", &[], None),
    ] {
        assert_eq!(read(script.as_bytes()), (expected.iter().map(|&s| s.to_owned()).collect(), vec![]), "{script:?}");
        assert_eq!(head(script.as_bytes(), 0).body, body, "{script:?}");
        assert_eq!(has_body(script.as_bytes()), body.is_some(), "{script:?}");
    }
}

#[test]
fn values_are_read_as_sbatch_reads_them() {
    for (line, expected) in [
        ("#K8S_IMAGE=nas-hub.local:5407/a/b:1@sha256:0", "K8S_IMAGE=nas-hub.local:5407/a/b:1@sha256:0"),
        ("#K8S_IMAGE=a   # the image", "K8S_IMAGE=a"),
        ("#K8S_IMAGE=a \t ", "K8S_IMAGE=a"),
        ("#K8S_WORKDIR='/my dir'", "K8S_WORKDIR=/my dir"),
        ("#K8S_WORKDIR=\"/my dir\" # quoted", "K8S_WORKDIR=/my dir"),
        ("#K8S_WORKDIR=/my\\ dir", "K8S_WORKDIR=/my dir"),
        ("#K8S_ENV=A=\\#1,B='x y'", "K8S_ENV=A=#1,B=x y"),
        ("#K8S_MOUNTS=/a\\\\:b:/c", "K8S_MOUNTS=/a\\:b:/c"),
        ("#K8S_IMAGE=", "K8S_IMAGE="),
        ("#K8S_IMAGE= # later", "K8S_IMAGE="),
        ("#K8S_IMAGE=''", "K8S_IMAGE="),
        ("#K8S_KEEP=yes", "K8S_KEEP=yes"),
        ("#K8S_SHM_SIZE=8G", "K8S_SHM_SIZE=8G"),
    ] {
        assert_eq!(read(line.as_bytes()), (vec![expected.to_owned()], vec![]), "{line}");
    }
    let (directives, _) = read(b"#K8S_WORKDIR=/\xff\xfe\n");
    assert_eq!(directives, ["K8S_WORKDIR=/\u{fffd}\u{fffd}"]);
}

#[test]
fn what_was_meant_to_be_a_directive_is_told() {
    for (line, expected) in [
        ("#K8S_IMGAE=a", "1:1: there is no #K8S_IMGAE | did you mean #K8S_IMAGE?"),
        ("#K8S_NO_KEEP=yes", "1:1: there is no #K8S_NO_KEEP | write #K8S_KEEP=no"),
        ("#K8S_=a", "1:1: there is no #K8S_ | `sbatch --help` has the options: --k8s-shm-size is #K8S_SHM_SIZE here"),
        ("#K8S_IMAGE nas/a", "1:11: #K8S_IMAGE has no '=' right before its value | write #K8S_IMAGE=nas/a"),
        ("#K8S_IMAGE: nas/a", "1:11: #K8S_IMAGE has no '=' right before its value | write #K8S_IMAGE=nas/a"),
        ("#K8S_IMAGE = nas/a", "1:11: #K8S_IMAGE has no '=' right before its value | write #K8S_IMAGE=nas/a"),
        ("#K8S_IMAGE= nas/a", "1:11: #K8S_IMAGE has no '=' right before its value | write #K8S_IMAGE=nas/a"),
        (
            "#K8S_WORKDIR /my dir",
            "1:13: #K8S_WORKDIR has no '=' right before its value | write #K8S_WORKDIR=\"/my dir\"",
        ),
        ("#K8S_IMAGE", "1:11: #K8S_IMAGE has no value | write #K8S_IMAGE=IMAGE"),
        ("#K8S_KEEP", "1:10: #K8S_KEEP has no value | write #K8S_KEEP=yes|no"),
        ("#k8s_image=a", "1:1: #k8s_image is not read: directives are in upper case, with '_' | write #K8S_IMAGE=…"),
        ("#K8S_image=a", "1:1: #K8S_image is not read: directives are in upper case, with '_' | write #K8S_IMAGE=…"),
        (
            "#K8S-SHM-SIZE=a",
            "1:1: #K8S-SHM-SIZE is not read: directives are in upper case, with '_' | write #K8S_SHM_SIZE=…",
        ),
        (
            "# K8S_IMAGE=a",
            "1:1: # K8S_IMAGE is a comment: a directive begins with #K8S_ at the beginning of the line | if it is meant, \
             write #K8S_IMAGE=…; if not, write ##K8S_IMAGE",
        ),
        (
            "  #K8S_IMAGE=a",
            "1:3: #K8S_IMAGE is a comment: a directive begins with #K8S_ at the beginning of the line | if it is meant, \
             write #K8S_IMAGE=…; if not, write ##K8S_IMAGE",
        ),
        (
            "#K8S_WORKDIR=/my dir",
            "1:18: #K8S_WORKDIR: after the value there is \"dir\" | write #K8S_WORKDIR=\"/my dir\", or '#' before a \
             comment",
        ),
        (
            "#K8S_IMAGE=nvcr.io#nvidia/a",
            "1:19: #K8S_IMAGE: the value ends at '#': it is \"nvcr.io\" | put a blank before a comment, or write \
             #K8S_IMAGE=\"nvcr.io#nvidia/a\" if '#' is part of the value",
        ),
        (
            "#K8S_ENV=A='b",
            "1:10: #K8S_ENV: the quote ' has no end in this line | close it, or write \\' where a quote is meant",
        ),
    ] {
        assert_eq!(read(line.as_bytes()), (vec![], vec![expected.to_owned()]), "{line}");
    }
}

#[test]
fn each_option_has_its_directive() {
    for spec in crate::option::OPTIONS {
        let script = format!("#!/bin/sh\n#{}=x\n", spec.directive());
        let head = head(script.as_bytes(), 0);
        let line = head.directives.first().unwrap();
        assert_eq!((line.option.name, &*line.value), (spec.name, &b"x"[..]));
        assert_eq!(line.value_place, Place::new(2, spec.directive().len() + 3));
        assert_eq!(spec.directive(), spec.name.to_uppercase().replace('-', "_"));
    }
}

#[test]
fn components_have_directives_of_their_own() {
    let script = b"#!/bin/sh\n#K8S_IMAGE=a\n#SBATCH -n1\n#SBATCH hetjob\n#K8S_IMAGE=b\n#SBATCH HetJob -n1\n#SBATCH hetjobs\necho\n";
    for (component, expected) in [(0, &b"a"[..]), (1, b"b")] {
        let head = head(script, component);
        assert_eq!(head.directives.iter().map(|line| &*line.value).collect::<Vec<_>>(), [expected]);
        assert_eq!(head.body, Some(8));
    }
    assert!(head(script, 2).directives.is_empty());
    assert_eq!((components(script), components(b"echo\n#SBATCH hetjob\n")), (3, 1));
}

#[test]
fn what_comes_too_late_is_found() {
    let script = b"#!/bin/sh\n#K8S_IO=tee\necho\n\n#K8S_IMAGE=a\n #K8S_IMAGE=a\n#K8S_OTHER=a\n#K8S_KEEP=no";
    let found: Vec<_> = late(script).into_iter().map(|(place, error)| format!("{place}: {error}")).collect();
    let after = "is not read: it stands after the first command, in line 3";
    assert_eq!(found, [format!("5:1: #K8S_IMAGE {after}"), format!("8:1: #K8S_KEEP {after}")]);
    assert_eq!(late(b"#!/bin/sh\n#K8S_IMAGE=a\n"), []);
}

#[test]
fn a_hostile_script_is_bounded() {
    let lines = "#K8S_IMAGE=a\n".repeat(100_000);
    let head = head(lines.as_bytes(), 0);
    assert_eq!(head.directives.len(), MOST_DIRECTIVES + 1);
    assert_eq!(head.faults, [(Place::new(201, 1), LineError::TooMany)]);
    assert_eq!(components("#SBATCH hetjob\n".repeat(100_000).as_bytes()), 128);
    assert_eq!(late(["echo\n", &lines].concat().as_bytes()).len(), 20);
}

/// Lines that come near to what is read.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"#K8S_".to_vec()),
        Just(b"#SBATCH ".to_vec()),
        Just(b"IMAGE".to_vec()),
        Just(b"hetjob".to_vec()),
        Just(b"=".to_vec()),
        Just(b"'".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"#".to_vec()),
        Just(b" ".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn places_are_in_the_script(lines in proptest::collection::vec(line(), 0..12)) {
        let script = lines.join(&b'\n');
        let lines: Vec<_> = script.split(|byte| *byte == b'\n').collect();
        let head = head(&script, 0);
        let own = head.directives.iter().flat_map(|line| [line.place, line.value_place]);
        for place in own.chain(head.faults.iter().map(|(place, _)| *place)).chain(late(&script).iter().map(|(place, _)| *place)) {
            prop_assert!(place.column as usize <= lines[place.line as usize - 1].len() + 1, "{place}");
        }
        for directive in &head.directives {
            let begins = lines[directive.place.line as usize - 1].starts_with(format!("#{}=", directive.option.directive()).as_bytes());
            prop_assert!(begins);
            prop_assert!(head.body.is_none_or(|body| (directive.place.line as usize) < body));
        }
        for (_, error) in &head.faults {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn a_quoted_value_is_read_whole(value in "[^\\x00-\\x1f\\x7f'\"\\\\]{1,40}") {
        let script = format!("#!/bin/sh\n#K8S_WORKDIR='{value}' # comment\n");
        let head = head(script.as_bytes(), 0);
        prop_assert_eq!(&*head.directives[0].value, value.as_bytes());
    }
}
