//! Topics that go.

use std::collections::BTreeMap;

use super::{Decision, DeleteTopics, DeletedTopic, Reason, Refusal, Reply, draft::Draft, topics::repeated};
use crate::{
    metadata::{Image, RemoveTopicRecord},
    model::{TopicId, Uuid},
};

/// DeleteTopics, by name or by id. Each topic stands for itself.
pub(super) fn delete(image: &Image, command: &DeleteTopics) -> Decision {
    let unknown_id = TopicId(Uuid::ZERO);
    let mut results = Vec::new();
    let mut refuse = |name: Option<&str>, id, reason, message: &str| {
        results.push(DeletedTopic { name: name.map(str::to_owned), id, result: Err(Refusal::new(reason, message)) });
    };
    let (mut names, mut ids) = (Vec::new(), Vec::new());
    for topic in &command.topics {
        match (&topic.name, topic.id) {
            (None, id) if id == unknown_id => {
                refuse(None, id, Reason::InvalidRequest, "Neither topic name nor id were specified.");
            }
            (None, id) => ids.push(id),
            (Some(name), id) if id == unknown_id => names.push(&**name),
            (Some(name), id) => {
                let message = "You may not specify both topic name and topic id.";
                refuse(Some(name), id, Reason::InvalidRequest, message);
            }
        }
    }
    let (repeated_names, repeated_ids) = (repeated(names.iter().copied()), repeated(ids.iter().copied()));
    for &name in &repeated_names {
        refuse(Some(name), unknown_id, Reason::InvalidRequest, "Duplicate topic name.");
    }
    for &id in &repeated_ids {
        refuse(None, id, Reason::InvalidRequest, "Duplicate topic id.");
    }

    let mut found = BTreeMap::new();
    for id in ids.into_iter().filter(|id| !repeated_ids.contains(id)) {
        match image.topic_by_id(id) {
            Some(topic) => {
                found.insert(id, topic.name().to_string());
            }
            None => refuse(None, id, Reason::UnknownTopicId, "This server does not host this topic ID."),
        }
    }
    for name in names.into_iter().filter(|name| !repeated_names.contains(name)) {
        let Some(topic) = image.topic(name) else {
            let message = "This server does not host this topic-partition.";
            refuse(Some(name), unknown_id, Reason::UnknownTopicOrPartition, message);
            continue;
        };
        let id = topic.id();
        // One topic by its name and by its id: whatever was meant, it is not clear enough to delete anything.
        if repeated_ids.contains(&id) || found.insert(id, name.to_owned()).is_some() {
            found.remove(&id);
            let message = "The provided topic name maps to an ID that was already supplied.";
            refuse(Some(name), id, Reason::InvalidRequest, message);
        }
    }

    let mut draft = Draft::new(image);
    for (id, name) in found {
        let result = draft.add(vec![RemoveTopicRecord { topic_id: id.0, ..RemoveTopicRecord::default() }.into()]);
        results.push(DeletedTopic { name: Some(name), id, result });
    }
    Decision { records: draft.finish(false), reply: Reply::DeleteTopics(results) }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{TopicRef, testing::*},
        *,
    };

    #[test]
    fn deletions_by_name_and_id() {
        let mut image = cluster(1);
        for name in ["a", "b", "c", "d"] {
            create_topic(&mut image, new_topic(name, 2, 1));
        }
        let id = |name: &str| image.topic(name).unwrap().id();
        let none = TopicId(Uuid::ZERO);
        let stranger = TopicId(Uuid([0xee; 16]));
        let (by_name, by_id) =
            (|name: &str| TopicRef { name: Some(name.to_owned()), id: none }, |id| TopicRef { name: None, id });
        let command = DeleteTopics {
            topics: vec![
                by_name("a"),
                by_id(id("b")),
                by_name("c"),
                by_id(id("c")),
                by_name("d"),
                by_name("d"),
                by_name("nope"),
                by_id(stranger),
                by_id(none),
                TopicRef { name: Some("a".to_owned()), id: stranger },
            ],
        };
        let expected = [
            (None, none, Some((Reason::InvalidRequest, "Neither topic name nor id were specified."))),
            (Some("a"), stranger, Some((Reason::InvalidRequest, "You may not specify both topic name and topic id."))),
            (Some("d"), none, Some((Reason::InvalidRequest, "Duplicate topic name."))),
            (None, stranger, Some((Reason::UnknownTopicId, "This server does not host this topic ID."))),
            (
                Some("c"),
                id("c"),
                Some((Reason::InvalidRequest, "The provided topic name maps to an ID that was already supplied.")),
            ),
            (
                Some("nope"),
                none,
                Some((Reason::UnknownTopicOrPartition, "This server does not host this topic-partition.")),
            ),
            (Some("a"), id("a"), None),
            (Some("b"), id("b"), None),
        ];
        let mut expected: Vec<_> = expected
            .into_iter()
            .map(|(name, id, refused)| DeletedTopic {
                name: name.map(str::to_owned),
                id,
                result: refused.map_or(Ok(()), |(reason, message)| Err(Refusal::new(reason, message))),
            })
            .collect();
        let Reply::DeleteTopics(mut results) = run(&mut image, command) else { panic!() };
        for results in [&mut results, &mut expected] {
            results.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        }
        assert_eq!(results, expected);
        assert_eq!(image.topics().map(|topic| &**topic.name()).collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!(image.partition_count(), 4);
    }
}
