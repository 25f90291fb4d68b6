//! What a run is like: which clients there are, and what may happen to them.

use super::{
    client::{
        Client, Protocol,
        classic::{Classic, Kind},
        consumer::Consumer,
    },
    world::Wants,
};
use crate::{
    coordinator::group::{ConsumerGroupConfig, GroupSettings, MigrationPolicy},
    model::Timestamp,
    sim::random::Random,
};

pub const SESSION_TIMEOUT_MAX_MS: i64 = 10_000;
pub const REBALANCE_TIMEOUT_MAX_MS: i64 = 15_000;

#[derive(Debug, Clone)]
pub struct Plan {
    /// How long things happen.
    pub chaos_ms: i64,
    /// Between two of them, about.
    pub mishap_every_ms: u64,
    pub seats: usize,
    pub groups: Vec<GroupPlan>,
    /// One in so many requests or answers is lost; 0 for none.
    pub losses: u64,
    pub delay_max_ms: u64,
    /// What a broken connection had in it may still arrive after what was sent on the next one.
    pub stale_copies: bool,
    /// How long the journal takes, and now and then.
    pub commit_ms: u64,
    pub commit_stalls: bool,
    /// The coordinator loses what is not committed.
    pub losses_of_tail: bool,
    pub topics_change: bool,
    pub offsets_expire: bool,
}

#[derive(Debug, Clone)]
pub struct GroupPlan {
    pub name: &'static str,
    pub classic: Vec<Kind>,
    pub consumer: bool,
    pub regex: bool,
    /// One in so many members has a static name; 0 for none.
    pub statics: u64,
}

impl Plan {
    pub fn any(random: &mut Random) -> Plan {
        let groups = ["g", "h"];
        let count = random.pick(&[1, 1, 2]);
        Plan {
            chaos_ms: random.between(20_000, 90_000) as i64,
            mishap_every_ms: random.pick(&[500, 1_500, 5_000]),
            seats: random.between(2, 6) as usize,
            groups: groups.iter().take(count).map(|name| GroupPlan::any(name, random)).collect(),
            losses: random.pick(&[0, 0, 10, 40]),
            delay_max_ms: random.pick(&[1, 20, 300]),
            stale_copies: random.one_in(5),
            commit_ms: random.pick(&[0, 5, 50, 500, 2_000]),
            commit_stalls: random.one_in(3),
            losses_of_tail: !random.one_in(3),
            topics_change: !random.one_in(3),
            offsets_expire: random.one_in(4),
        }
    }

    pub fn settings(&self, random: &mut Random) -> GroupSettings {
        GroupSettings {
            classic_min_session_timeout_ms: 6_000,
            initial_rebalance_delay_ms: random.pick(&[0, 500, 3_000]),
            migration: MigrationPolicy::Bidirectional,
            consumer: ConsumerGroupConfig {
                session_timeout_ms: 8_000,
                heartbeat_interval_ms: 1_500,
                assignment_interval_ms: random.pick(&[0, 0, 1_000]),
            },
            regex_refresh_interval_ms: 5_000,
            offsets_retention_minutes: if self.offsets_expire { 1 } else { 10_000 },
            offsets_retention_check_interval_ms: 7_000,
            ..GroupSettings::default()
        }
    }
}

impl GroupPlan {
    fn any(name: &'static str, random: &mut Random) -> GroupPlan {
        let classic = random.pick(&[
            &[Kind::Eager][..],
            &[Kind::Cooperative],
            &[Kind::Eager, Kind::Bridge],
            &[Kind::Bridge, Kind::Cooperative],
        ]);
        let (classic, consumer) = match random.below(3) {
            0 => (classic, false),
            1 => (&[][..], true),
            _ => (classic, true),
        };
        GroupPlan {
            name,
            classic: classic.to_vec(),
            consumer,
            regex: random.one_in(2),
            statics: random.pick(&[0, 0, 2, 4]),
        }
    }

    /// A process for this seat.
    pub fn client(&self, seat: usize, now: Timestamp, random: &mut Random) -> Client {
        let instance = (self.statics > 0 && random.one_in(self.statics)).then(|| format!("static-{seat}"));
        let is_consumer = self.consumer && (self.classic.is_empty() || random.one_in(2));
        if is_consumer {
            let consumer = Consumer::new(now, random);
            let wants = Wants::any(random, self.regex && consumer.speaks_regex());
            Client::new(self.name, instance, wants, Protocol::Consumer(consumer), now, random)
        } else {
            let kind = random.pick(&self.classic);
            let classic = Classic::new(kind, instance.is_some(), now, random);
            let wants = Wants::any(random, false);
            Client::new(self.name, instance, wants, Protocol::Classic(classic), now, random)
        }
    }

    /// What a client of this group may want next.
    pub fn wants(&self, client: &Client, random: &mut Random) -> Wants {
        let regex = match &client.protocol {
            Protocol::Classic(_) => false,
            Protocol::Consumer(consumer) => self.regex && consumer.speaks_regex(),
        };
        Wants::any(random, regex)
    }
}
