//! What this process has: whose it is, and how many files it may open.

use std::{
    ffi::OsString,
    os::fd::{AsFd, AsRawFd, RawFd},
    path::{Path, PathBuf},
};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, geteuid, getrlimit, setrlimit},
};

/// Descriptors that connections leave to files: at most so many, and at most a quarter of all.
const FILES_RESERVE: u64 = 1024;

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
    fn the_soft_limit_becomes_the_hard_one() {
        let allowed = raise_open_files();
        assert_eq!(getrlimit(Resource::Nofile).current, allowed);
        assert_eq!(allowed, getrlimit(Resource::Nofile).maximum);
    }
}
