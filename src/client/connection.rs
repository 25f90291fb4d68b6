//! One connection to a broker. Requests go out in the order of the calls, and answers come back in that order, as Kafka's
//! protocol has it.
//!
//! Two tasks, so that a caller may go away at any moment without tearing a frame: one writes what callers hand over, one
//! reads answers and hands them out. The first error ends both and is what every waiting and every later call is told.
//! ```text
//! call -- requests (bounded) --> writer -- awaited (bounded) --> reader --> the call's oneshot
//! ```
//! An answer that does not come in time ends the connection: whatever follows would wait behind it.

use std::{
    io::{self, IoSlice},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use felice_protocol::{
    api::{ApiKey, Frame, Message, Request, parse_api_versions_response, parse_response_header, write_request},
    error::ErrorCode,
    messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse},
    schema::Versions,
    wire::Chunk,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Address, ClientError, ClientSettings};

/// Requests that were sent and not answered yet; whoever calls beyond that waits.
const IN_FLIGHT_MAX: usize = 64;

/// Memory for an answer that is on its way is taken in steps, by what has arrived and not by what is claimed.
const READ_STEP: usize = 64 << 10;

/// What all arrays of one answer may take in memory beyond what its size justifies; see [`Message::decode_within`].
const ARRAYS_MAX: usize = 512 << 20;

/// The version of ApiVersions that we begin with; a broker that has it not says so in a form that can be read (KIP-511).
const API_VERSIONS: i16 = 4;

/// A connection to one broker whose versions are known. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Outgoing>,
    served: Vec<(ApiKey, Versions)>,
}

#[derive(Debug)]
struct Shared {
    address: Address,
    settings: ClientSettings,
    correlation_id: AtomicI32,
    /// Why it ended; set before `closed` is cancelled.
    ended: OnceLock<ClientError>,
    closed: CancellationToken,
}

#[derive(Debug)]
struct Outgoing {
    frame: Frame,
    awaited: Awaited,
}

#[derive(Debug)]
struct Awaited {
    correlation_id: i32,
    answer: oneshot::Sender<Bytes>,
}

impl Connection {
    /// Connects, and asks which versions the broker serves.
    pub async fn open(address: &Address, settings: &ClientSettings) -> Result<Connection, ClientError> {
        let failed = |reason: String| ClientError::Connect { address: address.clone(), reason, advertised: None };
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let stream = match timeout(settings.connect_timeout, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed(plainly(&error))),
            Err(_) => return Err(failed(format!("no answer within {} s", settings.connect_timeout.as_secs_f64()))),
        };
        stream.set_nodelay(true).map_err(|error| failed(plainly(&error)))?;
        Connection::over(stream, address, settings).await
    }

    /// As [`Connection::open`], over a stream that is connected already: TLS, or a simulated network.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        address: &Address,
        settings: &ClientSettings,
    ) -> Result<Connection, ClientError> {
        let shared = Arc::new(Shared {
            address: address.clone(),
            settings: settings.clone(),
            correlation_id: AtomicI32::new(0),
            ended: OnceLock::new(),
            closed: CancellationToken::new(),
        });
        let (reading, writing) = split(stream);
        let (requests, handed_over) = mpsc::channel(IN_FLIGHT_MAX);
        let (sent, awaited) = mpsc::channel(IN_FLIGHT_MAX);
        tokio::spawn(Shared::write(Arc::clone(&shared), writing, handed_over, sent));
        tokio::spawn(Shared::read(Arc::clone(&shared), reading, awaited));
        let mut connection = Connection { shared, requests, served: Vec::new() };
        connection.served = connection.negotiate().await?;
        Ok(connection)
    }

    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Whether calls are still answered.
    pub fn is_open(&self) -> bool {
        !self.shared.closed.is_cancelled()
    }

    /// The versions of an API that the broker says it serves.
    pub fn served(&self, api: ApiKey) -> Option<Versions> {
        self.served.iter().find(|(key, _)| *key == api).map(|(_, versions)| *versions)
    }

    /// The highest version that the broker, the codec and `wanted` have in common. `needed_for` is told where there is none.
    pub fn version<R: Request>(&self, wanted: Versions, needed_for: &'static str) -> Result<i16, ClientError> {
        let known = R::API.versions();
        let needed = Versions::new(wanted.min.max(known.min), wanted.max.min(known.max));
        let served = self.served(R::API);
        served
            .map(|served| Versions::new(served.min.max(needed.min), served.max.min(needed.max)))
            .filter(|common| !common.is_empty())
            .map(|common| common.max)
            .ok_or_else(|| ClientError::Unsupported {
                address: self.shared.address.clone(),
                api: R::API,
                served,
                needed,
                needed_for,
            })
    }

    /// Sends a request in a version from [`Connection::version`] and waits for its answer. Not for requests without one
    /// (Produce with acks=0).
    pub async fn call<R: Request>(&self, version: i16, request: &R) -> Result<R::Response, ClientError> {
        self.call_for(version, request, Duration::ZERO).await
    }

    /// As [`Connection::call`], where the broker may take `extra` longer to answer, because the request allows it to.
    pub async fn call_for<R: Request>(
        &self,
        version: i16,
        request: &R,
        extra: Duration,
    ) -> Result<R::Response, ClientError> {
        let body = self.exchange(version, request, extra).await?;
        let (_, body) = parse_response_header(&body, R::API, version).map_err(|error| self.malformed(&error))?;
        let decoded = R::Response::decode_within(&body, version, ARRAYS_MAX).map_err(|error| self.malformed(&error))?;
        Ok(decoded.message)
    }

    fn malformed(&self, error: &felice_protocol::wire::Malformed) -> ClientError {
        ClientError::malformed(&self.shared.address, error)
    }

    /// The answer's frame, without its length; its correlation id is the request's.
    async fn exchange<R: Request>(&self, version: i16, request: &R, extra: Duration) -> Result<Bytes, ClientError> {
        let shared = &self.shared;
        let correlation_id = shared.correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let frame = write_request(correlation_id, version, Some(&shared.settings.client_id), request)?;
        let (answer, answered) = oneshot::channel();
        let outgoing = Outgoing { frame, awaited: Awaited { correlation_id, answer } };
        let after = shared.settings.request_timeout.saturating_add(extra);
        let exchanged = async {
            self.requests.send(outgoing).await.map_err(|_| shared.ending())?;
            answered.await.map_err(|_| shared.ending())
        };
        match timeout(after, exchanged).await {
            Ok(exchanged) => exchanged,
            Err(_) => {
                let error = ClientError::TimedOut { address: shared.address.clone(), api: R::API, after };
                shared.end(error.clone());
                Err(error)
            }
        }
    }

    async fn negotiate(&self) -> Result<Vec<(ApiKey, Versions)>, ClientError> {
        let mut response = self.ask_versions(API_VERSIONS).await?;
        if response.error_code == ErrorCode::UnsupportedVersion.code() {
            let offered = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.code());
            let version = offered.map_or(0, |api| api.max_version.clamp(0, API_VERSIONS));
            response = self.ask_versions(version).await?;
        }
        ClientError::check(response.error_code, None, || format!("{} is asked for its versions", self.shared.address))?;
        let served = |api: &felice_protocol::messages::api_versions::ApiVersion| {
            Some((ApiKey::from_code(api.api_key)?, Versions::new(api.min_version, api.max_version)))
        };
        Ok(response.api_keys.iter().filter_map(served).collect())
    }

    async fn ask_versions(&self, version: i16) -> Result<ApiVersionsResponse, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "felice".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ApiVersionsRequest::default()
        };
        let frame = self.exchange(version, &request, Duration::ZERO).await?;
        parse_api_versions_response(&frame, version)
            .map(|(_, response)| response)
            .map_err(|error| self.malformed(&error))
    }
}

impl Shared {
    /// The first reason stays.
    fn end(&self, error: ClientError) {
        let _ = self.ended.set(error);
        self.closed.cancel();
    }

    fn ending(&self) -> ClientError {
        self.ended.get().cloned().unwrap_or_else(|| self.disconnected("it was not needed any more".to_owned()))
    }

    fn disconnected(&self, reason: String) -> ClientError {
        ClientError::Disconnected { address: self.address.clone(), reason }
    }

    async fn write(
        self: Arc<Self>,
        mut stream: impl AsyncWrite + Unpin,
        mut requests: mpsc::Receiver<Outgoing>,
        sent: mpsc::Sender<Awaited>,
    ) {
        let work = async {
            while let Some(Outgoing { frame, awaited }) = requests.recv().await {
                // The reader is gone only where it has ended the connection.
                if sent.send(awaited).await.is_err() {
                    return Ok(());
                }
                write_frame(&mut stream, frame).await?;
            }
            Ok(())
        };
        let done = tokio::select! {
            done = work => done,
            () = self.closed.cancelled() => Ok(()),
        };
        if let Err(error) = done {
            self.end(self.disconnected(plainly(&error)));
        }
    }

    async fn read(self: Arc<Self>, mut stream: impl AsyncRead + Unpin, mut awaited: mpsc::Receiver<Awaited>) {
        let work = async {
            loop {
                let frame = match read_frame(&mut stream, self.settings.response_bytes_max).await {
                    Ok(frame) => frame,
                    Err(Unreadable::Io(error)) => return self.disconnected(plainly(&error)),
                    Err(Unreadable::Length(length)) => {
                        return self.protocol(format!("an answer of {length} bytes is no answer or too large"));
                    }
                };
                // What is awaited is handed over before its request is written.
                let Ok(Awaited { correlation_id, answer }) = awaited.try_recv() else {
                    return self.protocol("an answer to nothing that was asked".to_owned());
                };
                let got = frame.first_chunk().map_or(-1, |id| i32::from_be_bytes(*id));
                if got != correlation_id {
                    return self.protocol(format!("correlation id {got} instead of {correlation_id}"));
                }
                // Whoever asked may have gone.
                let _ = answer.send(frame);
            }
        };
        let ending = tokio::select! {
            ending = work => ending,
            () = self.closed.cancelled() => return,
        };
        self.end(ending);
    }

    fn protocol(&self, reason: String) -> ClientError {
        ClientError::Protocol { address: self.address.clone(), reason }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

enum Unreadable {
    Io(io::Error),
    Length(i32),
}

/// One frame without its length, of at most `max` bytes and at least a correlation id.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin), max: usize) -> Result<Bytes, Unreadable> {
    let length = stream.read_i32().await.map_err(Unreadable::Io)?;
    let size =
        usize::try_from(length).ok().filter(|size| (4..=max).contains(size)).ok_or(Unreadable::Length(length))?;
    let mut frame = BytesMut::new();
    while frame.len() < size {
        if frame.len() == frame.capacity() {
            frame.reserve((size - frame.len()).min(frame.len().max(READ_STEP)));
        }
        let mut rest = stream.take((size - frame.len()) as u64);
        if rest.read_buf(&mut frame).await.map_err(Unreadable::Io)? == 0 {
            return Err(Unreadable::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(frame.freeze())
}

/// Small pieces and payloads in as few writes as the stream takes, and without copying them together.
async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: Frame) -> io::Result<()> {
    let mut pieces: Vec<Bytes> = Vec::with_capacity(frame.chunks.len());
    for chunk in frame.chunks {
        match chunk {
            Chunk::Bytes(bytes) => pieces.push(bytes),
            Chunk::File(_) => return Err(io::Error::other("a request has no piece of a file")),
        }
    }
    let mut first = 0;
    while let Some(left) = pieces.get_mut(first..).filter(|left| !left.is_empty()) {
        let slices: Vec<IoSlice<'_>> = left.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut written = stream.write_vectored(&slices).await?;
        if written == 0 && left.iter().any(|piece| !piece.is_empty()) {
            return Err(io::ErrorKind::WriteZero.into());
        }
        for piece in left {
            let taken = written.min(piece.len());
            piece.advance(taken);
            written -= taken;
            if !piece.is_empty() {
                break;
            }
            first += 1;
        }
    }
    stream.flush().await
}

/// Without the number that the operating system gives it.
fn plainly(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ended without an answer".to_owned(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text.get(..end).unwrap_or(&text).to_lowercase()
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use felice_protocol::{
        api::{RequestHeader, parse_request_header, write_response},
        messages::{
            api_versions::ApiVersion,
            metadata::{MetadataRequest, MetadataResponse},
        },
    };
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// A broker as a test wants it, at the other end of a pipe.
    struct Peer {
        stream: DuplexStream,
    }

    impl Peer {
        async fn request(&mut self) -> RequestHeader {
            let frame = read_frame(&mut self.stream, 1 << 20).await.unwrap_or_else(|_| panic!("no request"));
            parse_request_header(&frame).unwrap().0
        }

        async fn answer<M: Message>(&mut self, correlation_id: i32, version: i16, response: &M) {
            let frame = write_response(correlation_id, version, response).unwrap().to_bytes();
            // The client may have gone.
            let _ = self.stream.write_all(&frame).await;
        }

        /// Tells that Metadata is served in these versions.
        async fn introduce(&mut self, served: Versions) {
            let header = self.request().await;
            assert_eq!((header.api_key, header.client_id.as_deref()), (18, Some("felice")));
            let api = ApiVersion {
                api_key: ApiKey::Metadata.code(),
                min_version: served.min,
                max_version: served.max,
                ..ApiVersion::default()
            };
            let response = ApiVersionsResponse { api_keys: vec![api], ..ApiVersionsResponse::default() };
            self.answer(header.correlation_id, header.api_version, &response).await;
        }
    }

    fn settings() -> ClientSettings {
        ClientSettings {
            request_timeout: Duration::from_millis(200),
            response_bytes_max: 1 << 20,
            ..ClientSettings::default()
        }
    }

    async fn connected(play: impl AsyncFnOnce(&mut Peer)) -> Result<Connection, ClientError> {
        let (ours, theirs) = duplex(1 << 16);
        played(ours, Peer { stream: theirs }, play).await.0
    }

    /// A connection to a peer that has told that it serves Metadata in these versions.
    async fn introduced(served: Versions) -> (Connection, Peer) {
        let (ours, theirs) = duplex(1 << 16);
        let introduce = async |peer: &mut Peer| peer.introduce(served).await;
        let (connection, peer) = played(ours, Peer { stream: theirs }, introduce).await;
        (connection.unwrap(), peer)
    }

    /// What comes of connecting while the peer does this.
    async fn played(
        ours: DuplexStream,
        mut peer: Peer,
        play: impl AsyncFnOnce(&mut Peer),
    ) -> (Result<Connection, ClientError>, Peer) {
        let (address, settings) = (Address::new("peer", 1), settings());
        let (connection, ()) = tokio::join!(Connection::over(ours, &address, &settings), play(&mut peer));
        (connection, peer)
    }

    #[tokio::test]
    async fn the_highest_common_version_is_taken() {
        let (connection, _peer) = introduced(Versions::new(2, 11)).await;
        let version =
            |wanted| connection.version::<MetadataRequest>(wanted, "a test").map_err(|error| error.to_string());
        assert_eq!(version(Versions::from(0)), Ok(11));
        assert_eq!(version(Versions::new(4, 9)), Ok(9));
        let refused = "peer:1 serves Metadata in versions 2 to 11; a test needs version 12 to 13".to_owned();
        assert_eq!(version(Versions::from(12)), Err(refused));
        let missing = connection.version::<ApiVersionsRequest>(Versions::from(1), "a test").unwrap_err().to_string();
        assert_eq!(missing, "peer:1 does not serve ApiVersions; a test needs version 1 to 5");
    }

    #[tokio::test]
    async fn an_older_broker_is_asked_again() {
        let connection = connected(async |peer: &mut Peer| {
            let header = peer.request().await;
            assert_eq!(header.api_version, API_VERSIONS);
            let api = ApiVersion { api_key: 18, min_version: 0, max_version: 2, ..ApiVersion::default() };
            let refusal = ApiVersionsResponse {
                error_code: ErrorCode::UnsupportedVersion.code(),
                api_keys: vec![api],
                ..ApiVersionsResponse::default()
            };
            peer.answer(header.correlation_id, 0, &refusal).await;
            let header = peer.request().await;
            assert_eq!(header.api_version, 2);
            peer.answer(header.correlation_id, 2, &ApiVersionsResponse::default()).await;
        });
        assert!(connection.await.is_ok());
    }

    #[tokio::test]
    async fn calls_overlap_and_one_that_is_given_up_disturbs_no_other() {
        let (connection, mut peer) = introduced(Versions::new(9, 9)).await;
        let request = MetadataRequest::default();
        let serving = async {
            let mut headers = Vec::new();
            for _ in 0..3 {
                headers.push(peer.request().await);
            }
            for (at, header) in headers.iter().enumerate() {
                let response = MetadataResponse { controller_id: at as i32, ..MetadataResponse::default() };
                peer.answer(header.correlation_id, 9, &response).await;
            }
        };
        let given_up = async {
            // Sent, and not waited for.
            tokio::select! {
                biased;
                _ = connection.call(9, &request) => panic!("answered too early"),
                () = tokio::task::yield_now() => {}
            }
        };
        let others = async {
            given_up.await;
            tokio::join!(connection.call(9, &request), connection.call(9, &request))
        };
        let ((), (second, third)) = tokio::join!(serving, others);
        assert_eq!((second.unwrap().controller_id, third.unwrap().controller_id), (1, 2));
    }

    #[tokio::test]
    async fn a_peer_that_is_no_broker_is_an_error() {
        let told = async |bytes: Vec<u8>| {
            connected(async |peer: &mut Peer| {
                peer.request().await;
                let _ = peer.stream.write_all(&bytes).await;
                let _ = peer.stream.shutdown().await;
            })
            .await
            .unwrap_err()
            .to_string()
        };
        let no_broker = "peer:1 does not answer as a Kafka broker does: ";
        for (bytes, expected) in [
            (
                b"HTTP/1.1 400 Bad Request".to_vec(),
                format!("{no_broker}an answer of 1213486160 bytes is no answer or too large"),
            ),
            (b"\0\0\0\x03abc".to_vec(), format!("{no_broker}an answer of 3 bytes is no answer or too large")),
            (b"\xff\xff\xff\xff".to_vec(), format!("{no_broker}an answer of -1 bytes is no answer or too large")),
            (b"\0\0\0\x04\0\0\0\x07".to_vec(), format!("{no_broker}correlation id 7 instead of 0")),
            (b"\0\0\0\x06\0\0\0\0\0\0".to_vec(), format!("{no_broker}ApiVersionsResponse.api_keys: ")),
            (b"\0\0\x10".to_vec(), "peer:1 closed the connection: it ended without an answer".to_owned()),
        ] {
            let told = told(bytes).await;
            assert!(told.starts_with(&expected), "{told}");
        }
    }

    #[tokio::test]
    async fn an_answer_to_nothing_ends_the_connection() {
        let (connection, mut peer) = introduced(Versions::new(9, 9)).await;
        let mut frame = Vec::new();
        frame.put_i32(4);
        frame.put_i32(1);
        peer.stream.write_all(&frame).await.unwrap();
        connection.shared.closed.cancelled().await;
        let error = connection.call(9, &MetadataRequest::default()).await.unwrap_err();
        assert!(error.to_string().ends_with("an answer to nothing that was asked"), "{error}");
    }

    #[tokio::test]
    async fn silence_ends_the_connection() {
        let (connection, _peer) = introduced(Versions::new(9, 9)).await;
        let request = MetadataRequest::default();
        for _ in 0..2 {
            let error = connection.call(9, &request).await.unwrap_err();
            assert_eq!(error.to_string(), "peer:1 did not answer Metadata within 0.2 s");
            assert!(error.is_retriable() && !connection.is_open());
        }
    }
}
