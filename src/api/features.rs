//! Features of the cluster (KIP-584): what levels this version supports. The finalized level of `metadata.version` decides
//! which metadata records may be written; that of `group.version` says whether groups may use the consumer protocol (KIP-848).

/// A feature and the levels of it that this version supports.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
}

pub const SUPPORTED: &[Feature] =
    &[Feature { name: "group.version", min: 0, max: 1 }, Feature { name: "metadata.version", min: 1, max: 1 }];
