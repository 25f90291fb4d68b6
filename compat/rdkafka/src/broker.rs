//! The broker under test: started, killed and restarted by `compat/broker`, its files read by `compat/segment`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// One broker in a folder of its own. Dropped, it is killed and its folder removed.
pub struct Broker {
    pub address: String,
    data: String,
    folder: TempDir,
    compat: PathBuf,
}

impl Broker {
    /// Starts a broker with these settings (`name=value`). `compat` is the folder of that name in the repository.
    pub fn start(compat: &Path, settings: &[&str]) -> Broker {
        let folder = tempfile::Builder::new().prefix("felice-rdkafka").tempdir().expect("a temporary folder");
        let mut broker = Broker { address: String::new(), data: String::new(), folder, compat: compat.to_owned() };
        let sets = settings.iter().flat_map(|setting| ["--set", setting]);
        broker.address = broker.run("broker", ["start", broker.path()].into_iter().chain(sets));
        broker.data = broker.run("broker", ["data", broker.path()]);
        broker
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&self) {
        self.run("broker", ["kill", self.path()]);
    }

    /// A clean stop; returns when the process is gone.
    pub fn stop(&self) {
        self.run("broker", ["stop", self.path()]);
    }

    pub fn restart(&self) {
        assert_eq!(self.run("broker", ["start", self.path()]), self.address, "the address after a restart");
    }

    /// The names of the codecs that the stored batches of a topic carry, sorted.
    pub fn codecs(&self, topic: &str) -> Vec<String> {
        self.run("segment", ["codecs", &self.data, topic]).lines().map(str::to_owned).collect()
    }

    /// How many batches a partition has.
    pub fn batches(&self, topic: &str, partition: i32) -> usize {
        self.run("segment", ["batches", &self.data, topic, &partition.to_string()]).lines().count()
    }

    /// The end of what the broker printed.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().expect("a path in UTF-8")
    }

    fn run<'a>(&self, tool: &str, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let mut command = Command::new(self.compat.join(tool));
        let output = command.args(arguments).stderr(Stdio::inherit()).output().expect("python3");
        assert!(output.status.success(), "{command:?} failed");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = Command::new(self.compat.join("broker")).args(["kill", self.path()]).status();
    }
}
