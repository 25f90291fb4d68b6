//! What a produced and a fetched batch cost in memory: a number of allocations that does not depend on the payload, and
//! no second home for the payload. Alone in its binary, since the allocator counts for all threads.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use felice::{
    broker::Broker,
    config::{self, Given},
    env::{Inspected, SystemEnv},
};
use felice_protocol::{
    api::{Message, Request, parse_response, write_request},
    messages::{
        create_topics::{CreatableTopic, CreateTopicsRequest},
        fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic},
        produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
    },
    record::{BatchBuilder, Codec},
};

/// Allocations of at least so many bytes hold a large payload.
const LARGE: usize = 500_000;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LARGE_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Set on the client's thread: only the broker is measured.
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count(size: usize) {
    if IS_CLIENT.try_with(Cell::get).unwrap_or(true) {
        return;
    }
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    ALLOCATED.fetch_add(size as u64, Ordering::Relaxed);
    if size >= LARGE {
        LARGE_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the broker allocated while something was done.
#[derive(Debug, Clone, Copy)]
struct Spent {
    allocations: u64,
    large: u64,
    bytes: u64,
}

fn spent(work: impl FnOnce()) -> Spent {
    let read = || {
        let load = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        (load(&ALLOCATIONS), load(&LARGE_ALLOCATIONS), load(&ALLOCATED))
    };
    let before = read();
    work();
    let after = read();
    Spent { allocations: after.0 - before.0, large: after.1 - before.1, bytes: after.2 - before.2 }
}

/// Sends a request and returns the response's bytes.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> Bytes {
    stream.write_all(request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut response = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut response).unwrap();
    response.into()
}

fn request<Q: Request>(version: i16, request: &Q) -> Bytes {
    write_request(1, version, Some("tests"), request).unwrap().to_bytes()
}

fn response<R: Message>(version: i16, bytes: &Bytes) -> R {
    parse_response(bytes, version).unwrap().1
}

fn produce(size: usize) -> Bytes {
    let records = BatchBuilder::new(Codec::None).record(1, None, Some(&vec![b'v'; size])).build();
    let data = PartitionProduceData { index: 0, records: Some(records), ..PartitionProduceData::default() };
    let topic = TopicProduceData { name: "t".to_owned(), partition_data: vec![data], ..TopicProduceData::default() };
    let topic_data = vec![topic];
    request(11, &ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data, ..ProduceRequest::default() })
}

fn fetch(offset: i64) -> Bytes {
    let partition = FetchPartition { fetch_offset: offset, partition_max_bytes: 1, ..FetchPartition::default() };
    let topic = FetchTopic { topic: "t".to_owned(), partitions: vec![partition], ..FetchTopic::default() };
    request(12, &FetchRequest { min_bytes: 1, topics: vec![topic], ..FetchRequest::default() })
}

#[test]
fn a_batch_costs_the_same_allocations_whatever_its_size_and_is_never_copied() {
    const BATCHES: u64 = 50;
    IS_CLIENT.set(true);
    let folder = tempfile::TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let given = Given { data_dir: Some(folder.path()), listen: &["127.0.0.1:0".to_owned()], ..Given::default() };
    let (config, _) = config::load(&given).unwrap();
    let inspected = Inspected::new(folder.path(), config.node_id).unwrap();
    let broker = runtime.block_on(Broker::start(config, inspected, Arc::new(SystemEnv))).unwrap();
    let mut stream = TcpStream::connect(broker.addresses()[0][0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let topic =
        CreatableTopic { name: "t".to_owned(), num_partitions: 1, replication_factor: 1, ..CreatableTopic::default() };
    exchange(
        &mut stream,
        &request(
            7,
            &CreateTopicsRequest {
                topics: vec![topic],
                timeout_ms: 60_000,
                validate_only: false,
                ..CreateTopicsRequest::default()
            },
        ),
    );

    let (small, large) = (produce(1_000), produce(1_000_000));
    let must_produce = |stream: &mut TcpStream, frame: &Bytes| {
        let answer: ProduceResponse = response(11, &exchange(stream, frame));
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        answer.responses[0].partition_responses[0].base_offset
    };
    // Whatever is made once is made here.
    for frame in [&small, &large] {
        for _ in 0..20 {
            must_produce(&mut stream, frame);
        }
    }
    let mut offsets = (0, 0);
    let of_small = spent(|| (0..BATCHES).for_each(|_| offsets.0 = must_produce(&mut stream, &small)));
    let of_large = spent(|| (0..BATCHES).for_each(|_| offsets.1 = must_produce(&mut stream, &large)));
    println!("produce: {of_small:?} and {of_large:?} for {BATCHES} batches");
    let per_batch = |spent: Spent| spent.allocations as f64 / BATCHES as f64;
    // Tables that grow now and then may make a difference of less than one in a batch.
    assert!((per_batch(of_small) - per_batch(of_large)).abs() < 1.0, "{of_small:?} {of_large:?}");
    assert!(per_batch(of_large) < 40.0, "{of_large:?}");
    assert_eq!(of_large.large, BATCHES, "the frame's own buffer and no other: {of_large:?}");
    assert!(of_large.bytes < BATCHES * (large.len() as u64 + 16_384), "{of_large:?}");

    let must_fetch = |stream: &mut TcpStream, offset: i64, size: usize| {
        let answer: FetchResponse = response(12, &exchange(stream, &fetch(offset)));
        let data = &answer.responses[0].partitions[0];
        assert_eq!(data.error_code, 0);
        let fetched = data.records.as_ref().and_then(|records| records.bytes()).map_or(0, Bytes::len);
        assert!((size..size + 200).contains(&fetched), "{fetched} bytes");
    };
    for (offset, size) in [(offsets.0, 1_000), (offsets.1, 1_000_000)] {
        for _ in 0..5 {
            must_fetch(&mut stream, offset, size);
        }
    }
    let of_small = spent(|| (0..BATCHES).for_each(|_| must_fetch(&mut stream, offsets.0, 1_000)));
    let of_large = spent(|| (0..BATCHES).for_each(|_| must_fetch(&mut stream, offsets.1, 1_000_000)));
    println!("fetch: {of_small:?} and {of_large:?} for {BATCHES} batches");
    assert!(per_batch(of_large) < per_batch(of_small) + 1.0, "{of_small:?} {of_large:?}");
    assert!(per_batch(of_small) < 60.0, "{of_small:?}");
    assert_eq!(of_large.large, 0, "it goes from the file to the socket: {of_large:?}");
    drop(stream);
    runtime.block_on(broker.shutdown());
}
