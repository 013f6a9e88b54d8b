use super::*;

fn error(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(Config::parse(""), Ok(Config::default()));
    assert_eq!(check::check(&Config::default()).map_err(|f| f.key), Ok(()));
}

#[test]
fn the_samples_values_are_the_defaults() {
    assert_eq!(Config::parse(&sample()), Ok(Config::default()), "{}", sample());
}

#[test]
fn the_table_has_every_field_and_its_default() {
    let mut config = Config::default();
    config.pod.template = Some("/etc/slurm/k8s-pod.yaml".into());
    config.kubernetes.node_name = Some("node".into());
    config.gres.gpu = Some("nvidia.com/gpu".into());
    config.gres.nic = Some("rdma/hca".into());
    config.results.folder = Some("/mnt/nas/results".into());
    config.results.metrics = Some("/var/lib/collect.prom".into());
    config.watch.start_in = Some("/scratch".into());
    config.watch.metrics = Some("/var/lib/watch.prom".into());
    let written = toml::to_string(&config).unwrap();
    let Ok(table) = written.parse::<toml::Table>() else { panic!("{written}") };
    let mut fields = Vec::new();
    for (name, value) in &table {
        match value {
            toml::Value::Table(section) => {
                fields.extend(section.keys().map(|key| format!("{name}.{key}")));
            }
            _ => fields.push(name.clone()),
        }
    }
    fields.sort();
    let mut keys: Vec<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    keys.sort();
    assert_eq!(fields, keys);
}

#[test]
fn values_are_read() {
    let config = Config::parse(
        "cluster = 'a1'\nkubernetes.request_timeout = '500ms'\n[pod]\nmounts = ['/home', '/mnt/nas']\nio = 'direct'\n[signal]\nscope='tree'",
    )
    .unwrap();
    assert_eq!(config.cluster, "a1");
    assert_eq!(config.kubernetes.request_timeout, Duration::from_millis(500));
    assert_eq!(config.pod.mounts, [PathBuf::from("/home"), "/mnt/nas".into()]);
    assert_eq!((config.pod.io, config.signal.scope), (Io::Direct, SignalScope::Tree));
}

#[test]
fn an_unknown_key_names_the_nearest() {
    for (text, message, hint) in [
        ("\n[kubernetes]\nnamspace = 'a'", "line 3: there is no key kubernetes.namspace", "kubernetes.namespace"),
        ("[kubernets]\nnamespace = 'a'", "line 1: there is no key kubernets", "kubernetes"),
        ("namespace = 'a'", "line 1: there is no key namespace", "kubernetes.namespace"),
        (
            "[policy]\nroot=true\nhost-network = true",
            "line 3: there is no key policy.host-network",
            "policy.host_network",
        ),
    ] {
        let error = Config::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint(), Some(format!("did you mean {hint}?")), "{message}");
    }
    assert_eq!(Config::parse("zzz = 1").unwrap_err().hint(), None);
}

#[test]
fn errors_name_line_key_and_value() {
    for (text, message) in [
        ("cluster = ", "line 1: "),
        ("cluster = 3", "line 1: cluster: invalid type: integer `3`, expected a string"),
        ("\n[pod]\nio = 'loud'", "line 3: io: \"loud\" is not one of tee, direct"),
        (
            "[kubernetes]\nstart_timeout = '10'",
            "line 2: start_timeout: \"10\" is not a duration; write for example 500ms, 2s, 10m or 1h",
        ),
        ("[kubernetes]\nrequest_timeout = '1m'", "line 2: kubernetes.request_timeout: \"1m\" is not between"),
        ("[kubernetes]\nnamespace = 'Slurm'", "line 2: kubernetes.namespace: \"Slurm\" is not a namespace's"),
        ("[kubernetes]\ncpu_request = 'two'", "line 2: kubernetes.cpu_request: \"two\" is not a quantity"),
        ("cluster = 'a b'", "line 1: cluster: \"a b\" is not a label's value"),
        ("[results]\nfolder = '/nas'", "line 2: results.folder: \"/nas\" is in none of pod.mounts"),
        ("[results]\nfolder = '/nas/%u'", "line 2: results.folder: \"/nas/%u\" has a '%' or a backslash"),
        ("[log]\nmax_bytes = 10", "line 2: log.max_bytes: \"10\" is less than 4096"),
        ("[log]\nkeep = -1", "line 2: keep: invalid value"),
        ("[gres]\ngpu = 'gpu'", "line 2: gres.gpu: \"gpu\" is not an extended resource"),
        ("[gres]\nnic = 'kubernetes.io/nic'", "line 2: gres.nic: \"kubernetes.io/nic\" is not an extended resource"),
        ("[gres]\ngpu = 'a.com/x'\nnic = 'a.com/x'", "line 3: gres.nic: \"a.com/x\" is gres.gpu's, too"),
        ("[registry]\nplain_http = ['http://a']", "line 2: registry.plain_http: \"http://a\" is not HOST or HOST:PORT"),
        ("[watch]\npoll = '1h'", "line 2: watch.poll: \"1h\" is not between 100ms and 5m"),
        ("[watch]\nlease = '90s'", "line 2: watch.lease: \"90s\" is less than twice watch.submit_timeout"),
        ("[watch]\nmin_uid = 0", "line 2: watch.min_uid: \"0\" would let root's files be submitted"),
        ("[watch]\nfolder = 'nas'", "line 2: watch.folder: \"nas\" is not an absolute path"),
        ("[gres]\nvariables = ['A B']", "line 2: gres.variables: \"A B\" is not a variable's name"),
    ] {
        let error = error(text);
        assert!(error.starts_with(message), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn mounts_are_absolute_plain_and_not_the_containers_own() {
    for bad in [
        "home",
        "",
        "/",
        "/home/",
        "/home//a",
        "/home/./a",
        "/home/../etc",
        "/proc",
        "/sys/fs",
        "/dev/shm",
        "/.slurm-k8s",
        "/.slurm-k8s/agent",
    ] {
        let error = error(&format!("[pod]\nmounts = ['/ok', '{bad}']"));
        assert!(error.starts_with(&format!("line 2: pod.mounts: \"{bad}\" is ")), "{error}");
    }
    for good in ["/home", "/mnt/nas", "/device", "/.slurm"] {
        assert!(Config::parse(&format!("[pod]\nmounts = ['{good}']")).is_ok(), "{good}");
    }
}
