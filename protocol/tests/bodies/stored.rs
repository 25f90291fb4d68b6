//! What coordinators and the metadata log keep, and what clients keep within other messages.

use bytes::Bytes;
use felice_protocol::{
    coordinator::{GroupRecord, ShareStateRecord, TransactionRecord},
    messages::{
        consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription},
        envelope::DefaultPrincipalData,
    },
    record::{EndTransactionMarker, quorum::QuorumRecord},
    schema::Stored,
};

use super::memory::{decoding_limit, peak};

/// Decodes a record of a topic; what is one is written in no more bytes and read again as the same.
macro_rules! record {
    ($records:ident, $key:expr, $value:expr) => {{
        let (key, value): (&Bytes, Option<&Bytes>) = ($key, $value);
        let (decoded, taken) = peak(|| $records::decode(key, value));
        let limit = decoding_limit(key.len()) + decoding_limit(value.map_or(0, Bytes::len));
        assert!(taken <= limit, "{} and {:?} bytes took {taken}", key.len(), value.map(Bytes::len));
        let record = match decoded {
            Ok(record) => record,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let version = value.map_or(0, version);
        let made = (record.encode_key().expect("a key"), record.encode_value(version).expect("a value"));
        assert!(made.0.len() <= key.len() && made.1.as_ref().map(Bytes::len) <= value.map(Bytes::len), "{record:?}");
        let again = $records::decode(&made.0, made.1.as_ref()).expect("our own record");
        // NaN is not equal to itself.
        assert!(again == record || format!("{again:?}") == format!("{record:?}"), "{again:?}\n{record:?}");
        assert_eq!((again.encode_key().expect("a key"), again.encode_value(version).expect("a value")), made);
    }};
}

/// A byte that says what it is, a byte with the length of the key, the key, and the value.
pub fn stored(input: &[u8]) {
    let Some((&[kind, key_len], rest)) = input.split_first_chunk::<2>() else { return };
    let (key, value) = rest.split_at(usize::from(key_len).min(rest.len()));
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    let kept = (kind & 0x80 == 0).then_some(&value);
    match kind & 7 {
        0 => record!(GroupRecord, &key, kept),
        1 => record!(TransactionRecord, &key, kept),
        2 => record!(ShareStateRecord, &key, kept),
        3 => control(&key, &value),
        4 => versioned::<ConsumerProtocolSubscription>(&value),
        5 => versioned::<ConsumerProtocolAssignment>(&value),
        _ => versioned::<DefaultPrincipalData>(&value),
    }
}

/// The version that a value stands behind.
fn version(value: &Bytes) -> i16 {
    value.first_chunk().map_or(0, |version| i16::from_be_bytes(*version))
}

/// A control record.
fn control(key: &Bytes, value: &Bytes) {
    if let Ok(Some(marker)) = EndTransactionMarker::parse_parts(Some(key), Some(value)) {
        assert_eq!(EndTransactionMarker::parse_parts(Some(key), Some(&marker.value())), Ok(Some(marker)));
    }
    let (parsed, taken) = peak(|| QuorumRecord::parse(Some(key), value));
    assert!(taken <= decoding_limit(value.len()), "{} bytes took {taken}", value.len());
    // One of a version that is not known says so still, and cannot be written.
    if let Ok(Some(record)) = parsed
        && let Ok(made) = record.value()
    {
        assert_eq!(QuorumRecord::parse(Some(key), &made), Ok(Some(record)));
    }
}

fn versioned<T: Stored + PartialEq + std::fmt::Debug>(value: &Bytes) {
    let (decoded, taken) = peak(|| T::decode_with_version(value));
    assert!(taken <= decoding_limit(value.len()), "{} v{}: {} took {taken}", T::NAME, version(value), value.len());
    let Ok(decoded) = decoded else { return };
    let made = decoded.encode_with_version(version(value)).expect("a version that it came in");
    assert!(made.len() <= value.len(), "{decoded:?}");
    assert_eq!(T::decode_with_version(&made).as_ref(), Ok(&decoded));
}
