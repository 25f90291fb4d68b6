//! That nobody waits for ever, and nobody is told too soon: producers that wait for the disk or the high watermark, fetches that
//! wait for data, flushes and changes of leadership, in every order of their steps that Shuttle comes across. A wake-up
//! that is lost ends a run as a deadlock. `cargo test --lib --features interleave interleavings`

use std::sync::Arc;

use bytes::Bytes;
use felice_protocol::record::{BatchBuilder, Codec, TimestampType};
use rustix::io::Errno;
use shuttle::{
    future::block_on,
    sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    thread,
};

use super::{
    Acks, Isolation, Leadership, NotSafe, Partition, Scalars, TopicSettings,
    flusher::FlushQueue,
    health_folder::FolderHealth,
    partition::Folder,
    slot::{LogHome, LogSlot},
    watch::{Watch, Watchers},
};
use crate::{
    env::{
        SystemEnv,
        disk::sim::{Answer, Call, SimDisk},
        sync::in_many_orders,
    },
    log::{Log, LogConfig, Start},
    model::{LeaderEpoch, NodeId, Offset, PartitionIndex, Timestamp, TopicId, TopicIdPartition, TopicPartition, Uuid},
    store::MapStore,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const NODE: NodeId = NodeId(1);
const RUNS: usize = 400;

fn leadership(leader: Option<NodeId>, epoch: i32) -> Leadership {
    Leadership { leader, leader_epoch: LeaderEpoch(epoch), replication_factor: 1, isr: vec![NODE] }
}

/// A partition that this broker leads, whose every acknowledgement waits for the disk.
fn partition() -> (Arc<Partition>, FlushQueue) {
    let (partition, queue, _disk) = partition_and_disk();
    (partition, queue)
}

fn partition_and_disk() -> (Arc<Partition>, FlushQueue, Arc<SimDisk>) {
    let topic_id = TopicId(Uuid([7; 16]));
    let id = TopicIdPartition { topic_id, partition: PartitionIndex(0) };
    let name = TopicPartition { topic: "t".into(), partition: id.partition };
    let log = LogConfig { flush_messages: 1, ..LogConfig::default() };
    let settings = TopicSettings {
        log: log.clone(),
        max_message_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        min_insync_replicas: 1,
        compression: None,
        max_decompressed_bytes: 1 << 20,
    };
    let start = Start { clean: false, recovery_point: Offset::ZERO, log_start: Offset::ZERO };
    let disk = SimDisk::new(1);
    let env = Arc::new(SystemEnv);
    let home = Arc::new(LogHome { data_dir: "/data".into(), disk: disk.clone(), env: env.clone() });
    let health = FolderHealth::new("/data".into(), Some(0), disk.clone(), Arc::new(MapStore::new()), env);
    let (log, _) = home.open(&name, topic_id, log, start).expect("a log");
    let slot = LogSlot::open(home, log);
    let queue = FlushQueue::default();
    let folder = Folder { flusher: queue.clone(), health: Arc::new(health) };
    let leadership = leadership(Some(NODE), 0);
    (Partition::new(id, NODE, slot, Arc::new(settings), leadership, Scalars::default(), folder), queue, disk)
}

fn record() -> Bytes {
    BatchBuilder::new(Codec::None).record(NOW.0, None, Some(b"v")).build()
}

/// The log, once whoever is opening it has done so.
fn opened(partition: &Partition) -> Arc<Log> {
    loop {
        match partition.log() {
            Ok(log) => return log,
            Err(_) => thread::yield_now(),
        }
    }
}

/// Flushes what is asked for until `remaining` producers are done.
fn flush_until(queue: FlushQueue, remaining: Arc<AtomicUsize>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while remaining.load(Ordering::SeqCst) > 0 {
            match queue.take_due().and_then(|partition| partition.upgrade()) {
                Some(partition) => partition.flush().expect("flushed"),
                None => thread::yield_now(),
            }
        }
    })
}

#[test]
fn who_waits_for_the_disk_is_answered_and_not_before_it_is_there() {
    in_many_orders(RUNS, || {
        let (partition, queue) = partition();
        let remaining = Arc::new(AtomicUsize::new(3));
        let flusher = flush_until(queue, Arc::clone(&remaining));
        let producers: Vec<_> = [Acks::All, Acks::Leader, Acks::All]
            .into_iter()
            .map(|acks| {
                let (partition, remaining) = (Arc::clone(&partition), Arc::clone(&remaining));
                thread::spawn(move || {
                    let appended = partition.append(&record(), acks, 9, NOW).expect("appended");
                    if let Some(pending) = appended.wait_for {
                        block_on(partition.reached(pending)).expect("safe");
                    }
                    let end = appended.base_offset.plus(1);
                    assert!(partition.log().expect("it is open").flushed() >= end, "answered before it is on the disk");
                    if acks == Acks::All {
                        assert!(partition.high_watermark() >= end);
                    }
                    remaining.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        flusher.join().unwrap();
        assert_eq!(partition.high_watermark(), Offset(3));
    });
}

#[test]
fn a_fetch_that_waits_gets_what_it_asked_for_and_nothing_that_is_not_on_the_disk() {
    in_many_orders(RUNS, || {
        let (partition, queue) = partition();
        let remaining = Arc::new(AtomicUsize::new(2));
        let flusher = flush_until(queue, Arc::clone(&remaining));
        let fetch = {
            let partition = Arc::clone(&partition);
            thread::spawn(move || {
                let watch = Watch::new();
                partition.watch(&watch, 0);
                let mut marks = Vec::new();
                let mut known = Offset::ZERO;
                while known < Offset(2) {
                    watch.take_marks(&mut marks);
                    let high_watermark = partition.high_watermark();
                    assert!(high_watermark >= known, "the high watermark went back");
                    assert!(
                        high_watermark <= partition.log().expect("it is open").flushed(),
                        "shown before it is on the disk"
                    );
                    let read = partition
                        .read(known, 1 << 20, high_watermark, true, 1 << 20, Isolation::ReadUncommitted)
                        .expect("within the log");
                    if read.next_offset == known {
                        block_on(watch.wait(0, 1));
                    }
                    known = read.next_offset;
                }
            })
        };
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let (partition, remaining) = (Arc::clone(&partition), Arc::clone(&remaining));
                thread::spawn(move || {
                    let appended = partition.append(&record(), Acks::All, 9, NOW).expect("appended");
                    if let Some(pending) = appended.wait_for {
                        block_on(partition.reached(pending)).expect("safe");
                    }
                    remaining.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        fetch.join().unwrap();
        flusher.join().unwrap();
    });
}

#[test]
fn who_waits_is_told_when_the_partition_is_led_by_another_or_deleted() {
    in_many_orders(RUNS, || {
        let (partition, _nobody_flushes) = partition();
        let producers: Vec<_> = [Acks::All, Acks::Leader]
            .into_iter()
            .map(|acks| {
                let partition = Arc::clone(&partition);
                thread::spawn(move || {
                    let Ok(appended) = partition.append(&record(), acks, 9, NOW) else { return };
                    let Some(pending) = appended.wait_for else { return };
                    let told = block_on(partition.reached(pending));
                    assert_eq!(told, Err(NotSafe::NotLeader));
                })
            })
            .collect();
        let fetch = {
            let partition = Arc::clone(&partition);
            thread::spawn(move || {
                let watch = Watch::new();
                partition.watch(&watch, 0);
                let mut marks = Vec::new();
                watch.take_marks(&mut marks);
                if partition.is_leader() && !partition.is_closed() {
                    block_on(watch.wait(0, 1));
                }
            })
        };
        partition.apply_leadership(leadership(None, 1));
        partition.close();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        fetch.join().unwrap();
    });
}

#[test]
fn settings_that_no_longer_wait_for_the_disk_free_who_does() {
    in_many_orders(RUNS, || {
        let (partition, _nobody_flushes) = partition();
        let producer = {
            let partition = Arc::clone(&partition);
            thread::spawn(move || {
                let appended = partition.append(&record(), Acks::All, 9, NOW).expect("appended");
                if let Some(pending) = appended.wait_for {
                    block_on(partition.reached(pending)).expect("safe enough");
                }
            })
        };
        let mut settings = TopicSettings::clone(&partition.settings.load());
        settings.log.flush_messages = u64::MAX;
        partition.apply_settings(Arc::new(settings));
        producer.join().unwrap();
        assert_eq!(partition.high_watermark(), Offset(1));
    });
}

#[test]
fn a_watch_over_two_partitions_misses_no_byte() {
    in_many_orders(RUNS, || {
        let published: Arc<[(AtomicI64, Watchers); 2]> = Arc::default();
        let watch = Watch::new();
        for (slot, (_, watchers)) in (0..).zip(published.iter()) {
            watchers.add(&watch, slot);
        }
        let writers: Vec<_> = (0..2)
            .map(|at: usize| {
                let published = Arc::clone(&published);
                thread::spawn(move || {
                    for _ in 0..3 {
                        published[at].0.fetch_add(1, Ordering::SeqCst);
                        published[at].1.mark(1);
                    }
                })
            })
            .collect();
        let mut seen = [0, 0];
        let mut marks = Vec::new();
        while seen.iter().sum::<i64>() < 6 {
            block_on(watch.wait(0, 1));
            marks.clear();
            watch.take_marks(&mut marks);
            for &slot in &marks {
                seen[slot as usize] = published[slot as usize].0.load(Ordering::SeqCst);
            }
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(seen, [3, 3]);
    });
}

#[test]
fn of_two_fetches_of_one_session_the_earlier_one_goes_when_the_later_one_comes() {
    in_many_orders(RUNS, || {
        let watch = Watch::new();
        watch.hand_over(1);
        let earlier = {
            let watch = Arc::clone(&watch);
            thread::spawn(move || block_on(watch.wait(1, 10)))
        };
        let later = {
            let watch = Arc::clone(&watch);
            thread::spawn(move || {
                watch.hand_over(2);
                block_on(watch.wait(2, 10));
            })
        };
        earlier.join().unwrap();
        watch.mark(0, 10);
        later.join().unwrap();
    });
}

#[test]
fn a_batch_that_a_failing_disk_took_is_not_answered_as_safe_unless_it_is_there_in_the_end() {
    in_many_orders(RUNS, || {
        let (partition, queue, disk) = partition_and_disk();
        let is_answered = Arc::new(AtomicBool::new(false));
        let producer = {
            let (partition, is_answered) = (Arc::clone(&partition), Arc::clone(&is_answered));
            thread::spawn(move || {
                if let Ok(appended) = partition.append(&record(), Acks::All, 9, NOW) {
                    let told = appended.wait_for.map_or(Ok(()), |pending| block_on(partition.reached(pending)));
                    let flushed = opened(&partition).flushed();
                    assert!(told == Err(NotSafe::Storage) || flushed > appended.base_offset, "{told:?}, {flushed}");
                }
                is_answered.store(true, Ordering::SeqCst);
            })
        };
        let flusher = {
            let is_answered = Arc::clone(&is_answered);
            thread::spawn(move || {
                while !is_answered.load(Ordering::SeqCst) {
                    match queue.take_due().and_then(|partition| partition.upgrade()) {
                        // That the disk fails is what this is about.
                        Some(partition) => drop(partition.flush()),
                        None => thread::yield_now(),
                    }
                }
            })
        };
        disk.set_plan(|call| match call {
            Call::Sync { .. } => Answer::Fail(Errno::IO),
            _ => Answer::Proceed,
        });
        let failed = partition.flush().is_err();
        disk.clear_plan();
        // As the folder's health has it done, until the disk is good.
        while partition.verify().is_err() {
            thread::yield_now();
        }
        assert!(!failed || !opened(&partition).is_out_of_use());
        producer.join().unwrap();
        flusher.join().unwrap();
    });
}
