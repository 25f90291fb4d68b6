//! What the fuzz targets do with their input, and `tests/fuzz.rs` with a bounded number of inputs: one body for each
//! kind of bytes that a peer sends. Each panics where the codec breaks a promise.

#![allow(dead_code)]

mod batches;
#[path = "../common/memory.rs"]
mod memory;
mod stored;

use bytes::Bytes;
use felice_protocol::{
    api::{
        ApiKey, Message, Request, RequestHeader, Visit, parse_api_versions_response, parse_request_header,
        parse_response_header, visit, write_request,
    },
    wire::Writer,
};

use self::memory::{decoding_limit, peak};
#[allow(unused_imports, reason = "each fuzz target has its one body")]
pub use self::{batches::batches, stored::stored};

/// A request's frame without its length.
pub fn requests(input: &[u8]) {
    let frame = Bytes::copy_from_slice(input);
    let (parsed, taken) = peak(|| parse_request_header(&frame));
    // The client's id, where bytes that are not UTF-8 become three, in a buffer that doubles; or an error.
    assert!(taken <= 9 * frame.len() + 1024, "a header of {} bytes took {taken}", frame.len());
    let (header, body) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    visit(&mut RequestBody { header: &header, body: &body });
}

struct RequestBody<'a> {
    header: &'a RequestHeader,
    body: &'a Bytes,
}

impl Visit for RequestBody<'_> {
    fn api<R: Request>(&mut self) {
        if R::API.code() != self.header.api_key {
            return;
        }
        let RequestHeader { api_version, correlation_id, ref client_id, .. } = *self.header;
        let Some((request, encoded)) = message::<R>(self.body, api_version) else { return };
        // Replaced, bytes that were not UTF-8 may have become too many.
        let Ok(frame) = write_request(correlation_id, api_version, client_id.as_deref(), &request) else {
            return assert!(client_id.as_ref().is_some_and(|text| text.len() > i16::MAX as usize));
        };
        let (header, body) = parse_request_header(&frame.to_bytes().slice(4..)).expect("our own header");
        assert_eq!((&header, body), (self.header, encoded));
    }
}

/// API key and version of the request, a byte each, then the frame of a response, without its length.
pub fn responses(input: &[u8]) {
    let Some((&[api, version], frame)) = input.split_first_chunk::<2>() else { return };
    let (Some(api), version) = (ApiKey::from_code(i16::from(api)), i16::from(version)) else { return };
    let frame = Bytes::copy_from_slice(frame);
    if api == ApiKey::ApiVersions {
        let (answer, taken) = peak(|| parse_api_versions_response(&frame, version));
        assert!(taken <= decoding_limit(frame.len()));
        drop(answer);
    }
    match parse_response_header(&frame, api, version) {
        Ok((_, body)) => visit(&mut ResponseBody { api, version, body: &body }),
        Err(error) => assert!(error.path().starts_with("ResponseHeader."), "{error}"),
    }
}

struct ResponseBody<'a> {
    api: ApiKey,
    version: i16,
    body: &'a Bytes,
}

impl Visit for ResponseBody<'_> {
    fn api<R: Request>(&mut self) {
        if R::API == self.api {
            message::<R::Response>(self.body, self.version);
        }
    }
}

/// Decodes: an error that says where, or a message; in bounded memory. A message is written in no more bytes than it was
/// read from, read again as the same, and written again as the same bytes. Returns it, and the bytes.
fn message<T: Message>(body: &Bytes, version: i16) -> Option<(T, Bytes)> {
    let (decoded, taken) = peak(|| T::decode_with_rest(body, version));
    assert!(taken <= decoding_limit(body.len()), "{} v{version}: {} bytes took {taken}", T::NAME, body.len());
    let (message, rest) = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(error.path().starts_with(T::NAME), "{error}");
            return None;
        }
    };
    let encoded = encode(&message, version);
    assert!(encoded.len() <= body.len() - rest, "{} v{version} grew\n{message:?}", T::NAME);
    let (again, rest) = T::decode_with_rest(&encoded, version).unwrap_or_else(|error| panic!("{error}\n{message:?}"));
    assert_eq!(rest, 0, "{} v{version} leaves bytes\n{message:?}", T::NAME);
    // NaN is not equal to itself.
    assert!(again == message || format!("{again:?}") == format!("{message:?}"), "v{version}\n{again:?}\n{message:?}");
    assert_eq!(encode(&again, version), encoded, "{} v{version}\n{message:?}", T::NAME);
    Some((message, encoded))
}

fn encode<T: Message>(message: &T, version: i16) -> Bytes {
    let mut w = Writer::new();
    message.encode(&mut w, version).unwrap_or_else(|error| panic!("v{version} {error}\n{message:?}"));
    let len = w.len();
    let bytes = w.into_bytes();
    assert_eq!(bytes.len(), len);
    bytes
}
