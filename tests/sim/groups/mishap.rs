//! What happens to groups: clients come, leave, die, stand still and change their minds; topics come, grow and go; the journal
//! stalls, and the coordinator loses what is not committed; operators delete and look.

use felice_protocol::{
    error::ErrorCode,
    messages::{
        offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
        offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
    },
};

use super::{client::Request, oracle::Violation, ring::Ring, world::NAMES};
use crate::coordinator::group::{Answer, Command, Query};

impl Ring {
    pub(super) fn mishap(&mut self) -> Result<(), Violation> {
        let seat = self.random.index(self.seats.len());
        match self.random.below(20) {
            _ if self.seats.iter().all(Option::is_none) => self.begin(seat),
            0..6 if self.seats[seat].is_none() => self.begin(seat),
            0 | 1 => {
                self.trace.note(format_args!("{} client {seat} dies", self.clock()));
                self.seats[seat] = None;
            }
            2 | 3 => self.close(seat),
            4 | 5 => {
                let until = self.after(1_000, 20_000);
                if let Some(client) = &mut self.seats[seat] {
                    client.stalled_until = Some(until);
                    self.trace.note(format_args!("{} client {seat} stands still until {until}", self.clock()));
                }
            }
            6 | 7 => self.change_wants(seat),
            8..11 if self.plan.topics_change => return self.change_topics(),
            11 | 12 if self.plan.losses_of_tail => return self.lose_tail(),
            13 if self.plan.commit_stalls => {
                self.commit_at = self.after(500, 8_000);
                self.trace.note(format_args!("{} nothing is committed until {}", self.clock(), self.commit_at));
            }
            14 if self.plan.losses_of_tail => self.fails_next = true,
            14 | 15 => self.operate(),
            _ => return self.look(),
        }
        Ok(())
    }

    fn close(&mut self, seat: usize) {
        let Some(mut client) = self.seats[seat].take() else { return };
        self.trace.note(format_args!("{} client {seat} closes", self.clock()));
        if let Some(request) = client.close() {
            self.ask(Some(seat), request);
        }
    }

    fn change_wants(&mut self, seat: usize) {
        let Some(client) = self.seats[seat].as_mut().filter(|client| client.instance.is_none()) else { return };
        let Some(group) = self.plan.groups.iter().find(|group| group.name == client.group) else { return };
        client.wants = group.wants(client, &mut self.random);
        self.trace.note(format_args!("{} client {seat} wants {:?}", self.now.0, client.wants));
    }

    fn change_topics(&mut self) -> Result<(), Violation> {
        let name = self.random.pick(&NAMES);
        let partitions = self.world.topic(name).map(|topic| topic.partition_count());
        let mut deleted = Vec::new();
        match partitions {
            None => {
                let count = self.random.between(1, 6) as i32;
                self.world.create(name, count);
            }
            Some(count) if count < 8 && !self.random.one_in(3) => self.world.grow(name, count + 1),
            Some(_) => {
                self.world.delete(name);
                deleted.push(name.into());
            }
        }
        let now = self.world.topic(name).map(|topic| (topic.id(), topic.partition_count()));
        self.trace.note(format_args!("{} topic {name} is {now:?}", self.clock()));
        let decided = self.coordinator.on_image(self.now, self.world.image(), deleted);
        self.append(decided)
    }

    /// Somebody with a command line.
    fn operate(&mut self) {
        let group = self.random.pick(&["g", "h", "simple", "nobody's"]).to_owned();
        let (name, partition) = (self.random.pick(&NAMES).to_owned(), self.random.below(3) as i32);
        let command = match self.random.below(4) {
            0 => Command::DeleteGroup(group),
            1 => {
                let partitions = vec![OffsetDeleteRequestPartition {
                    partition_index: partition,
                    ..OffsetDeleteRequestPartition::default()
                }];
                let topics = vec![OffsetDeleteRequestTopic { name, partitions, ..OffsetDeleteRequestTopic::default() }];
                Command::OffsetDelete(OffsetDeleteRequest { group_id: group, topics, ..OffsetDeleteRequest::default() })
            }
            _ => {
                let topic_id = self.world.topic(&name).map(|topic| topic.id().0).unwrap_or_default();
                let partition = OffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: self.next_offset(),
                    ..OffsetCommitRequestPartition::default()
                };
                let topic = OffsetCommitRequestTopic {
                    name,
                    topic_id,
                    partitions: vec![partition],
                    ..OffsetCommitRequestTopic::default()
                };
                Command::OffsetCommit(OffsetCommitRequest {
                    group_id: group,
                    topics: vec![topic],
                    ..OffsetCommitRequest::default()
                })
            }
        };
        self.ask(None, Request::once(command));
    }

    /// Somebody reads committed offsets.
    fn look(&mut self) -> Result<(), Violation> {
        let group_id = self.random.pick(&["g", "h", "simple"]).to_owned();
        let asks_all = self.random.one_in(2);
        let topic = |name: &str| OffsetFetchRequestTopics {
            name: name.to_owned(),
            partition_indexes: (0..3).collect(),
            ..OffsetFetchRequestTopics::default()
        };
        let topics = (!asks_all).then(|| NAMES.into_iter().map(topic).collect());
        let group =
            OffsetFetchRequestGroup { group_id: group_id.clone(), topics, ..OffsetFetchRequestGroup::default() };
        let require_stable = self.random.one_in(2);
        let query = Query::OffsetFetch { group, require_stable };
        let Answer::OffsetFetch(answer) = self.coordinator.query(self.now, self.world.image(), &query) else {
            return Err(Violation::new("answers", "an OffsetFetch was answered with something else"));
        };
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let of = (&*group_id, &*topic.name, partition.partition_index);
                match ErrorCode::from_code(partition.error_code) {
                    Some(ErrorCode::UnstableOffsetCommit) if require_stable && self.coordinator.in_flight() > 0 => {}
                    Some(ErrorCode::None) => self.kept.check_told(of, partition.committed_offset, &self.world)?,
                    _ => return Err(Violation::new("answers", format!("{partition:?} of {of:?}"))),
                }
            }
        }
        let told: usize = answer.topics.iter().map(|topic| topic.partitions.len()).sum();
        let all = 3 * NAMES.len();
        let expected = if asks_all { self.kept.count_of(&group_id, &self.world) } else { all..=all };
        if !expected.contains(&told) || answer.error_code != 0 {
            let what = format!("{told} of {expected:?} offsets were told: {answer:?}");
            return Err(Violation::new("offsets", what));
        }
        Ok(())
    }
}
