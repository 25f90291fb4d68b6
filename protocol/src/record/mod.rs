//! Record batches of magic 2: header view, records, builder, control records, compression, and the checks that
//! a produced batch must pass.
//!
//! A batch is bytes first: [`BatchHeader`] is a copy of its 61 header bytes as numbers, [`Batch`] adds the bytes
//! themselves, and records are decoded only where somebody asks for them. Layout after Kafka's
//! `DefaultRecordBatch` and `DefaultRecord` (KIP-98).

mod batch;
mod builder;
mod compression;
mod control;
pub mod quorum;
mod records;
mod validate;
mod varint;
mod xerial;

pub use batch::{
    Attributes, Batch, BatchError, BatchHeader, Codec, HEADER_LEN, LOG_OVERHEAD, MAGIC_V2, NO_PARTITION_LEADER_EPOCH,
    NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TimestampType, increment_sequence, patch_header,
    patch_log_append_time, patch_max_timestamp, peek_magic, peek_size,
};
pub use builder::{BatchBuilder, BuildError, emptied, recompress};
pub use compression::{Compression, CompressionError, check_beginning, compress, decompress};
pub use control::{ControlError, ControlType, EndTransactionMarker};
pub use records::{Header, Record, RecordError, RecordView, RecordViews, Records};
pub use validate::{Checked, InvalidBatch, ProduceLimits, RecordRejection, Rejection, check_produced, is_laborious};
