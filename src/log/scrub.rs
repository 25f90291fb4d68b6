//! Reading again what was written long ago, since disks forget: one closed segment after the other, each batch by its CRC.
//!
//! Works on files, not on open logs, so that nothing is opened for it; what goes away or is replaced meanwhile is passed over.
//! The newest segment is left out: it changes, and is read soon enough.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use super::{
    files::LogError,
    inspect::{FileKind, Region, Scanner},
    verify::{Finding, Severity},
};
use crate::{env::Disk, model::Offset};

/// A segment that gets no more batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedSegment {
    pub path: PathBuf,
    pub base: Offset,
    pub next_base: Offset,
}

/// The closed segments of the partition in `dir`, oldest first.
///
/// # Errors
/// The folder cannot be listed.
pub fn closed_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<ClosedSegment>, LogError> {
    let listed = disk.list(dir).map_err(|error| LogError::io("list", dir, error))?;
    let mut logs: Vec<(Offset, PathBuf)> = listed
        .into_iter()
        .filter_map(|path| match FileKind::of(&path)? {
            FileKind::Log(base) => Some((base, path)),
            _ => None,
        })
        .collect();
    logs.sort_unstable();
    let bases: Vec<Offset> = logs.iter().skip(1).map(|(base, _)| *base).collect();
    let closed = logs.into_iter().zip(bases);
    Ok(closed.map(|((base, path), next_base)| ClosedSegment { path, base, next_base }).collect())
}

/// Reads a segment, and leaves the page cache as it was. `pace` is told how many bytes were read after each batch, and may end it.
/// Returns what is damaged; damage that is not there when it is looked at once more is none, the file was being changed.
///
/// # Errors
/// The disk's.
pub fn scrub(
    disk: &dyn Disk,
    segment: &ClosedSegment,
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Vec<Finding>, LogError> {
    let mut damaged = look(disk, segment, pace)?;
    if !damaged.is_empty() {
        let again = look(disk, segment, pace)?;
        damaged.retain(|region| again.contains(region));
    }
    let finding = |region: Region| Finding {
        severity: Severity::Damage,
        path: segment.path.clone(),
        position: Some(region.position),
        offset: Some(region.header.map_or(region.expected, |header| Offset(header.base_offset))),
        what: region.damage.unwrap_or_default(),
    };
    Ok(damaged.into_iter().map(finding).collect())
}

fn look(
    disk: &dyn Disk,
    segment: &ClosedSegment,
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Vec<Region>, LogError> {
    let mut damaged = Vec::new();
    let scanner = Scanner::open(disk, &segment.path, segment.base, Some(segment.next_base));
    let mut scanner = match scanner {
        Ok(scanner) => scanner.sparing_cache(),
        Err(error) if error.is_not_found() => return Ok(damaged),
        Err(error) => return Err(error),
    };
    while let Some(region) = scanner.next_region()? {
        let size = region.size;
        if region.damage.is_some() {
            damaged.push(region);
        }
        if pace(size).is_break() {
            break;
        }
    }
    Ok(damaged)
}
