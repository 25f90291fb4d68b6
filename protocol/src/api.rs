//! Every API of Kafka: its key, name, versions and first flexible version; headers and frames.
//!
//! A frame is a length of four bytes, a header and a body. Requests have header version 1, or 2 in flexible versions,
//! which adds tagged fields but keeps the client id a classic string. Responses have header version 0, or 1 in flexible
//! versions, except ApiVersions, whose response header is always version 0: a client that asks in a version too new
//! must be able to read the answer (KIP-511).

use std::fmt;

use bytes::Bytes;

use crate::{
    error::ErrorCode,
    messages::*,
    schema::{Decoded, Versions, read_message, skip_tags},
    wire::{Chunk, Cx, Malformed, Reason, Refusal, Unencodable, Version, Wire, Writer, budget, read_text_lossy},
};

/// A request or response, with the API that it belongs to.
pub trait Message: Wire + fmt::Debug + Clone + PartialEq + Default {
    /// The API.
    const API: ApiKey;
    /// The message's name, such as `FetchRequest`.
    const NAME: &'static str;

    /// Decodes a body, without header, sharing its memory. What follows the message is ignored, as Kafka does.
    fn decode(body: &Bytes, version: i16) -> Result<Self, Malformed> {
        Ok(Self::decode_with_rest(body, version)?.0)
    }

    /// As [`Message::decode`], and says how many bytes follow the message.
    fn decode_with_rest(body: &Bytes, version: i16) -> Result<(Self, usize), Malformed> {
        let decoded = Self::decode_within(body, version, usize::MAX)?;
        Ok((decoded.message, decoded.rest))
    }

    /// As [`Message::decode`], where all arrays together may take at most `memory_max` bytes: what a hundred megabytes of
    /// empty strings decode to is many times as large.
    fn decode_within(body: &Bytes, version: i16, memory_max: usize) -> Result<Decoded<Self>, Malformed> {
        if !Self::API.versions().contains(version) {
            return Err(Malformed::new(Reason::Version(version)).within(Self::NAME));
        }
        read_message(body, Self::API.version(version), Self::NAME, memory_max)
    }

    /// Encodes the body, without header.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), Unencodable> {
        if !Self::API.versions().contains(version) {
            return Err(Unencodable::new(Refusal::Version(version)).within(Self::NAME));
        }
        self.write(w, Self::API.version(version)).map_err(|error| error.within(Self::NAME))
    }
}

/// A request, with the response that answers it.
pub trait Request: Message {
    /// What answers it.
    type Response: Message;
}

/// Sees the types of every API: see [`visit`].
pub trait Visit {
    /// An API by its request.
    fn api<R: Request>(&mut self);
}

macro_rules! apis {
    ($(
        $key:literal $name:ident ($request:ident -> $response:ident)
        $min:literal - $max:literal $(, flexible $flexible:literal +)?;
    )*) => {
        /// Kafka's APIs by their keys, those that Kafka 4 no longer has among them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = concat!("Key ", stringify!($key), ": [`", stringify!($request), "`].")] $name = $key,)*
        }

        impl ApiKey {
            /// All of them, by key.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name,)*];

            /// The API with this key.
            pub fn from_code(key: i16) -> Option<ApiKey> {
                match key {
                    $($key => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// Its name, such as `Produce`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The versions that can be encoded and decoded: all that Kafka 3.9 or 4.4 has.
            pub const fn versions(self) -> Versions {
                match self {
                    $(ApiKey::$name => Versions::new($min, $max),)*
                }
            }

            /// The first flexible version (KIP-482).
            pub const fn flexible_from(self) -> Option<i16> {
                match self {
                    $(ApiKey::$name => apis!(@flexible $($flexible)?),)*
                }
            }
        }

        $(
            impl Message for $request {
                const API: ApiKey = ApiKey::$name;
                const NAME: &'static str = stringify!($request);
            }

            impl Message for $response {
                const API: ApiKey = ApiKey::$name;
                const NAME: &'static str = stringify!($response);
            }

            impl Request for $request {
                type Response = $response;
            }
        )*

        /// Shows the visitor every API, by key.
        pub fn visit(visitor: &mut impl Visit) {
            $(visitor.api::<$request>();)*
        }
    };

    (@flexible) => { None };
    (@flexible $flexible:literal) => { Some($flexible) };
}

apis! {
    0  Produce (ProduceRequest -> ProduceResponse) 0-13, flexible 9+;
    1  Fetch (FetchRequest -> FetchResponse) 0-18, flexible 12+;
    2  ListOffsets (ListOffsetsRequest -> ListOffsetsResponse) 0-11, flexible 6+;
    3  Metadata (MetadataRequest -> MetadataResponse) 0-13, flexible 9+;
    4  LeaderAndIsr (LeaderAndIsrRequest -> LeaderAndIsrResponse) 0-7, flexible 4+;
    5  StopReplica (StopReplicaRequest -> StopReplicaResponse) 0-4, flexible 2+;
    6  UpdateMetadata (UpdateMetadataRequest -> UpdateMetadataResponse) 0-8, flexible 6+;
    7  ControlledShutdown (ControlledShutdownRequest -> ControlledShutdownResponse) 0-3, flexible 3+;
    8  OffsetCommit (OffsetCommitRequest -> OffsetCommitResponse) 0-10, flexible 8+;
    9  OffsetFetch (OffsetFetchRequest -> OffsetFetchResponse) 0-10, flexible 6+;
    10 FindCoordinator (FindCoordinatorRequest -> FindCoordinatorResponse) 0-6, flexible 3+;
    11 JoinGroup (JoinGroupRequest -> JoinGroupResponse) 0-9, flexible 6+;
    12 Heartbeat (HeartbeatRequest -> HeartbeatResponse) 0-4, flexible 4+;
    13 LeaveGroup (LeaveGroupRequest -> LeaveGroupResponse) 0-5, flexible 4+;
    14 SyncGroup (SyncGroupRequest -> SyncGroupResponse) 0-5, flexible 4+;
    15 DescribeGroups (DescribeGroupsRequest -> DescribeGroupsResponse) 0-6, flexible 5+;
    16 ListGroups (ListGroupsRequest -> ListGroupsResponse) 0-5, flexible 3+;
    17 SaslHandshake (SaslHandshakeRequest -> SaslHandshakeResponse) 0-1;
    18 ApiVersions (ApiVersionsRequest -> ApiVersionsResponse) 0-5, flexible 3+;
    19 CreateTopics (CreateTopicsRequest -> CreateTopicsResponse) 0-7, flexible 5+;
    20 DeleteTopics (DeleteTopicsRequest -> DeleteTopicsResponse) 0-6, flexible 4+;
    21 DeleteRecords (DeleteRecordsRequest -> DeleteRecordsResponse) 0-2, flexible 2+;
    22 InitProducerId (InitProducerIdRequest -> InitProducerIdResponse) 0-6, flexible 2+;
    23 OffsetForLeaderEpoch (OffsetForLeaderEpochRequest -> OffsetForLeaderEpochResponse) 0-4, flexible 4+;
    24 AddPartitionsToTxn (AddPartitionsToTxnRequest -> AddPartitionsToTxnResponse) 0-5, flexible 3+;
    25 AddOffsetsToTxn (AddOffsetsToTxnRequest -> AddOffsetsToTxnResponse) 0-4, flexible 3+;
    26 EndTxn (EndTxnRequest -> EndTxnResponse) 0-5, flexible 3+;
    27 WriteTxnMarkers (WriteTxnMarkersRequest -> WriteTxnMarkersResponse) 0-2, flexible 1+;
    28 TxnOffsetCommit (TxnOffsetCommitRequest -> TxnOffsetCommitResponse) 0-6, flexible 3+;
    29 DescribeAcls (DescribeAclsRequest -> DescribeAclsResponse) 0-3, flexible 2+;
    30 CreateAcls (CreateAclsRequest -> CreateAclsResponse) 0-3, flexible 2+;
    31 DeleteAcls (DeleteAclsRequest -> DeleteAclsResponse) 0-3, flexible 2+;
    32 DescribeConfigs (DescribeConfigsRequest -> DescribeConfigsResponse) 0-4, flexible 4+;
    33 AlterConfigs (AlterConfigsRequest -> AlterConfigsResponse) 0-2, flexible 2+;
    34 AlterReplicaLogDirs (AlterReplicaLogDirsRequest -> AlterReplicaLogDirsResponse) 0-2, flexible 2+;
    35 DescribeLogDirs (DescribeLogDirsRequest -> DescribeLogDirsResponse) 0-5, flexible 2+;
    36 SaslAuthenticate (SaslAuthenticateRequest -> SaslAuthenticateResponse) 0-2, flexible 2+;
    37 CreatePartitions (CreatePartitionsRequest -> CreatePartitionsResponse) 0-3, flexible 2+;
    38 CreateDelegationToken (CreateDelegationTokenRequest -> CreateDelegationTokenResponse) 0-3, flexible 2+;
    39 RenewDelegationToken (RenewDelegationTokenRequest -> RenewDelegationTokenResponse) 0-2, flexible 2+;
    40 ExpireDelegationToken (ExpireDelegationTokenRequest -> ExpireDelegationTokenResponse) 0-2, flexible 2+;
    41 DescribeDelegationToken (DescribeDelegationTokenRequest -> DescribeDelegationTokenResponse) 0-3, flexible 2+;
    42 DeleteGroups (DeleteGroupsRequest -> DeleteGroupsResponse) 0-3, flexible 2+;
    43 ElectLeaders (ElectLeadersRequest -> ElectLeadersResponse) 0-2, flexible 2+;
    44 IncrementalAlterConfigs (IncrementalAlterConfigsRequest -> IncrementalAlterConfigsResponse) 0-1, flexible 1+;
    45 AlterPartitionReassignments (AlterPartitionReassignmentsRequest -> AlterPartitionReassignmentsResponse) 0-1, flexible 0+;
    46 ListPartitionReassignments (ListPartitionReassignmentsRequest -> ListPartitionReassignmentsResponse) 0-0, flexible 0+;
    47 OffsetDelete (OffsetDeleteRequest -> OffsetDeleteResponse) 0-0;
    48 DescribeClientQuotas (DescribeClientQuotasRequest -> DescribeClientQuotasResponse) 0-1, flexible 1+;
    49 AlterClientQuotas (AlterClientQuotasRequest -> AlterClientQuotasResponse) 0-1, flexible 1+;
    50 DescribeUserScramCredentials (DescribeUserScramCredentialsRequest -> DescribeUserScramCredentialsResponse) 0-0, flexible 0+;
    51 AlterUserScramCredentials (AlterUserScramCredentialsRequest -> AlterUserScramCredentialsResponse) 0-0, flexible 0+;
    52 Vote (VoteRequest -> VoteResponse) 0-2, flexible 0+;
    53 BeginQuorumEpoch (BeginQuorumEpochRequest -> BeginQuorumEpochResponse) 0-1, flexible 1+;
    54 EndQuorumEpoch (EndQuorumEpochRequest -> EndQuorumEpochResponse) 0-1, flexible 1+;
    55 DescribeQuorum (DescribeQuorumRequest -> DescribeQuorumResponse) 0-2, flexible 0+;
    56 AlterPartition (AlterPartitionRequest -> AlterPartitionResponse) 0-3, flexible 0+;
    57 UpdateFeatures (UpdateFeaturesRequest -> UpdateFeaturesResponse) 0-2, flexible 0+;
    58 Envelope (EnvelopeRequest -> EnvelopeResponse) 0-0, flexible 0+;
    59 FetchSnapshot (FetchSnapshotRequest -> FetchSnapshotResponse) 0-1, flexible 0+;
    60 DescribeCluster (DescribeClusterRequest -> DescribeClusterResponse) 0-2, flexible 0+;
    61 DescribeProducers (DescribeProducersRequest -> DescribeProducersResponse) 0-0, flexible 0+;
    62 BrokerRegistration (BrokerRegistrationRequest -> BrokerRegistrationResponse) 0-4, flexible 0+;
    63 BrokerHeartbeat (BrokerHeartbeatRequest -> BrokerHeartbeatResponse) 0-2, flexible 0+;
    64 UnregisterBroker (UnregisterBrokerRequest -> UnregisterBrokerResponse) 0-0, flexible 0+;
    65 DescribeTransactions (DescribeTransactionsRequest -> DescribeTransactionsResponse) 0-0, flexible 0+;
    66 ListTransactions (ListTransactionsRequest -> ListTransactionsResponse) 0-2, flexible 0+;
    67 AllocateProducerIds (AllocateProducerIdsRequest -> AllocateProducerIdsResponse) 0-0, flexible 0+;
    68 ConsumerGroupHeartbeat (ConsumerGroupHeartbeatRequest -> ConsumerGroupHeartbeatResponse) 0-1, flexible 0+;
    69 ConsumerGroupDescribe (ConsumerGroupDescribeRequest -> ConsumerGroupDescribeResponse) 0-1, flexible 0+;
    70 ControllerRegistration (ControllerRegistrationRequest -> ControllerRegistrationResponse) 0-0, flexible 0+;
    71 GetTelemetrySubscriptions (GetTelemetrySubscriptionsRequest -> GetTelemetrySubscriptionsResponse) 0-0, flexible 0+;
    72 PushTelemetry (PushTelemetryRequest -> PushTelemetryResponse) 0-0, flexible 0+;
    73 AssignReplicasToDirs (AssignReplicasToDirsRequest -> AssignReplicasToDirsResponse) 0-0, flexible 0+;
    74 ListConfigResources (ListConfigResourcesRequest -> ListConfigResourcesResponse) 0-1, flexible 0+;
    75 DescribeTopicPartitions (DescribeTopicPartitionsRequest -> DescribeTopicPartitionsResponse) 0-0, flexible 0+;
    76 ShareGroupHeartbeat (ShareGroupHeartbeatRequest -> ShareGroupHeartbeatResponse) 0-1, flexible 0+;
    77 ShareGroupDescribe (ShareGroupDescribeRequest -> ShareGroupDescribeResponse) 0-1, flexible 0+;
    78 ShareFetch (ShareFetchRequest -> ShareFetchResponse) 0-2, flexible 0+;
    79 ShareAcknowledge (ShareAcknowledgeRequest -> ShareAcknowledgeResponse) 0-2, flexible 0+;
    80 AddRaftVoter (AddRaftVoterRequest -> AddRaftVoterResponse) 0-1, flexible 0+;
    81 RemoveRaftVoter (RemoveRaftVoterRequest -> RemoveRaftVoterResponse) 0-0, flexible 0+;
    82 UpdateRaftVoter (UpdateRaftVoterRequest -> UpdateRaftVoterResponse) 0-0, flexible 0+;
    83 InitializeShareGroupState (InitializeShareGroupStateRequest -> InitializeShareGroupStateResponse) 0-0, flexible 0+;
    84 ReadShareGroupState (ReadShareGroupStateRequest -> ReadShareGroupStateResponse) 0-0, flexible 0+;
    85 WriteShareGroupState (WriteShareGroupStateRequest -> WriteShareGroupStateResponse) 0-1, flexible 0+;
    86 DeleteShareGroupState (DeleteShareGroupStateRequest -> DeleteShareGroupStateResponse) 0-0, flexible 0+;
    87 ReadShareGroupStateSummary (ReadShareGroupStateSummaryRequest -> ReadShareGroupStateSummaryResponse) 0-1, flexible 0+;
    88 StreamsGroupHeartbeat (StreamsGroupHeartbeatRequest -> StreamsGroupHeartbeatResponse) 0-1, flexible 0+;
    89 StreamsGroupDescribe (StreamsGroupDescribeRequest -> StreamsGroupDescribeResponse) 0-1, flexible 0+;
    90 DescribeShareGroupOffsets (DescribeShareGroupOffsetsRequest -> DescribeShareGroupOffsetsResponse) 0-1, flexible 0+;
    91 AlterShareGroupOffsets (AlterShareGroupOffsetsRequest -> AlterShareGroupOffsetsResponse) 0-0, flexible 0+;
    92 DeleteShareGroupOffsets (DeleteShareGroupOffsetsRequest -> DeleteShareGroupOffsetsResponse) 0-0, flexible 0+;
    93 StreamsGroupTopologyDescriptionUpdate (StreamsGroupTopologyDescriptionUpdateRequest -> StreamsGroupTopologyDescriptionUpdateResponse) 0-0, flexible 0+;
    94 UnregisterController (UnregisterControllerRequest -> UnregisterControllerResponse) 0-0, flexible 0+;
}

impl ApiKey {
    /// Its number.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether lengths are compact and structs end with tagged fields in this version.
    pub const fn is_flexible(self, version: i16) -> bool {
        match self.flexible_from() {
            Some(first) => version >= first,
            None => false,
        }
    }

    const fn version(self, number: i16) -> Version {
        Version { number, flexible: self.is_flexible(number) }
    }

    /// Whether its request header has a client id in this version: all but one have (request header version 0).
    const fn has_client_id(self, version: i16) -> bool {
        !matches!(self, ApiKey::ControlledShutdown) || version > 0
    }

    /// Whether its response header ends with tagged fields in this version.
    const fn has_flexible_response_header(self, version: i16) -> bool {
        self.is_flexible(version) && !matches!(self, ApiKey::ApiVersions)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Strings and lengths of headers have the classic form in every version.
const CLASSIC: Version = Version { number: 0, flexible: false };

/// What comes before a request's body. Neither key nor version need be ones that we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API: [`ApiKey::from_code`].
    pub api_key: i16,
    /// The version of the request, and of the response that is expected.
    pub api_version: i16,
    /// What the response must carry, so that the client finds the request that it answers.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

/// A request has no readable header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The key is none of Kafka's, so that not even the header's version is known.
    #[error("unknown API key {api_key} (version {api_version}, correlation id {correlation_id})")]
    UnknownApiKey {
        /// The key.
        api_key: i16,
        /// The version.
        api_version: i16,
        /// The correlation id.
        correlation_id: i32,
    },
    /// The bytes are not a header.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Splits a request, without its length, into header and body.
///
/// A version that we do not know is no error: the header of an ApiVersions request from the future can be read, so that
/// it can be answered.
pub fn parse_request_header(frame: &Bytes) -> Result<(RequestHeader, Bytes), HeaderError> {
    let budget = budget(frame);
    let cx = Cx::new(CLASSIC, frame, &budget);
    let mut input = &frame[..];
    let api_key: i16 = header_field(&mut input, cx, "api_key")?;
    let api_version: i16 = header_field(&mut input, cx, "api_version")?;
    let correlation_id: i32 = header_field(&mut input, cx, "correlation_id")?;
    let Some(api) = ApiKey::from_code(api_key) else {
        return Err(HeaderError::UnknownApiKey { api_key, api_version, correlation_id });
    };
    let client_id = if api.has_client_id(api_version) { client_id(&mut input, cx)? } else { None };
    if api.is_flexible(api_version) {
        (input, ()) = skip_tags(input).map_err(in_request_header)?;
    }
    let header = RequestHeader { api_key, api_version, correlation_id, client_id };
    Ok((header, frame.slice_ref(input)))
}

fn header_field<'a, T: Wire>(input: &mut &'a [u8], cx: Cx<'a>, name: &'static str) -> Result<T, Malformed> {
    let (rest, value) =
        T::read(input, cx).map_err(|error| in_request_header(error.map(|malformed| malformed.within(name))))?;
    *input = rest;
    Ok(value)
}

/// A name for people, in whatever encoding the client's configuration has it: no reason to refuse a request.
fn client_id<'a>(input: &mut &'a [u8], cx: Cx<'a>) -> Result<Option<String>, Malformed> {
    let (rest, text) = read_text_lossy(input, cx)
        .map_err(|error| in_request_header(error.map(|malformed| malformed.within("client_id"))))?;
    *input = rest;
    Ok(text)
}

fn in_request_header(error: nom::Err<Malformed>) -> Malformed {
    Malformed::from(error).within("RequestHeader")
}

/// A request or response ready to be sent, its length of four bytes in front.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The pieces, in order.
    pub chunks: Vec<Chunk>,
    /// The size of all pieces in bytes, those four included.
    pub len: usize,
}

impl Frame {
    /// All bytes in one piece. The payloads are copied.
    ///
    /// # Panics
    /// When a piece is a range of a file.
    pub fn to_bytes(&self) -> Bytes {
        let mut w = Writer::with_capacity(self.len);
        for chunk in &self.chunks {
            match chunk {
                Chunk::Bytes(bytes) => w.put_slice(bytes),
                Chunk::File(_) => panic!("a range of a file has no bytes in memory"),
            }
        }
        w.into_bytes()
    }
}

/// What small messages fit in without growing the buffer, in bytes.
const SMALL: usize = 256;

/// Builds a frame from what `write` writes.
fn frame(write: impl FnOnce(&mut Writer) -> Result<(), Unencodable>) -> Result<Frame, Unencodable> {
    let mut w = Writer::with_capacity(SMALL);
    w.put_slice(&[0; 4]);
    write(&mut w)?;
    let len = w.len();
    let size = i32::try_from(len - 4).map_err(|_| Unencodable::new(Refusal::TooLong).within("frame"))?;
    w.patch_i32(0, size);
    Ok(Frame { chunks: w.finish(), len })
}

/// Encodes a response with its header.
pub fn write_response<T: Message>(correlation_id: i32, version: i16, response: &T) -> Result<Frame, Unencodable> {
    frame(|w| {
        correlation_id.write(w, CLASSIC)?;
        if T::API.has_flexible_response_header(version) {
            w.put_uvarint(0);
        }
        response.encode(w, version)
    })
}

/// Encodes a request with its header.
pub fn write_request<T: Request>(
    correlation_id: i32,
    version: i16,
    client_id: Option<&str>,
    request: &T,
) -> Result<Frame, Unencodable> {
    frame(|w| {
        T::API.code().write(w, CLASSIC)?;
        version.write(w, CLASSIC)?;
        correlation_id.write(w, CLASSIC)?;
        if T::API.has_client_id(version) {
            client_id.map(str::to_owned).write(w, CLASSIC).map_err(|error| error.within("client_id"))?;
        }
        if T::API.is_flexible(version) {
            w.put_uvarint(0);
        }
        request.encode(w, version)
    })
}

/// Splits a response, without its length, into correlation id and body. Which request it answers, and so its API and
/// version, is for the caller to know: the correlation id is its first four bytes.
pub fn parse_response_header(frame: &Bytes, api: ApiKey, version: i16) -> Result<(i32, Bytes), Malformed> {
    let budget = budget(frame);
    let cx = Cx::new(CLASSIC, frame, &budget);
    let located = |error| Malformed::from(error).within("ResponseHeader");
    let (mut input, correlation_id) =
        i32::read(frame, cx).map_err(|error| located(error.map(|malformed| malformed.within("correlation_id"))))?;
    if api.has_flexible_response_header(version) {
        (input, ()) = skip_tags(input).map_err(located)?;
    }
    Ok((correlation_id, frame.slice_ref(input)))
}

/// Decodes a response, without its length: its correlation id and body.
pub fn parse_response<T: Message>(frame: &Bytes, version: i16) -> Result<(i32, T), Malformed> {
    let (correlation_id, body) = parse_response_header(frame, T::API, version)?;
    Ok((correlation_id, T::decode(&body, version)?))
}

/// Decodes the answer to an ApiVersions request: one in a version that the broker does not know comes back in version 0
/// (KIP-511).
pub fn parse_api_versions_response(frame: &Bytes, version: i16) -> Result<(i32, ApiVersionsResponse), Malformed> {
    let (correlation_id, body) = parse_response_header(frame, ApiKey::ApiVersions, version)?;
    let refused = body.starts_with(&ErrorCode::UnsupportedVersion.code().to_be_bytes());
    Ok((correlation_id, ApiVersionsResponse::decode(&body, if refused { 0 } else { version })?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{
        api_versions::ApiVersion,
        metadata::{MetadataRequest, MetadataRequestTopic},
        produce::*,
    };

    fn body_of(frame: &Frame) -> Bytes {
        let bytes = frame.to_bytes();
        assert_eq!(bytes.len(), frame.len);
        assert_eq!(bytes[..4], (bytes.len() as i32 - 4).to_be_bytes());
        bytes.slice(4..)
    }

    #[test]
    fn keys_are_kafkas() {
        assert_eq!(ApiKey::ALL.len(), 95);
        for (key, api) in (0i16..).zip(ApiKey::ALL) {
            assert_eq!((api.code(), ApiKey::from_code(key)), (key, Some(*api)));
        }
        assert_eq!(ApiKey::from_code(95), None);
        assert_eq!(ApiKey::DescribeTopicPartitions.to_string(), "DescribeTopicPartitions");
    }

    #[test]
    fn requests_come_back_with_their_headers() {
        let request = MetadataRequest { allow_auto_topic_creation: false, ..MetadataRequest::default() };
        for (version, client_id) in [(4, None), (8, Some("kcat")), (9, Some("kcat")), (13, None), (12, Some(""))] {
            let frame = body_of(&write_request(-7, version, client_id, &request).unwrap());
            let (header, body) = parse_request_header(&frame).unwrap();
            let expected = RequestHeader {
                api_key: 3,
                api_version: version,
                correlation_id: -7,
                client_id: client_id.map(str::to_owned),
            };
            assert_eq!(header, expected);
            assert_eq!(MetadataRequest::decode_with_rest(&body, version), Ok((request.clone(), 0)));
        }
    }

    #[test]
    fn the_header_is_flexible_but_its_client_id_is_not() {
        let frame = body_of(&write_request(1, 12, Some("me"), &MetadataRequest::default()).unwrap());
        assert_eq!(frame[..13], *b"\x00\x03\x00\x0c\x00\x00\x00\x01\x00\x02me\x00");
        // Tagged fields of the header are skipped.
        let mut tagged = frame.to_vec();
        tagged.splice(12..13, *b"\x01\x05\x02ab");
        let (header, body) = parse_request_header(&Bytes::from(tagged)).unwrap();
        assert_eq!((header.client_id.as_deref(), body), (Some("me"), frame.slice(13..)));
    }

    #[test]
    fn one_header_of_old_has_no_client_id() {
        let request = ControlledShutdownRequest { broker_id: 7, ..ControlledShutdownRequest::default() };
        let bare = body_of(&write_request(1, 0, Some("me"), &request).unwrap());
        assert_eq!(bare[..], *b"\x00\x07\x00\x00\x00\x00\x00\x01\x00\x00\x00\x07");
        let (header, body) = parse_request_header(&bare).unwrap();
        assert_eq!((header.client_id, ControlledShutdownRequest::decode(&body, 0)), (None, Ok(request.clone())));
        let usual = body_of(&write_request(1, 1, Some("me"), &request).unwrap());
        assert_eq!(parse_request_header(&usual).unwrap().0.client_id.as_deref(), Some("me"));
    }

    #[test]
    fn a_client_id_need_not_be_utf_8() {
        let frame = Bytes::from_static(b"\x00\x03\x00\x00\x00\x00\x00\x01\x00\x04J\xfcrg\x00\x00\x00\x00");
        let (header, body) = parse_request_header(&frame).unwrap();
        assert_eq!((header.client_id.as_deref(), &body[..]), (Some("J\u{fffd}rg"), &b"\x00\x00\x00\x00"[..]));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = parse_request_header(&Bytes::from_static(b"\x00\x63\x00\x01\x00\x00\x00\x05\x00\x00")).unwrap_err();
        assert_eq!(error.to_string(), "unknown API key 99 (version 1, correlation id 5)");
    }

    #[test]
    fn a_broken_header_names_its_field() {
        let cases: [(&[u8], &str); 4] = [
            (b"\x00", "RequestHeader.api_key: the frame ends within it"),
            (b"\x00\x03\x00\x01\x00\x00", "RequestHeader.correlation_id: the frame ends within it"),
            (b"\x00\x03\x00\x01\x00\x00\x00\x05\x00\x09me", "RequestHeader.client_id: length does not fit the frame"),
            (b"\x00\x03\x00\x0c\x00\x00\x00\x05\xff\xff\x01", "RequestHeader.tagged fields: the frame ends within it"),
        ];
        for (frame, message) in cases {
            assert_eq!(parse_request_header(&Bytes::from_static(frame)).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn api_versions_of_the_future_can_be_answered() {
        let frame = Bytes::from_static(b"\x00\x12\x00\x63\x00\x00\x00\x05\x00\x02me\x00whatever it may hold");
        let (header, _) = parse_request_header(&frame).unwrap();
        assert_eq!((header.api_version, header.correlation_id, header.client_id.as_deref()), (99, 5, Some("me")));

        let response = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            api_keys: vec![ApiVersion { api_key: 18, min_version: 0, max_version: 4, ..ApiVersion::default() }],
            ..ApiVersionsResponse::default()
        };
        let answer = body_of(&write_response(5, 0, &response).unwrap());
        assert_eq!(parse_api_versions_response(&answer, 4), Ok((5, response)));
    }

    #[test]
    fn only_api_versions_keeps_the_old_response_header() {
        let flexible = body_of(&write_response(5, 9, &MetadataResponse::default()).unwrap());
        assert_eq!(flexible[..5], [0, 0, 0, 5, 0]);
        let (id, response) = parse_response::<MetadataResponse>(&flexible, 9).unwrap();
        assert_eq!((id, response), (5, MetadataResponse::default()));

        let response = ApiVersionsResponse { error_code: 77, ..ApiVersionsResponse::default() };
        let versions = body_of(&write_response(5, 3, &response).unwrap());
        assert_eq!(versions[..6], [0, 0, 0, 5, 0, 77]);
        assert_eq!(parse_api_versions_response(&versions, 3), Ok((5, response)));
    }

    #[test]
    fn payloads_of_a_request_share_its_memory() {
        let records = Bytes::from(vec![9; 4096]);
        let partition =
            PartitionProduceData { index: 3, records: Some(records.clone()), ..PartitionProduceData::default() };
        let request = ProduceRequest {
            topic_data: vec![TopicProduceData { partition_data: vec![partition], ..TopicProduceData::default() }],
            ..ProduceRequest::default()
        };
        let frame = write_request(1, 9, None, &request).unwrap();
        assert!(
            frame.chunks.iter().any(|chunk| matches!(chunk, Chunk::Bytes(bytes) if bytes.as_ptr() == records.as_ptr()))
        );

        let frame = body_of(&frame);
        let (_, body) = parse_request_header(&frame).unwrap();
        let decoded = ProduceRequest::decode(&body, 9).unwrap();
        assert_eq!(decoded, request);
        let payload = decoded.topic_data[0].partition_data[0].records.as_ref().unwrap();
        assert!(frame.as_ptr_range().contains(&payload.as_ptr()));
    }

    #[test]
    fn versions_outside_the_schema_are_refused() {
        let error = ProduceRequest::decode(&Bytes::new(), 14).unwrap_err();
        assert_eq!(error.to_string(), "ProduceRequest: version 14 is not known");
        let error = write_response(1, 19, &FetchResponse::default()).unwrap_err();
        assert_eq!(error.to_string(), "FetchResponse: version 19 is not known");
    }

    #[test]
    fn bytes_after_a_message_are_counted() {
        let body = Bytes::from_static(b"\x00\x00\x00\x00rest");
        assert_eq!(MetadataRequest::decode_with_rest(&body, 1).unwrap().1, 4);
    }
    #[test]
    fn what_arrays_may_take_can_be_bounded() {
        // 100,000 topics without a name's worth of bytes: in version 9 two bytes each.
        let mut body = vec![0xa1, 0x8d, 0x06];
        body.extend(std::iter::repeat_n([1, 0], 100_000).flatten());
        body.extend([0, 0, 0, 0]);
        let body = Bytes::from(body);
        let decoded = MetadataRequest::decode_within(&body, 9, 64 << 20);
        // The frame's own budget is a multiple of its size.
        assert!(decoded.is_err_and(|error| error.to_string().starts_with("MetadataRequest.topics")));
        let mut w = Writer::new();
        let topics = vec![MetadataRequestTopic { name: Some("topic-0123".to_owned()), ..Default::default() }; 1000];
        MetadataRequest { topics: Some(topics), ..MetadataRequest::default() }.encode(&mut w, 9).unwrap();
        let body = w.into_bytes();
        let Decoded { message, rest, memory } = MetadataRequest::decode_within(&body, 9, 1 << 20).unwrap();
        assert_eq!((message.topics.unwrap().len(), rest), (1000, 0));
        assert_eq!(memory, 1000 * size_of::<MetadataRequestTopic>());
        assert!(MetadataRequest::decode_within(&body, 9, memory).is_ok());
        assert!(MetadataRequest::decode_within(&body, 9, memory - 1).is_err());
    }
}
