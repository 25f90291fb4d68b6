//! Brokers to talk to.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use felice::{
    broker::Broker,
    config::{self, Given},
    env::{Inspected, SystemEnv},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::client::{Client, PATIENCE};

/// A broker in this process, on a port and in a folder of its own. Stops cleanly when dropped.
pub struct Local {
    runtime: Runtime,
    broker: Option<Broker>,
    address: SocketAddr,
    folder: Option<TempDir>,
}

impl Local {
    pub fn start(settings: &[&str]) -> Local {
        Local::start_in(TempDir::new().unwrap(), settings)
    }

    pub fn start_in(folder: TempDir, settings: &[&str]) -> Local {
        Local::start_on(2, folder, settings)
    }

    /// With so many threads that serve connections.
    pub fn start_on(threads: usize, folder: TempDir, settings: &[&str]) -> Local {
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        let set: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let listen = ["127.0.0.1:0".to_owned()];
        let given = Given { set: &set, data_dir: Some(folder.path()), listen: &listen, ..Given::default() };
        let (config, _) = config::load(&given).expect("good settings");
        let inspected = Inspected::new(folder.path(), config.node_id).unwrap();
        let broker = runtime.block_on(Broker::start(config, inspected, Arc::new(SystemEnv))).expect("it starts");
        let address = broker.addresses()[0][0];
        Local { runtime, broker: Some(broker), address, folder: Some(folder) }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves HTTP, which it must have been told to.
    pub fn http(&self) -> SocketAddr {
        self.broker.as_ref().expect("it runs").http_addresses()[0]
    }

    /// Stops cleanly and returns the folder.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    pub fn stop(mut self) -> TempDir {
        self.shutdown();
        self.folder.take().expect("taken only here")
    }

    /// Stops cleanly and starts again.
    pub fn restart(self, settings: &[&str]) -> Local {
        Local::start_in(self.stop(), settings)
    }

    fn shutdown(&mut self) {
        if let Some(broker) = self.broker.take() {
            self.runtime.block_on(broker.shutdown());
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The real binary as a child process.
pub struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    ended: AtomicBool,
    added: Condvar,
}

impl Process {
    pub fn start(folder: &Path, settings: &[&str]) -> Process {
        Process::start_logging(folder, settings, "info")
    }

    /// With another `--log-level`.
    pub fn start_logging(folder: &Path, settings: &[&str], level: &str) -> Process {
        Process::try_start_logging(folder, settings, level)
            .unwrap_or_else(|(code, lines)| panic!("{code:?}: {lines:#?}"))
    }

    /// Where it does not start, its exit code and all that it said.
    pub fn try_start(folder: &Path, settings: &[&str]) -> Result<Process, (Option<i32>, Vec<String>)> {
        Process::try_start_logging(folder, settings, "info")
    }

    fn try_start_logging(folder: &Path, settings: &[&str], level: &str) -> Result<Process, (Option<i32>, Vec<String>)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_felice"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", level, "--data-dir"]).arg(folder);
        command.stdin(Stdio::null());
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().expect("felice runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Log::default());
        thread::spawn({
            let log = Arc::clone(&log);
            move || log.read(stderr)
        });
        let Some(ready) = log.find("PLAINTEXT on ") else {
            let code = child.wait().expect("it has ended").code();
            return Err((code, log.lines.lock().unwrap().clone()));
        };
        let address = ready.split("PLAINTEXT on ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
        let address = address.parse().expect("an address");
        Ok(Process { child, address, log })
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn client_from(&self, from: [u8; 4]) -> Client {
        Client::connect_from(from, self.address)
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; true where it ends with exit code 0.
    pub fn stop(mut self) -> bool {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }

    /// Waits for a line with `text`.
    pub fn wait_for(&self, text: &str) -> String {
        self.log.wait_for(text)
    }

    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.log.lines.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        resident(self.child.id(), "VmRSS:")
    }

    /// The most memory that was resident so far, in bytes.
    pub fn peak(&self) -> u64 {
        resident(self.child.id(), "VmHWM:")
    }

    /// How many files and sockets it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }
}

fn resident(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let kib = status.lines().find_map(|line| line.strip_prefix(what)).expect("one of the kernel's fields");
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn read(&self, stderr: BufReader<ChildStderr>) {
        for line in stderr.lines() {
            let Ok(line) = line else { break };
            self.lines.lock().unwrap().push(line);
            self.added.notify_all();
        }
        let _lines = self.lines.lock().unwrap();
        self.ended.store(true, Ordering::Relaxed);
        self.added.notify_all();
    }

    fn wait_for(&self, text: &str) -> String {
        self.find(text).unwrap_or_else(|| panic!("no line with {text:?} in {:#?}", self.lines.lock().unwrap()))
    }

    /// `None` where the process ends without such a line.
    fn find(&self, text: &str) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            if self.ended.load(Ordering::Relaxed) {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {text:?} in {lines:#?}");
            lines = self.added.wait_timeout(lines, left).unwrap().0;
        }
    }
}
