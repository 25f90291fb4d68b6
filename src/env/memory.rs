//! How much memory this process may use.

use std::{fs, path::Path};

/// Bytes of memory that this process can have: the least of what the machine has and its cgroups allow.
pub fn memory_limit() -> usize {
    memory_limit_under(Path::new("/"))
}

fn memory_limit_under(root: &Path) -> usize {
    /// Where the machine does not tell.
    const UNKNOWN: usize = 1 << 30;
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let machine = read("proc/meminfo").lines().find_map(|line| {
        let kilobytes: usize = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kilobytes.checked_mul(1024)
    });
    let mut least = machine.unwrap_or(UNKNOWN);
    // One line for each hierarchy, `number:controllers:path`; cgroup v2 has no controllers there.
    for line in read("proc/self/cgroup").lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            named if named.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // A limit of an outer group holds as well. In a container the path may be one of the host's, and only the mount
        // itself be there.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let limit = read(&format!("{mount}/{}/{file}", group.display()));
            least = least.min(limit.trim().parse().unwrap_or(usize::MAX));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_tightest_group_allows() {
        const KIB: usize = 1024;
        for (files, limit) in [
            (&[][..], 1 << 30),
            (&[("proc/meminfo", "MemFree: 1 kB\nMemTotal:     4096 kB\n")], 4096 * KIB),
            (
                &[
                    ("proc/meminfo", "MemTotal: 4096 kB\n"),
                    ("proc/self/cgroup", "0::/system.slice/felice.service\n"),
                    ("sys/fs/cgroup/system.slice/memory.max", "2097152\n"),
                    ("sys/fs/cgroup/system.slice/felice.service/memory.max", "max\n"),
                ],
                2048 * KIB,
            ),
            (
                &[
                    ("proc/meminfo", "MemTotal: 4096 kB\n"),
                    ("proc/self/cgroup", "12:cpu,memory:/docker/abc\n1:name=systemd:/docker/abc\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n"),
                ],
                1024 * KIB,
            ),
            (
                &[
                    ("proc/meminfo", "MemTotal: 4096 kB\n"),
                    ("proc/self/cgroup", "0::/\n"),
                    ("sys/fs/cgroup/memory.max", "9223372036854771712\n"),
                ],
                4096 * KIB,
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            assert_eq!(memory_limit_under(root.path()), limit, "{files:?}");
        }
        assert!(memory_limit() > 1 << 20);
    }
}
