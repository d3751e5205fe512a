//! The server as a user runs it: the binary `magpie` in a process of its own, ended when its handle is dropped.

use crate::wire::Client;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// What the server prints once it answers; the address follows.
const AVAILABLE: &str = "Server available on: ";

/// A running `magpie serve`.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    url: String,
}

impl ServerProcess {
    /// Starts a server on a free port with its data in `data` and waits until it answers. `more` are further
    /// arguments of `magpie serve`. Its log goes to standard error when `MAGPIE_TEST_LOG` is set, else nowhere.
    ///
    /// # Errors
    /// When it cannot be built, started, or ends before it answers.
    pub fn start(data: &Path, more: &[&str]) -> io::Result<Self> {
        let log =
            if std::env::var_os("MAGPIE_TEST_LOG").is_some() { Stdio::inherit() } else { Stdio::null() };
        let child = Command::new(binary()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        // The handle exists before the wait, so that a server that never answers is ended too.
        let mut server = Self { child, url: String::new() };
        let output = server.child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut lines = BufReader::new(output).lines();
        for line in lines.by_ref() {
            if let Some(url) = line?.strip_prefix(AVAILABLE) {
                server.url = url.trim().to_owned();
                break;
            }
        }
        if server.url.is_empty() {
            return Err(io::Error::other(format!("the server ended at its start: {}", server.child.wait()?)));
        }
        // Whatever it prints later must not fill the pipe.
        std::thread::spawn(move || lines.count());
        Ok(server)
    }

    /// Its address: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client for it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would (SIGKILL).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Asks it to end (SIGTERM), waits, and says whether it ended with success.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop(&mut self) -> io::Result<bool> {
        Command::new("kill").arg("-TERM").arg(self.id().to_string()).status()?;
        Ok(self.child.wait()?.success())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended already; nothing else can be done here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of this build: `target/release` or `target/debug`.
///
/// # Errors
/// When the test does not run from a target folder.
pub fn build_folder() -> io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent);
    folder
        .map(Path::to_path_buf)
        .ok_or_else(|| io::Error::other("this test does not run from a target folder"))
}

/// The binary `magpie` of this build. Cargo does not build it for tests of another package, so the first call does;
/// that takes no time when it is fresh.
///
/// # Errors
/// When it cannot be built.
pub fn binary() -> io::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|error| error.to_string())).clone().map_err(io::Error::other)
}

fn build() -> io::Result<PathBuf> {
    let folder = build_folder()?;
    let target = folder.parent().ok_or_else(|| io::Error::other("the build folder has no parent"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The same selection as in ./check and ./demo: another one would choose other features and compile anew.
    command.args(["build", "--workspace", "--bins", "--quiet"]).current_dir(crate::workspace());
    command.arg("--target-dir").arg(target);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status()?;
    if !status.success() {
        return Err(io::Error::other(format!("building the server failed: {status}")));
    }
    Ok(folder.join("magpie"))
}
