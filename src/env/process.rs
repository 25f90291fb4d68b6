//! What this process has: whose it is, and how many files it may open.

use std::{
    ffi::OsString,
    fs,
    os::fd::{AsFd, AsRawFd, RawFd},
    path::{Path, PathBuf},
};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, geteuid, getrlimit, setrlimit},
};

/// Descriptors that connections leave to files: at most so many, and at most a quarter of all.
const FILES_RESERVE: u64 = 1024;

/// In what Linux tells of processor time (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Raises the soft limit of open files to the hard one, as far as the system lets it, and returns what holds then;
/// `None` is no limit. Each connection and each segment is an open file, and the soft limit is usually 1024.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        return maximum;
    }
    current
}

/// How many files this process may open now; `None` is no limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The first descriptor of those that connections leave to files. Were there none, peers that connect and stay could
/// keep partitions from opening their next segment.
pub fn first_descriptor_for_files() -> RawFd {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    RawFd::try_from(limit - (limit / 4).min(FILES_RESERVE)).unwrap_or(RawFd::MAX)
}

/// Whether a descriptor below `bound` is free. (The kernel always gives the lowest that is; `any` is one to copy.)
pub fn has_descriptor_below(bound: RawFd, any: impl AsFd) -> bool {
    fcntl_dupfd_cloexec(any, 0).is_ok_and(|copy| copy.as_raw_fd() < bound)
}

/// Keeps the allocator from holding on to what large frames took: glibc otherwise learns from the first one that is freed to
/// serve the next from its heap, and to keep up to 64 MiB of it. Frames of usual sizes stay on the heap, which is faster.
pub fn give_back_large_allocations() {
    #[cfg(target_env = "gnu")]
    {
        const LARGE: libc::c_int = 4 << 20;
        // SAFETY: mallopt only sets numbers, and is called before there is another thread.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
        }
    }
}

/// What this process takes of its machine.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    /// Files and sockets that are open.
    pub files: usize,
    /// In seconds since 1970.
    pub started: f64,
}

/// `None` where the kernel does not tell.
pub fn usage() -> Option<Usage> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses, which may hold anything; what follows are the third and further ones.
    let stat: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |number: usize| stat.get(number - 3)?.parse::<u64>().ok();
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted: u64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Usage {
        cpu_seconds: (ticks(14)? + ticks(15)?) as f64 / TICKS_PER_SECOND,
        resident_bytes: field("VmRSS")? * 1024,
        virtual_bytes: field("VmSize")? * 1024,
        threads: field("Threads")?,
        // But for the one that looks.
        files: fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1),
        started: booted as f64 + ticks(22)? as f64 / TICKS_PER_SECOND,
    })
}

/// Gives back to the operating system what was freed and lies in between. Takes milliseconds, and the allocator's locks.
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim may be called at any time by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Returns once nobody reads standard output any more: a pipe's other end, or a terminal, is closed. Never, where it is a file.
pub fn wait_until_stdout_closes() {
    loop {
        let mut stdout = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
        // SAFETY: one pollfd, which outlives the call.
        let ready = unsafe { libc::poll(&raw mut stdout, 1, -1) };
        if ready > 0 {
            return;
        }
    }
}

/// Where data goes if nobody says: `/var/lib/felice` for root, else what the XDG Base Directory Specification says.
/// `None` for a user without a home. Never `/tmp`, which does not keep what it is given.
pub fn default_data_dir() -> Option<PathBuf> {
    data_dir_of(geteuid().is_root(), std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"))
}

fn data_dir_of(root: bool, xdg_data_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from("/var/lib/felice"));
    }
    // A relative path is to be ignored, says the specification.
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let data_home =
        xdg_data_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(Path::new(".local/share"))))?;
    Some(data_home.join("felice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_where_it_is_kept() {
        for (root, xdg, home, dir) in [
            (true, Some("/x"), Some("/home/r"), Some("/var/lib/felice")),
            (false, None, Some("/home/f"), Some("/home/f/.local/share/felice")),
            (false, Some("/data"), Some("/home/f"), Some("/data/felice")),
            (false, Some("data"), Some("/home/f"), Some("/home/f/.local/share/felice")),
            (false, Some(""), Some("/home/f"), Some("/home/f/.local/share/felice")),
            (false, None, None, None),
            (false, None, Some(""), None),
        ] {
            let found = data_dir_of(root, xdg.map(OsString::from), home.map(OsString::from));
            assert_eq!(found, dir.map(PathBuf::from), "{root} {xdg:?} {home:?}");
        }
    }

    #[test]
    fn the_lowest_descriptor_tells_how_many_are_taken() {
        let file = tempfile::tempfile().unwrap();
        assert!(!has_descriptor_below(0, &file));
        assert!(has_descriptor_below(RawFd::MAX, &file));
        let bound = first_descriptor_for_files();
        assert!(bound > 0 && Some(bound as u64) < getrlimit(Resource::Nofile).current.or(Some(u64::MAX)));
    }

    #[test]
    fn the_process_knows_what_it_takes() {
        let before = usage().unwrap();
        let file = tempfile::tempfile().unwrap();
        let usage = usage().unwrap();
        assert!(usage.resident_bytes > 1 << 20 && usage.virtual_bytes >= usage.resident_bytes, "{usage:?}");
        assert!(usage.threads >= 1 && usage.files >= 1 && usage.cpu_seconds >= before.cpu_seconds, "{usage:?}");
        let modified = file.metadata().unwrap().modified().unwrap();
        let now = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(usage.started <= now + 2.0 && usage.started > now - 86_400.0, "{usage:?}, now {now}");
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let allowed = raise_open_files();
        assert_eq!(getrlimit(Resource::Nofile).current, allowed);
        assert_eq!(allowed, getrlimit(Resource::Nofile).maximum);
    }
}
