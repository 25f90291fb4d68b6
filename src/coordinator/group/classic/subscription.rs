//! What the members of a group want, where they are consumers: the one thing that the coordinator reads in their metadata, so
//! that offsets of topics that nobody reads any more can expire or be deleted (KIP-211, KIP-496).

use std::collections::BTreeSet;

use bytes::Bytes;

/// The topics of all subscriptions together; `None` where one is missing or is none.
pub(super) fn subscribed_topics<'a>(
    subscriptions: impl Iterator<Item = Option<&'a Bytes>>,
) -> Option<BTreeSet<Box<str>>> {
    let mut topics = BTreeSet::new();
    let mut last = None;
    for subscription in subscriptions {
        let list = TopicList::parse(subscription?)?;
        // Nearly always all members want the same.
        if last.replace(list) != Some(list) {
            for topic in list {
                if !topics.contains(topic) {
                    topics.insert(topic.into());
                }
            }
        }
    }
    Some(topics)
}

/// The topics of one subscription, as they are on the wire: a length in two bytes before each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TopicList<'a>(&'a [u8]);

impl<'a> TopicList<'a> {
    /// Reads a subscription in version 0, with which all later ones begin: its version, topics, user data. Every length fits,
    /// and every name is UTF-8.
    fn parse(subscription: &'a [u8]) -> Option<TopicList<'a>> {
        let (_version, rest) = subscription.split_at_checked(2)?;
        let (count, list) = rest.split_first_chunk()?;
        let count = u32::try_from(i32::from_be_bytes(*count)).ok()?;
        let mut rest = list;
        for _ in 0..count {
            let (topic, after) = split_topic(rest)?;
            str::from_utf8(topic).ok()?;
            rest = after;
        }
        let topics = &list[..list.len() - rest.len()];
        let (user_data, after) = rest.split_first_chunk()?;
        // -1 is null.
        let user_data = usize::try_from(i32::from_be_bytes(*user_data).max(0)).ok()?;
        (user_data <= after.len()).then_some(TopicList(topics))
    }
}

impl<'a> Iterator for TopicList<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (topic, rest) = split_topic(self.0)?;
        self.0 = rest;
        str::from_utf8(topic).ok()
    }
}

fn split_topic(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = list.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(i16::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use felice_protocol::{messages::consumer_protocol::*, schema::Stored};

    use super::*;

    fn subscription(topics: &[&str], version: i16) -> Bytes {
        let subscription = ConsumerProtocolSubscription {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            user_data: Some(Bytes::from_static(b"sticky")),
            ..ConsumerProtocolSubscription::default()
        };
        subscription.encode_with_version(version).expect("a subscription")
    }

    fn read(subscriptions: &[Bytes]) -> Option<Vec<String>> {
        let topics = subscribed_topics(subscriptions.iter().map(Some))?;
        Some(topics.iter().map(|topic| topic.to_string()).collect())
    }

    #[test]
    fn topics_of_all_members_in_every_version() {
        let members = [
            subscription(&["b", "a"], 0),
            subscription(&["b", "a"], 3),
            subscription(&[], 1),
            subscription(&["c", "b"], 2),
        ];
        assert_eq!(read(&members), Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert_eq!(read(&[]), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_subscription_makes_all_unknown() {
        let good = subscription(&["a"], 1);
        assert_eq!(subscribed_topics([Some(&good), None].into_iter()), None);
        let of_version_0 = subscription(&["a"], 0);
        for length in 0..of_version_0.len() {
            assert_eq!(read(&[good.clone(), of_version_0.slice(..length)]), None, "{length} bytes");
        }
        for bad in [
            &b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            b"\0\0\x7f\xff\xff\xff\0\x01a\xff\xff\xff\xff",
            b"\0\0\0\0\0\x01\xff\xff",
            b"\0\0\0\0\0\x01\0\x01\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(read(&[Bytes::copy_from_slice(bad)]), None, "{bad:?}");
        }
    }
}
