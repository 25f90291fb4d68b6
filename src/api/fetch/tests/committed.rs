//! Readers of committed records.

use felice_protocol::{
    messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    record::EndTransactionMarker,
};

use super::*;
use crate::{
    api::list_offsets,
    log::TransactionEnd,
    model::{ProducerEpoch, ProducerId, Timestamp},
};

impl Broker {
    /// Appends two records of a producer's transaction; returns their size.
    fn transact(&self, topic: TopicId, producer: i64, sequence: i32) -> usize {
        let builder = BatchBuilder::new(Codec::None).producer(producer, 0, sequence).transactional();
        let batch = builder.record(1_000, None, Some(b"one")).record(2_000, None, Some(b"two")).build();
        self.partition(topic, 0).append(&batch, Acks::Leader, 13, self.services.env.now()).unwrap();
        batch.len()
    }

    fn end(&self, topic: TopicId, producer: i64, committed: bool) {
        let end = TransactionEnd {
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
            marker: EndTransactionMarker { committed, coordinator_epoch: 0 },
            transaction_version: 1,
        };
        // Of the records' time, so that it does not begin a new segment.
        self.partition(topic, 0).append_marker(&end, Timestamp(2_000)).unwrap();
    }

    fn offset_of(&self, isolation_level: i8, timestamp: i64) -> i64 {
        let partitions = vec![ListOffsetsPartition {
            partition_index: 0,
            current_leader_epoch: -1,
            timestamp,
            ..ListOffsetsPartition::default()
        }];
        let topics = vec![ListOffsetsTopic { name: "t".to_owned(), partitions, ..ListOffsetsTopic::default() }];
        let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics, ..ListOffsetsRequest::default() };
        let cx = Context {
            services: &self.services,
            peer: &self.peer,
            principal: Principal::anonymous(),
            version: 7,
            client_id: None,
            is_behind: false,
        };
        let answer = match list_offsets::handle(&cx, request) {
            Answer::Now(answer) => answer,
            Answer::Heavy(work) => match work() {
                Answer::Now(answer) => answer,
                _ => panic!("must be answered"),
            },
            _ => panic!("must be answered"),
        };
        let partition = &answer.topics[0].partitions[0];
        if partition.error_code == 0 { partition.offset } else { i64::from(partition.error_code) * 1000 }
    }
}

fn committed(offset: i64, topic: TopicId, session: (i32, i32)) -> FetchRequest {
    FetchRequest { isolation_level: 1, ..by_id(&[Want(topic, 0, offset)], session) }
}

/// High watermark, last stable offset, bytes of records, and of each aborted transaction producer and first offset.
fn seen(response: &FetchResponse) -> (i64, i64, usize, Vec<(i64, i64)>) {
    let partition = &response.responses[0].partitions[0];
    let aborted = partition.aborted_transactions.iter().flatten();
    let aborted = aborted.map(|aborted| (aborted.producer_id, aborted.first_offset)).collect();
    let bytes = partition.records.as_ref().map_or(0, Records::len);
    (partition.high_watermark, partition.last_stable_offset, bytes, aborted)
}

#[tokio::test]
async fn an_open_transaction_holds_back_who_reads_committed_records() {
    const MARKER: usize = 78;
    let broker = Broker::start().await;
    let topic = broker.create("t", 1, &[]).await;
    let plain = broker.produce(topic, 0, 1, b"plain"); // 0
    let first = broker.transact(topic, 7, 0); // 1, 2
    let second = broker.transact(topic, 8, 0); // 3, 4
    let now = |request| broker.now(17, request);
    assert_eq!(seen(&now(by_id(&[Want(topic, 0, 0)], (0, -1)))), (5, 1, plain + first + second, vec![]));
    assert_eq!(seen(&now(committed(0, topic, (0, -1)))), (5, 1, plain, vec![]));
    assert_eq!((broker.offset_of(0, -1), broker.offset_of(1, -1)), (5, 1));
    // The first record of that time or later is not decided yet; nor is the latest of all.
    assert_eq!((broker.offset_of(0, 2_000), broker.offset_of(1, 2_000)), (2, -1));
    assert_eq!((broker.offset_of(0, -3), broker.offset_of(1, -3)), (2, -1));
    assert_eq!((broker.offset_of(2, -1), broker.offset_of(-1, -1)), (-1000, -1000), "no such isolation level");

    // Who waits there is not woken for nothing by what comes into an open transaction, and is by its end.
    let mut waiting = broker.later(17, committed(1, topic, (0, -1)));
    let third = broker.transact(topic, 7, 2); // 5, 6
    waiting.must_wait();
    broker.end(topic, 8, true); // 7
    waiting.must_wait();
    broker.end(topic, 7, false); // 8
    let all = first + second + third + 2 * MARKER;
    assert_eq!(seen(&waiting.must_answer()), (9, 9, all, vec![(7, 1)]));
    assert_eq!((broker.offset_of(1, -1), broker.offset_of(1, 2_000), broker.offset_of(1, -3)), (9, 2, 2));
    // Only what concerns the records that are answered.
    assert_eq!(seen(&now(committed(0, topic, (0, -1)))).3, [(7, 1)]);
    assert_eq!(seen(&now(committed(8, topic, (0, -1)))), (9, 9, MARKER, vec![(7, 1)]));
    let mut request = committed(0, topic, (0, -1));
    request.topics[0].partitions[0].partition_max_bytes = 1;
    assert_eq!(seen(&now(request)), (9, 9, plain, vec![]));
    let uncommitted = now(by_id(&[Want(topic, 0, 0)], (0, -1)));
    assert_eq!(uncommitted.responses[0].partitions[0].aborted_transactions, None);
}

#[tokio::test]
async fn the_end_of_a_transaction_brings_all_of_it() {
    let broker = Broker::start().await;
    let topic = broker.create("t", 1, &[]).await;
    let size = broker.transact(topic, 7, 0);
    let opened = broker.now(17, FetchRequest { max_wait_ms: 0, ..committed(0, topic, (0, 0)) });
    assert_eq!(seen(&opened), (2, 0, 0, vec![]));
    // More bytes than the marker has: those of the whole transaction count.
    let ask =
        FetchRequest { min_bytes: 2 * size as i32, topics: Vec::new(), ..committed(0, topic, (opened.session_id, 1)) };
    let mut waiting = broker.later(17, ask);
    broker.transact(topic, 7, 2);
    waiting.must_wait();
    broker.transact(topic, 7, 4);
    waiting.must_wait();
    broker.end(topic, 7, true);
    assert_eq!(seen(&waiting.must_answer()), (7, 7, 3 * size + 78, vec![]));
}
