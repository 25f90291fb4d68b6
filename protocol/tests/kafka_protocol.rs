//! Another implementation of the protocol, generated from Kafka 4.1's schemas: arbitrary messages go through both, and
//! both write the same bytes.
//!
//! The messages are made from the forms that the schema declares, as data, and not by the code under test.

mod common;

use bytes::{BufMut, BytesMut};
use common::{Random, uvarint};
use felice_protocol::{
    api::{Message, Request, Visit, visit},
    wire::{FieldForm, Form, Writer},
};
use kafka_protocol::{
    messages as theirs,
    protocol::{Decodable, Encodable, Message as Theirs},
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

/// Sends arbitrary messages through both.
fn compare<Ours: Message, T: Theirs + Encodable + Decodable>(compared: &mut usize) {
    let ours = Ours::API.versions();
    for version in ours.min.max(T::VERSIONS.min)..=ours.max.min(T::VERSIONS.max) {
        let mut sampler = Sampler { random: Random(version as u64), version, flexible: Ours::API.is_flexible(version) };
        for _ in 0..SAMPLES {
            let mut body = BytesMut::new();
            sampler.value(&Ours::FORM, false, &mut body);
            let body = body.freeze();
            let place = |what| format!("{} v{version}: {what}\n{body:x}", Ours::NAME);

            // Made by theirs.
            let mut rest = body.clone();
            let message = T::decode(&mut rest, version).unwrap_or_else(|error| panic!("{}: {error}", place("theirs")));
            assert!(rest.is_empty(), "{}", place("they leave bytes"));
            let mut made = BytesMut::new();
            message.encode(&mut made, version).unwrap();
            let made = made.freeze();
            assert!(made == body, "{}", place("their bytes are others"));

            // Read and written by ours.
            let message = Ours::decode(&made, version).unwrap_or_else(|error| panic!("{}: {error}", place("ours")));
            let mut w = Writer::new();
            message.encode(&mut w, version).unwrap();
            assert!(w.into_bytes() == made, "{}", place("our bytes are others"));
            *compared += 1;
        }
    }
}

/// Pairs our messages with theirs by name; `only_ours` has those that they do not know.
macro_rules! pairs {
    (only_ours $($unknown:ident),*; $($request:ident $response:ident,)*) => {
        #[test]
        fn both_write_the_same_bytes() {
            let mut compared = 0;
            $(
                compare::<felice_protocol::messages::$request, theirs::$request>(&mut compared);
                compare::<felice_protocol::messages::$response, theirs::$response>(&mut compared);
            )*
            assert!(compared > 1000, "only {compared}");
        }

        #[test]
        fn every_api_is_compared_or_known_to_be_ours_only() {
            struct Names(Vec<&'static str>);

            impl Visit for Names {
                fn api<R: Request>(&mut self) {
                    self.0.push(R::NAME);
                }
            }

            let mut names = Names(Vec::new());
            visit(&mut names);
            let mut here = vec![$(stringify!($request),)* $(stringify!($unknown)),*];
            here.sort_unstable();
            names.0.sort_unstable();
            assert_eq!(names.0, here);
        }
    };
}

pairs! {
    only_ours StreamsGroupDescribeRequest, StreamsGroupHeartbeatRequest;

    AddRaftVoterRequest AddRaftVoterResponse,
    AlterClientQuotasRequest AlterClientQuotasResponse,
    ApiVersionsRequest ApiVersionsResponse,
    ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse,
    CreatePartitionsRequest CreatePartitionsResponse,
    CreateTopicsRequest CreateTopicsResponse,
    DeleteTopicsRequest DeleteTopicsResponse,
    DescribeClientQuotasRequest DescribeClientQuotasResponse,
    DescribeClusterRequest DescribeClusterResponse,
    DescribeConfigsRequest DescribeConfigsResponse,
    DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
    FetchRequest FetchResponse,
    FindCoordinatorRequest FindCoordinatorResponse,
    IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
    InitProducerIdRequest InitProducerIdResponse,
    JoinGroupRequest JoinGroupResponse,
    ListOffsetsRequest ListOffsetsResponse,
    MetadataRequest MetadataResponse,
    OffsetCommitRequest OffsetCommitResponse,
    OffsetDeleteRequest OffsetDeleteResponse,
    OffsetFetchRequest OffsetFetchResponse,
    OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
    ProduceRequest ProduceResponse,
    SaslAuthenticateRequest SaslAuthenticateResponse,
    SaslHandshakeRequest SaslHandshakeResponse,
}
