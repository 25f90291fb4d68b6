//! Another implementation of the protocol, generated from Kafka 4.1's schemas: arbitrary messages go through both, and
//! both write the same bytes, in the same version and in others: what one drops or refuses for want of a field, the other
//! does too.
//!
//! The messages are made from the forms that the schema declares, as data, and not by the code under test.

mod common;

use std::{collections::BTreeSet, ops::RangeInclusive};

use bytes::{BufMut, Bytes, BytesMut};
use common::{Random, uvarint};
use felice_protocol::{
    api::{ApiKey, Message, Request, parse_request_header, parse_response_header, write_request, write_response},
    wire::{FieldForm, Form, Writer},
};
use kafka_protocol::{
    messages as theirs,
    protocol::{Decodable, Encodable, HeaderVersion, Message as Theirs, StrBytes},
};

/// Messages of each version, in each direction.
const SAMPLES: usize = 64;

/// Makes the bytes of arbitrary messages.
struct Sampler {
    random: Random,
    version: i16,
    flexible: bool,
}

impl Sampler {
    /// Writes an arbitrary value of this form. `distinct` asks for one that is no field's default.
    fn value(&mut self, form: &Form, distinct: bool, out: &mut BytesMut) {
        match form {
            Form::Bool => out.put_u8(u8::from(distinct || self.random.once_in(2))),
            Form::Int8 => self.integer(1, distinct, out),
            Form::Int16 | Form::Uint16 => self.integer(2, distinct, out),
            Form::Int32 | Form::Uint32 => self.integer(4, distinct, out),
            Form::Int64 => self.integer(8, distinct, out),
            Form::Float64 => out.put_f64(self.random.next() as i64 as f64 / 1024.0),
            Form::Uuid => {
                out.put_u64(self.random.next());
                out.put_u64(self.random.next());
            }
            Form::String => {
                let text: String = match self.random.below(8) {
                    0 if !distinct => String::new(),
                    1 => "\u{df}\u{20ac}\u{1f980}".repeat(1 + self.random.below(20)),
                    2 => "x".repeat(126 + self.random.below(4)),
                    3 => "long ".repeat(200),
                    _ => format!("name-{}", self.random.below(1000)),
                };
                self.length(Some(text.len()), true, out);
                out.put_slice(text.as_bytes());
            }
            Form::Bytes => {
                let len = [0, 1, 126, 127, 128, 511, 512, 513, 20_000][self.random.below(9)].max(usize::from(distinct));
                self.length(Some(len), false, out);
                out.put_bytes(self.random.next() as u8, len);
            }
            Form::Array(element) => {
                let count = self.random.below(4).max(usize::from(distinct));
                self.length(Some(count), false, out);
                for _ in 0..count {
                    self.value(element, distinct, out);
                }
            }
            Form::Nullable(inner) => self.nullable(inner, distinct, out),
            Form::Struct(fields) => self.structure(fields, distinct, out),
        }
    }

    fn nullable(&mut self, inner: &Form, distinct: bool, out: &mut BytesMut) {
        let null = !distinct && self.random.once_in(3);
        match inner {
            Form::Struct(_) => out.put_i8(if null { -1 } else { 1 }),
            Form::String if null => self.length(None, true, out),
            _ if null => self.length(None, false, out),
            _ => {}
        }
        if !null {
            self.value(inner, distinct, out);
        }
    }

    fn structure(&mut self, fields: &[FieldForm], distinct: bool, out: &mut BytesMut) {
        let version = self.version;
        let present = |field: &&FieldForm| field.field.versions.contains(version);
        for field in fields.iter().filter(present).filter(|field| field.field.tag.is_none()) {
            self.field(field, distinct, out);
        }
        if !self.flexible {
            return;
        }
        let mut tagged = BytesMut::new();
        let mut count = 0;
        for field in fields.iter().filter(present) {
            if let Some(tag) = field.field.tag
                && self.random.once_in(2)
            {
                let mut value = BytesMut::new();
                self.field(field, true, &mut value);
                uvarint(tag, &mut tagged);
                uvarint(value.len() as u32, &mut tagged);
                tagged.put_slice(&value);
                count += 1;
            }
        }
        uvarint(count, out);
        out.put_slice(&tagged);
    }

    fn field(&mut self, field: &FieldForm, distinct: bool, out: &mut BytesMut) {
        match field.form {
            Form::Nullable(inner) if !field.field.null.contains(self.version) => self.value(inner, distinct, out),
            _ => self.value(&field.form, distinct, out),
        }
    }

    fn integer(&mut self, bytes: usize, distinct: bool, out: &mut BytesMut) {
        let edges = [0, 1, u64::MAX, i64::MAX as u64, i64::MIN as u64, 255, 0x7fff, 0x7fff_ffff];
        let value = match self.random.below(2) {
            0 if !distinct => edges[self.random.below(edges.len())],
            _ => self.random.next(),
        };
        out.put_slice(&value.to_be_bytes()[8 - bytes..]);
    }

    fn length(&mut self, length: Option<usize>, short: bool, out: &mut BytesMut) {
        match (self.flexible, short) {
            (true, _) => uvarint(length.map_or(0, |length| length as u32 + 1), out),
            (false, true) => out.put_i16(length.map_or(-1, |length| length as i16)),
            (false, false) => out.put_i32(length.map_or(-1, |length| length as i32)),
        }
    }
}

/// Reads a body in the first version and writes it in the second, as one of the two implementations does.
type Translate = fn(&Bytes, i16, i16) -> Result<Bytes, String>;

/// Puts a header before a body.
type PutHeader = fn(&Bytes, i16) -> Result<Bytes, String>;

fn theirs<T: Encodable + Decodable>(body: &Bytes, version: i16, other: i16) -> Result<Bytes, String> {
    let mut rest = body.clone();
    let message = T::decode(&mut rest, version).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes are left", rest.len()));
    }
    let mut made = BytesMut::new();
    message.encode(&mut made, other).map_err(|error| error.to_string())?;
    Ok(made.freeze())
}

fn ours<T: Message>(body: &Bytes, version: i16, other: i16) -> Result<Bytes, String> {
    let message = T::decode(body, version).map_err(|error| error.to_string())?;
    let mut w = Writer::new();
    message.encode(&mut w, other).map_err(|error| error.to_string())?;
    Ok(w.into_bytes())
}

/// A body with our header, and its length in front.
fn request_frame<T: Request>(body: &Bytes, version: i16) -> Result<Bytes, String> {
    let request = T::decode(body, version).map_err(|error| error.to_string())?;
    Ok(write_request(-5, version, Some("me"), &request).map_err(|error| error.to_string())?.to_bytes())
}

fn response_frame<T: Message>(body: &Bytes, version: i16) -> Result<Bytes, String> {
    let response = T::decode(body, version).map_err(|error| error.to_string())?;
    Ok(write_response(-5, version, &response).map_err(|error| error.to_string())?.to_bytes())
}

/// A body with their header.
fn their_frame(api: ApiKey, is_request: bool, header_version: i16, version: i16, body: &Bytes) -> Bytes {
    let mut frame = BytesMut::new();
    if is_request {
        let header = theirs::RequestHeader::default()
            .with_request_api_key(api.code())
            .with_request_api_version(version)
            .with_correlation_id(-5)
            .with_client_id(Some(StrBytes::from_static_str("me")));
        header.encode(&mut frame, header_version).unwrap();
    } else {
        theirs::ResponseHeader::default().with_correlation_id(-5).encode(&mut frame, header_version).unwrap();
    }
    frame.put_slice(body);
    frame.freeze()
}

/// The names of the tagged fields within.
fn tagged(form: &Form) -> Box<dyn Iterator<Item = &'static str>> {
    match form {
        Form::Array(inner) | Form::Nullable(inner) => tagged(inner),
        Form::Struct(fields) => Box::new(fields.iter().flat_map(|field| {
            let own = field.field.tag.map(|_| field.name);
            own.into_iter().chain(tagged(&field.form))
        })),
        _ => Box::new(std::iter::empty()),
    }
}

/// Messages with an error message, documentation or list of settings that may be null and is absent from old versions: it
/// is then null to us, and empty to Kafka.
const OTHER_DEFAULTS: &[&str] =
    &["CreateTopicsResponse", "DescribeConfigsResponse", "DescribeQuorumResponse", "FindCoordinatorResponse"];

/// A message that both know. Not generic, so that the harness is compiled once.
struct Pair {
    name: &'static str,
    api: ApiKey,
    form: Form,
    /// The versions that both know.
    versions: RangeInclusive<i16>,
    theirs: Translate,
    ours: Translate,
    is_request: bool,
    their_header_version: fn(i16) -> i16,
    our_frame: PutHeader,
}

impl Pair {
    fn new<Ours: Message, T: Theirs + Encodable + Decodable + HeaderVersion>(
        is_request: bool,
        our_frame: PutHeader,
    ) -> Pair {
        let versions = Ours::API.versions();
        Pair {
            name: Ours::NAME,
            api: Ours::API,
            form: Ours::FORM,
            versions: versions.min.max(T::VERSIONS.min)..=versions.max.min(T::VERSIONS.max),
            theirs: theirs::<T>,
            ours: ours::<Ours>,
            is_request,
            their_header_version: T::header_version,
            our_frame,
        }
    }

    /// Sends arbitrary messages through both: what theirs read and wrote is what ours read and write.
    fn compare(&self, wrong: &mut BTreeSet<String>) -> usize {
        let mut compared = 0;
        for version in self.versions.clone() {
            let flexible = self.api.is_flexible(version);
            let mut sampler = Sampler { random: Random(version as u64), version, flexible };
            for _ in 0..SAMPLES {
                let mut body = BytesMut::new();
                sampler.value(&self.form, false, &mut body);
                let body = body.freeze();
                for (who, round_trip) in [("theirs", self.theirs), ("ours", self.ours)] {
                    match round_trip(&body, version, version) {
                        Ok(made) if made == body => compared += 1,
                        Ok(_) => drop(wrong.insert(format!("{} v{version}: {who} writes other bytes", self.name))),
                        Err(error) => drop(wrong.insert(format!("{} v{version}: {who}: {error}", self.name))),
                    }
                }
            }
        }
        compared
    }

    /// Whether Kafka refuses it as we do: a null that the version does not allow, and a tagged field that it does not have.
    fn is_too_lax_of_theirs(&self, refusal: &str) -> bool {
        let is_tagged = |path: &str| tagged(&self.form).any(|name| path.ends_with(&format!(".{name}")));
        match refusal.split_once(": ") {
            Some((_, "null is not allowed")) => true,
            Some((path, "the version has no such field")) => is_tagged(path),
            _ => false,
        }
    }

    /// Writes messages of each version in each other version: both write the same bytes, or both refuse to.
    fn compare_translations(&self, wrong: &mut BTreeSet<String>) -> (usize, usize) {
        let (mut translated, mut refused) = (0, 0);
        for version in self.versions.clone() {
            let flexible = self.api.is_flexible(version);
            let mut sampler = Sampler { random: Random(version as u64), version, flexible };
            for _ in 0..SAMPLES / 4 {
                let mut body = BytesMut::new();
                sampler.value(&self.form, false, &mut body);
                let body = body.freeze();
                for other in self.versions.clone() {
                    match ((self.theirs)(&body, version, other), (self.ours)(&body, version, other)) {
                        (Ok(theirs), Ok(ours)) if theirs == ours => translated += 1,
                        (Err(_), Err(_)) => refused += 1,
                        (Ok(_), Ok(_)) if OTHER_DEFAULTS.contains(&self.name) => {}
                        (Ok(_), Ok(_)) => drop(wrong.insert(format!("{} v{version} as v{other}: others", self.name))),
                        (Ok(_), Err(ours)) if self.is_too_lax_of_theirs(&ours) => refused += 1,
                        (theirs, ours) => drop(wrong.insert(format!(
                            "{} v{version} as v{other}: theirs {:?}, ours {:?}",
                            self.name,
                            theirs.err(),
                            ours.err()
                        ))),
                    }
                }
            }
        }
        (translated, refused)
    }

    /// Puts a header before a message as both do, and takes it off again.
    fn compare_headers(&self, wrong: &mut BTreeSet<String>) {
        for version in self.versions.clone() {
            let mut sampler =
                Sampler { random: Random(version as u64), version, flexible: self.api.is_flexible(version) };
            let mut body = BytesMut::new();
            sampler.value(&self.form, false, &mut body);
            let body = body.freeze();
            let theirs = their_frame(self.api, self.is_request, (self.their_header_version)(version), version, &body);
            let ours = (self.our_frame)(&body, version).unwrap().slice(4..);
            let back = if self.is_request {
                parse_request_header(&theirs).map(|(header, body)| (header.correlation_id, body)).ok()
            } else {
                parse_response_header(&theirs, self.api, version).ok()
            };
            if ours != theirs || back != Some((-5, body)) {
                wrong.insert(format!("{} v{version}", self.name));
            }
        }
    }
}

/// Pairs our messages with theirs by name; `only_ours` has those that they do not know.
macro_rules! pairs {
    (only_ours $($unknown:ident),*; $($request:ident $response:ident,)*) => {
        fn pairs() -> Vec<Pair> {
            use felice_protocol::messages as ours;
            vec![$(
                Pair::new::<ours::$request, theirs::$request>(true, request_frame::<ours::$request>),
                Pair::new::<ours::$response, theirs::$response>(false, response_frame::<ours::$response>),
            )*]
        }

        const ONLY_OURS: &[&str] = &[$(stringify!($unknown)),*];
    };
}

#[test]
fn both_write_the_same_bytes() {
    let mut wrong = BTreeSet::new();
    let compared: usize = pairs().iter().map(|pair| pair.compare(&mut wrong)).sum();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 10_000, "only {compared}");
}

#[test]
fn both_drop_and_refuse_the_same() {
    let mut wrong = BTreeSet::new();
    let (mut translated, mut refused) = (0, 0);
    for pair in pairs() {
        let counts = pair.compare_translations(&mut wrong);
        (translated, refused) = (translated + counts.0, refused + counts.1);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(translated > 1_000 && refused > 1_000, "only {translated} and {refused}");
}

#[test]
fn both_put_the_same_headers_in_front() {
    let mut wrong = BTreeSet::new();
    pairs().iter().for_each(|pair| pair.compare_headers(&mut wrong));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_api_is_compared_or_known_to_be_ours_only() {
    let mut here: Vec<&str> = pairs().iter().map(|pair| pair.name).filter(|name| name.ends_with("Request")).collect();
    here.extend(ONLY_OURS);
    here.sort_unstable();
    let mut names: Vec<String> = ApiKey::ALL.iter().map(|api| format!("{api}Request")).collect();
    names.sort_unstable();
    assert_eq!(here, names);
}

pairs! {
    only_ours LeaderAndIsrRequest, StopReplicaRequest, UpdateMetadataRequest, ControlledShutdownRequest, StreamsGroupHeartbeatRequest, StreamsGroupDescribeRequest, StreamsGroupTopologyDescriptionUpdateRequest, UnregisterControllerRequest;

    AddOffsetsToTxnRequest AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest AddPartitionsToTxnResponse,
    AddRaftVoterRequest AddRaftVoterResponse,
    AllocateProducerIdsRequest AllocateProducerIdsResponse,
    AlterClientQuotasRequest AlterClientQuotasResponse,
    AlterConfigsRequest AlterConfigsResponse,
    AlterPartitionRequest AlterPartitionResponse,
    AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse,
    AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse,
    AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse,
    AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse,
    ApiVersionsRequest ApiVersionsResponse,
    AssignReplicasToDirsRequest AssignReplicasToDirsResponse,
    BeginQuorumEpochRequest BeginQuorumEpochResponse,
    BrokerHeartbeatRequest BrokerHeartbeatResponse,
    BrokerRegistrationRequest BrokerRegistrationResponse,
    ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse,
    ControllerRegistrationRequest ControllerRegistrationResponse,
    CreateAclsRequest CreateAclsResponse,
    CreateDelegationTokenRequest CreateDelegationTokenResponse,
    CreatePartitionsRequest CreatePartitionsResponse,
    CreateTopicsRequest CreateTopicsResponse,
    DeleteAclsRequest DeleteAclsResponse,
    DeleteGroupsRequest DeleteGroupsResponse,
    DeleteRecordsRequest DeleteRecordsResponse,
    DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse,
    DeleteShareGroupStateRequest DeleteShareGroupStateResponse,
    DeleteTopicsRequest DeleteTopicsResponse,
    DescribeAclsRequest DescribeAclsResponse,
    DescribeClientQuotasRequest DescribeClientQuotasResponse,
    DescribeClusterRequest DescribeClusterResponse,
    DescribeConfigsRequest DescribeConfigsResponse,
    DescribeDelegationTokenRequest DescribeDelegationTokenResponse,
    DescribeGroupsRequest DescribeGroupsResponse,
    DescribeLogDirsRequest DescribeLogDirsResponse,
    DescribeProducersRequest DescribeProducersResponse,
    DescribeQuorumRequest DescribeQuorumResponse,
    DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse,
    DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
    DescribeTransactionsRequest DescribeTransactionsResponse,
    DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse,
    ElectLeadersRequest ElectLeadersResponse,
    EndQuorumEpochRequest EndQuorumEpochResponse,
    EndTxnRequest EndTxnResponse,
    EnvelopeRequest EnvelopeResponse,
    ExpireDelegationTokenRequest ExpireDelegationTokenResponse,
    FetchRequest FetchResponse,
    FetchSnapshotRequest FetchSnapshotResponse,
    FindCoordinatorRequest FindCoordinatorResponse,
    GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse,
    HeartbeatRequest HeartbeatResponse,
    IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
    InitProducerIdRequest InitProducerIdResponse,
    InitializeShareGroupStateRequest InitializeShareGroupStateResponse,
    JoinGroupRequest JoinGroupResponse,
    LeaveGroupRequest LeaveGroupResponse,
    ListConfigResourcesRequest ListConfigResourcesResponse,
    ListGroupsRequest ListGroupsResponse,
    ListOffsetsRequest ListOffsetsResponse,
    ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
    ListTransactionsRequest ListTransactionsResponse,
    MetadataRequest MetadataResponse,
    OffsetCommitRequest OffsetCommitResponse,
    OffsetDeleteRequest OffsetDeleteResponse,
    OffsetFetchRequest OffsetFetchResponse,
    OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
    ProduceRequest ProduceResponse,
    PushTelemetryRequest PushTelemetryResponse,
    ReadShareGroupStateRequest ReadShareGroupStateResponse,
    ReadShareGroupStateSummaryRequest ReadShareGroupStateSummaryResponse,
    RemoveRaftVoterRequest RemoveRaftVoterResponse,
    RenewDelegationTokenRequest RenewDelegationTokenResponse,
    SaslAuthenticateRequest SaslAuthenticateResponse,
    SaslHandshakeRequest SaslHandshakeResponse,
    ShareAcknowledgeRequest ShareAcknowledgeResponse,
    ShareFetchRequest ShareFetchResponse,
    ShareGroupDescribeRequest ShareGroupDescribeResponse,
    ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse,
    SyncGroupRequest SyncGroupResponse,
    TxnOffsetCommitRequest TxnOffsetCommitResponse,
    UnregisterBrokerRequest UnregisterBrokerResponse,
    UpdateFeaturesRequest UpdateFeaturesResponse,
    UpdateRaftVoterRequest UpdateRaftVoterResponse,
    VoteRequest VoteResponse,
    WriteShareGroupStateRequest WriteShareGroupStateResponse,
    WriteTxnMarkersRequest WriteTxnMarkersResponse,
}
