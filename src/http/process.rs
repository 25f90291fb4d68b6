//! What the process as a whole tells of itself; also before the broker serves.

use crate::{
    env::process,
    metrics::{Page, Source, catalogue as all},
};

pub struct Process;

impl Source for Process {
    fn collect(&self, page: &mut Page) {
        page.put(&all::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
        if let Some(limit) = process::open_files() {
            page.put(&all::MAX_FILES, &[], limit);
        }
        let Some(usage) = process::usage() else { return };
        page.put(&all::CPU, &[], usage.cpu_seconds);
        page.put(&all::RESIDENT, &[], usage.resident_bytes);
        page.put(&all::VIRTUAL, &[], usage.virtual_bytes);
        page.put(&all::OPEN_FILES, &[], usage.files);
        page.put(&all::STARTED, &[], usage.started);
        page.put(&all::THREADS, &[], usage.threads);
    }
}
