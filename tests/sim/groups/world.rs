//! The cluster that groups see: topics come, grow, go, and come again under the same name.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    controller::{
        CreatePartitions, DeleteTopics, NewPartitions, TopicRef,
        testing::{cluster, create_topic, new_topic, run},
    },
    metadata::{Image, Topic},
    model::{TopicId, Uuid},
    sim::random::Random,
};

pub const NAMES: [&str; 4] = ["a1", "a2", "b1", "b2"];

/// A partition that a member has.
pub type Held = (TopicId, i32);

/// What a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wants {
    Topics(BTreeSet<&'static str>),
    /// Topics whose name begins with the letter, as a regular expression that the coordinator evaluates.
    Regex(char),
}

impl Wants {
    pub fn any(random: &mut Random, regex: bool) -> Wants {
        if regex && random.one_in(4) {
            return Wants::Regex(random.pick(&['a', 'b']));
        }
        let mut names: BTreeSet<&'static str> = NAMES.into_iter().filter(|_| random.one_in(2)).collect();
        if names.is_empty() {
            names.insert(random.pick(&NAMES));
        }
        Wants::Topics(names)
    }

    pub fn includes(&self, topic: &str) -> bool {
        match self {
            Wants::Topics(names) => names.contains(topic),
            Wants::Regex(letter) => topic.starts_with(*letter),
        }
    }
}

pub struct World {
    image: Image,
    created: u8,
}

impl World {
    pub fn new(random: &mut Random) -> World {
        let mut world = World { image: cluster(1), created: 0 };
        for name in NAMES {
            if !random.one_in(4) {
                world.create(name, random.between(1, 6) as i32);
            }
        }
        world
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.image.topic(name)
    }

    pub fn name_of(&self, id: TopicId) -> Option<&Arc<str>> {
        self.image.topic_by_id(id).map(Topic::name)
    }

    /// All partitions of the topics that somebody wants.
    pub fn partitions<'a>(&'a self, wants: &'a Wants) -> impl Iterator<Item = Held> + 'a {
        let topics = self.image.topics().filter(|topic| wants.includes(topic.name()));
        topics.flat_map(|topic| (0..topic.partition_count()).map(|partition| (topic.id(), partition)))
    }

    pub fn create(&mut self, name: &str, partitions: i32) {
        self.created += 1;
        let mut topic = new_topic(name, partitions, 1);
        topic.candidate_id = TopicId(Uuid([self.created; 16]));
        create_topic(&mut self.image, topic);
    }

    pub fn delete(&mut self, name: &str) {
        let topics = vec![TopicRef { name: Some(name.to_owned()), id: TopicId(Uuid::ZERO) }];
        run(&mut self.image, DeleteTopics { topics });
        assert!(self.image.topic(name).is_none(), "it could be deleted");
    }

    pub fn grow(&mut self, name: &str, count: i32) {
        let topics = vec![NewPartitions { topic: name.to_owned(), count, assignments: None }];
        run(&mut self.image, CreatePartitions { topics, validate_only: false, seed: 1 });
        assert_eq!(self.image.topic(name).map(Topic::partition_count), Some(count));
    }
}
