//! Newtypes that every layer shares. Scalars on the wire become these as soon as they are validated.

use std::{fmt, sync::Arc, time::Duration};

pub use felice_protocol::Uuid;

macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

scalar!(
    /// A position in a partition's log; the first record's is 0.
    Offset(i64)
);
scalar!(
    /// Counts the leaders of a partition; raised at every election. -1 on the wire means "not known".
    LeaderEpoch(i32)
);
scalar!(
    /// A broker's `node.id`.
    NodeId(i32)
);
scalar!(
    /// An idempotent producer's id, from `InitProducerId`.
    ProducerId(i64)
);
scalar!(
    /// Fences older instances of one producer id.
    ProducerEpoch(i16)
);
scalar!(
    /// A partition's index within its topic.
    PartitionIndex(i32)
);
scalar!(
    /// Milliseconds since the Unix epoch; Kafka's timestamp. -1 means none.
    Timestamp(i64)
);

impl Offset {
    pub const ZERO: Offset = Offset(0);

    /// The offset `count` records further.
    #[must_use]
    pub fn plus(self, count: i64) -> Offset {
        Offset(self.0 + count)
    }
}

impl LeaderEpoch {
    /// "Not known" on the wire.
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl Timestamp {
    pub const NONE: Timestamp = Timestamp(-1);

    #[must_use]
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A topic's identity; a topic deleted and created again under its old name has another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct TopicId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A partition by its topic's name, as people and log lines name it: `orders-3`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition by its topic's id, which is what everything inside is keyed by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicIdPartition {
    pub topic_id: TopicId,
    pub partition: PartitionIndex,
}

/// Who is asking: `User:ANONYMOUS` until there is authentication.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Principal(pub Arc<str>);

impl Principal {
    /// This process itself.
    pub fn broker() -> Principal {
        Principal(Arc::from("User:BROKER"))
    }

    pub fn anonymous() -> Principal {
        Principal(Arc::from("User:ANONYMOUS"))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
