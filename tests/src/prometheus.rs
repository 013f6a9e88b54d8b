//! A real Prometheus, for one test, on this machine's loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Serves a text as `node_exporter` serves its own; it is made anew for each request. Gives its address.
pub fn exporter(text: impl Fn() -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One that has gone away asks again.
            let _ = answer(stream, &text());
        }
    });
    address
}

fn answer(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{text}", text.len())
}

/// It scrapes one exporter every second, and ends with the test.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it.
    #[must_use]
    pub fn start(exporter: SocketAddr) -> Self {
        let folder = std::env::temp_dir().join(format!("prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder is made");
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: node\n  static_configs: [{{targets: ['{exporter}']}}]\n"
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).expect("the configuration is written");
        // It cannot choose a port itself and tell it.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
        let address = listener.local_addr().expect("a listener has an address");
        drop(listener);
        let log = std::fs::File::create(folder.join("log")).expect("the log is made");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts (`cargo testbed up` installs it)");
        Self { child, folder, address }
    }

    /// What a query gives at present: its series.
    pub fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).map_err(|error| self.said(&error))?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| answer.clone())?;
        let value: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {answer}"))?;
        let series = value.pointer("/data/result").and_then(Value::as_array);
        series.cloned().ok_or_else(|| value.to_string())
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn said(&self, error: &std::io::Error) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        format!("{error}; {}", log.lines().last().unwrap_or_default())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What `promtool` finds wrong with a file.
#[must_use]
pub fn promtool(text: &str) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts (`cargo testbed up` installs it)");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin.write_all(text.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let code = if output.status.success() { String::new() } else { output.status.to_string() };
    String::from_utf8_lossy(&said).into_owned() + &code
}
