//! PURE: what one client fetches, what it was last told, and where it is worth looking (KIP-227).
//!
//! A fetch without a session is a session that lives for one request, so there is one way of fetching.

use std::{collections::HashMap, sync::Arc};

use crate::model::{Offset, TopicId};

/// A topic as the client names it: by id from version 13 on, by name before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKey {
    Id(TopicId),
    Name(Arc<str>),
}

/// A partition as the client names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub topic: TopicKey,
    pub partition: i32,
}

/// What the client wants of a partition, until it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub fetch_offset: Offset,
    /// -1: the client does not know.
    pub current_leader_epoch: i32,
    /// -1: the client does not know.
    pub last_fetched_epoch: i32,
    /// The most bytes of records that one answer may bring.
    pub max_bytes: usize,
}

/// What a look at a partition found.
#[derive(Debug)]
pub struct Seen<D> {
    /// -1 in an error, as the client is told.
    pub high_watermark: i64,
    /// -1 in an error, as the client is told.
    pub log_start: i64,
    /// Of records that can be answered.
    pub bytes: usize,
    /// It must be told though nothing has changed: an error or a divergence.
    pub must_tell: bool,
    /// Nothing can be read, and whatever happens there from now on is [marked](Session::mark).
    pub is_quiet: bool,
    pub data: D,
}

/// A partition that belongs into the answer.
#[derive(Debug)]
pub struct Due<D> {
    pub slot: u32,
    pub seen: Seen<D>,
}

/// A partition of a session. `P` is what the reader remembers of it.
#[derive(Debug)]
pub struct Slot<P> {
    pub key: Key,
    pub asked: Asked,
    pub place: P,
    /// High watermark and log start offset of the last answer; -1 before the first and after an error, so that the partition
    /// is told once the error is gone.
    told: (i64, i64),
    /// Its place in the order of looking.
    turn: u64,
    is_pending: bool,
}

/// The partitions of one client.
///
/// Invariants: `pending` names occupied slots, each once, exactly those with `is_pending`; `index`, once built, names every
/// occupied slot by its key; `len` counts the occupied slots.
#[derive(Debug)]
pub struct Session<P> {
    slots: Vec<Option<Slot<P>>>,
    free: Vec<u32>,
    len: usize,
    /// Slots that must be looked at. Of all others it is known that there is nothing to tell.
    pending: Vec<u32>,
    next_turn: u64,
    /// Built by the first update: a session that lives for one request needs none.
    index: Option<HashMap<Key, u32>>,
}

impl<P: Default> Session<P> {
    /// Where a partition is named twice, what was said last counts, as in Kafka.
    pub fn new(partitions: impl IntoIterator<Item = (Key, Asked)>) -> Session<P> {
        let mut session =
            Session { slots: Vec::new(), free: Vec::new(), len: 0, pending: Vec::new(), next_turn: 0, index: None };
        let mut partitions = partitions.into_iter();
        // While the keys ascend, as clients send them, no two can be equal.
        let mut last: Option<Key> = None;
        for (key, asked) in partitions.by_ref() {
            let ascends = last.as_ref().is_none_or(|last| *last < key);
            last = Some(key.clone());
            if !ascends {
                session.put(key, asked);
                break;
            }
            session.add(key, asked);
        }
        for (key, asked) in partitions {
            session.put(key, asked);
        }
        session
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn slot(&self, slot: u32) -> Option<&Slot<P>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// Takes over what an incremental request says: first what is asked for, then what is forgotten. `gone` gets what
    /// was remembered of the latter.
    pub fn update(
        &mut self,
        asked: impl IntoIterator<Item = (Key, Asked)>,
        forgotten: impl IntoIterator<Item = Key>,
        mut gone: impl FnMut(u32, P),
    ) {
        for (key, asked) in asked {
            self.put(key, asked);
        }
        let mut has_gone = false;
        for key in forgotten {
            let Some(at) = self.index().remove(&key) else { continue };
            if let Some(slot) = self.slots.get_mut(at as usize).and_then(Option::take) {
                has_gone = true;
                self.len -= 1;
                self.free.push(at);
                gone(at, slot.place);
            }
        }
        if has_gone {
            self.clear_pending();
        }
        self.check();
    }

    /// Something happened in these slots. Slots that are no longer in use are passed over.
    pub fn mark(&mut self, slots: &[u32]) {
        for &at in slots {
            if let Some(Some(slot)) = self.slots.get_mut(at as usize)
                && !slot.is_pending
            {
                slot.is_pending = true;
                self.pending.push(at);
            }
        }
    }

    /// Looks at everything that may have something to tell, those first whose last data is the longest ago, and returns
    /// what belongs into the answer: with `everything` each partition, else what has data, an error, or another
    /// high watermark or log start offset than was last told.
    pub fn look<D>(&mut self, everything: bool, mut read: impl FnMut(u32, &mut Slot<P>) -> Seen<D>) -> Vec<Due<D>> {
        let slots = &mut self.slots;
        self.pending.sort_by_key(|at| slots.get(*at as usize).and_then(Option::as_ref).map_or(0, |slot| slot.turn));
        let mut due = Vec::new();
        self.pending.retain(|&at| {
            let Some(Some(slot)) = slots.get_mut(at as usize) else { return false };
            let seen = read(at, slot);
            let is_due =
                everything || seen.bytes > 0 || seen.must_tell || slot.told != (seen.high_watermark, seen.log_start);
            slot.is_pending = is_due || !seen.is_quiet;
            let stays = slot.is_pending;
            if is_due {
                due.push(Due { slot: at, seen });
            }
            stays
        });
        self.check();
        due
    }

    /// The answer with all of `due` leaves now. Partitions with data go to the end of the order.
    pub fn tell<D>(&mut self, due: &[Due<D>]) {
        let mut has_quiet = false;
        for Due { slot: at, seen } in due {
            let Some(Some(slot)) = self.slots.get_mut(*at as usize) else { continue };
            slot.told = (seen.high_watermark, seen.log_start);
            if seen.bytes > 0 {
                slot.turn = self.next_turn;
                self.next_turn += 1;
            }
            if seen.is_quiet {
                slot.is_pending = false;
                has_quiet = true;
            }
        }
        if has_quiet {
            self.clear_pending();
        }
        self.check();
    }

    fn put(&mut self, key: Key, asked: Asked) {
        match self.index().get(&key) {
            None => self.add(key, asked),
            Some(&at) => {
                if let Some(Some(slot)) = self.slots.get_mut(at as usize) {
                    slot.asked = asked;
                }
                self.mark(&[at]);
            }
        }
    }

    fn add(&mut self, key: Key, asked: Asked) {
        // A request has fewer than 2^32 bytes, let alone partitions.
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), at);
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        let slot = Slot { key, asked, place: P::default(), told: (-1, -1), turn, is_pending: true };
        if let Some(free) = self.slots.get_mut(at as usize) {
            *free = Some(slot);
        }
        self.pending.push(at);
        self.len += 1;
    }

    fn index(&mut self) -> &mut HashMap<Key, u32> {
        let slots = &self.slots;
        self.index.get_or_insert_with(|| {
            let occupied = (0..).zip(slots).filter_map(|(at, slot)| Some((slot.as_ref()?.key.clone(), at)));
            occupied.collect()
        })
    }

    fn clear_pending(&mut self) {
        let slots = &self.slots;
        self.pending.retain(|at| matches!(slots.get(*at as usize), Some(Some(slot)) if slot.is_pending));
    }

    /// The invariants that are cheap to check.
    fn check(&self) {
        debug_assert_eq!(self.len + self.free.len(), self.slots.len());
        debug_assert!(self.pending.len() <= self.len);
        debug_assert!(self.index.as_ref().is_none_or(|index| index.len() == self.len));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn key(partition: i32) -> Key {
        Key { topic: TopicKey::Name(Arc::from("t")), partition }
    }

    fn asked(offset: i64) -> Asked {
        Asked { fetch_offset: Offset(offset), current_leader_epoch: -1, last_fetched_epoch: -1, max_bytes: 1 << 20 }
    }

    /// One partition of a simple world.
    #[derive(Debug, Clone, Copy, Default)]
    struct World {
        log_start: i64,
        high_watermark: i64,
        fails: bool,
    }

    fn see(world: &World, asked: &Asked) -> Seen<()> {
        if world.fails || asked.fetch_offset.0 < world.log_start || asked.fetch_offset.0 > world.high_watermark {
            return Seen { high_watermark: -1, log_start: -1, bytes: 0, must_tell: true, is_quiet: false, data: () };
        }
        let bytes = usize::try_from(world.high_watermark - asked.fetch_offset.0).unwrap();
        Seen {
            high_watermark: world.high_watermark,
            log_start: world.log_start,
            bytes,
            must_tell: false,
            is_quiet: bytes == 0,
            data: (),
        }
    }

    fn fetch(session: &mut Session<()>, worlds: &[World], everything: bool) -> Vec<i32> {
        let due = session.look(everything, |_, slot| see(&worlds[slot.key.partition as usize], &slot.asked));
        session.tell(&due);
        due.iter().map(|due| session.slot(due.slot).unwrap().key.partition).collect()
    }

    #[test]
    fn answers_what_changed_and_rotates_what_had_data() {
        let mut worlds = [World::default(); 4];
        let mut session = Session::<()>::new((0..4).map(|at| (key(at), asked(0))));
        assert_eq!(fetch(&mut session, &worlds, true), [0, 1, 2, 3]);
        assert_eq!(fetch(&mut session, &worlds, false), [0; 0]);
        worlds[1].high_watermark = 5;
        worlds[3].high_watermark = 5;
        session.mark(&[3, 1, 99]);
        assert_eq!(fetch(&mut session, &worlds, false), [1, 3]);
        assert_eq!(fetch(&mut session, &worlds, false), [1, 3], "until the client moves on");
        session.update([(key(1), asked(5))], [], |_, ()| {});
        assert_eq!(fetch(&mut session, &worlds, false), [3]);
        for world in &mut worlds {
            world.high_watermark = 9;
        }
        session.mark(&[0, 1, 2, 3]);
        assert_eq!(fetch(&mut session, &worlds, false), [0, 2, 1, 3]);
    }

    #[test]
    fn an_error_is_told_until_it_is_gone_and_then_the_partition_once() {
        let mut worlds = [World { fails: true, ..World::default() }];
        let mut session = Session::<()>::new([(key(0), asked(0))]);
        assert_eq!(fetch(&mut session, &worlds, true), [0]);
        assert_eq!(fetch(&mut session, &worlds, false), [0]);
        worlds[0].fails = false;
        assert_eq!(fetch(&mut session, &worlds, false), [0]);
        assert_eq!(fetch(&mut session, &worlds, false), [0; 0]);
    }

    #[test]
    fn a_partition_named_twice_counts_once_as_named_last() {
        let named = [(0, 1), (1, 2), (2, 3), (1, 4), (0, 5), (3, 6)];
        let session = Session::<()>::new(named.map(|(partition, offset)| (key(partition), asked(offset))));
        let found: Vec<_> = (0..4)
            .map(|at| session.slot(at).unwrap())
            .map(|slot| (slot.key.partition, slot.asked.fetch_offset.0))
            .collect();
        assert_eq!(found, [(0, 5), (1, 4), (2, 3), (3, 6)]);
        assert_eq!(session.len(), 4);
    }

    #[test]
    fn what_was_forgotten_is_handed_back_and_its_slot_used_again() {
        let mut session = Session::<u8>::new([(key(0), asked(0)), (key(1), asked(0))]);
        let mut gone = Vec::new();
        session.update([(key(2), asked(0))], [key(0), key(2), key(7)], |slot, _| gone.push(slot));
        assert_eq!((gone, session.len()), (vec![0, 2], 1));
        session.update([(key(3), asked(0))], [], |_, _| {});
        assert_eq!(session.slot(2).unwrap().key, key(3));
        session.update([], [key(1), key(3)], |_, _| {});
        assert_eq!(session.len(), 0);
    }

    /// Kafka's own way: look at all partitions, in order, each time.
    #[derive(Default)]
    struct Model {
        /// Turn to partition.
        order: BTreeMap<u64, i32>,
        /// Partition to turn, asked offset, told.
        partitions: BTreeMap<i32, (u64, i64, (i64, i64))>,
        next_turn: u64,
    }

    impl Model {
        fn put(&mut self, partition: i32, offset: i64) {
            match self.partitions.get_mut(&partition) {
                Some(known) => known.1 = offset,
                None => {
                    self.partitions.insert(partition, (self.next_turn, offset, (-1, -1)));
                    self.order.insert(self.next_turn, partition);
                    self.next_turn += 1;
                }
            }
        }

        fn forget(&mut self, partition: i32) {
            if let Some((turn, ..)) = self.partitions.remove(&partition) {
                self.order.remove(&turn);
            }
        }

        fn fetch(&mut self, worlds: &[World], everything: bool) -> Vec<i32> {
            let mut told = Vec::new();
            for (turn, partition) in self.order.clone() {
                let (its_turn, offset, last) = self.partitions.get_mut(&partition).unwrap();
                let seen = see(&worlds[partition as usize], &asked(*offset));
                let now = (seen.high_watermark, seen.log_start);
                if !(everything || seen.bytes > 0 || seen.must_tell || *last != now) {
                    continue;
                }
                *last = now;
                told.push(partition);
                if seen.bytes > 0 {
                    self.order.remove(&turn);
                    self.order.insert(self.next_turn, partition);
                    *its_turn = self.next_turn;
                    self.next_turn += 1;
                }
            }
            told
        }
    }

    #[test]
    fn looking_at_what_is_marked_answers_what_looking_at_everything_would() {
        for seed in 0..2_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let count = rng.random_range(1..12);
            let mut worlds = vec![World::default(); count];
            let start: Vec<i32> = (0..count as i32).filter(|_| rng.random_bool(0.7)).collect();
            let mut model = Model::default();
            start.iter().for_each(|partition| model.put(*partition, 0));
            let mut session = Session::<()>::new(start.iter().map(|partition| (key(*partition), asked(0))));
            for step in 0..60 {
                for (partition, world) in worlds.iter_mut().enumerate() {
                    let before = *world;
                    match rng.random_range(0..12) {
                        0 | 1 => world.high_watermark += rng.random_range(1..4),
                        2 => world.log_start = world.high_watermark.min(world.log_start + 1),
                        3 => world.fails = rng.random_bool(0.3),
                        _ => continue,
                    }
                    let changed = (before.high_watermark, before.log_start, before.fails)
                        != (world.high_watermark, world.log_start, world.fails);
                    let slots = 0..session.slots.len() as u32;
                    let watching =
                        slots.filter(|at| session.slot(*at).is_some_and(|slot| slot.key.partition == partition as i32));
                    if changed {
                        let watching: Vec<u32> = watching.collect();
                        session.mark(&watching);
                    }
                }
                let everything = step == 0;
                assert_eq!(
                    fetch(&mut session, &worlds, everything),
                    model.fetch(&worlds, everything),
                    "seed {seed}, step {step}"
                );
                let (mut changes, mut forgotten) = (Vec::new(), Vec::new());
                for partition in 0..count as i32 {
                    if rng.random_bool(0.3) {
                        let world = worlds[partition as usize];
                        changes.push((partition, rng.random_range(world.log_start..=world.high_watermark)));
                    } else if rng.random_bool(0.1) {
                        forgotten.push(partition);
                    }
                }
                changes.iter().for_each(|(partition, offset)| model.put(*partition, *offset));
                forgotten.iter().for_each(|partition| model.forget(*partition));
                session.update(
                    changes.iter().map(|(partition, offset)| (key(*partition), asked(*offset))),
                    forgotten.iter().map(|partition| key(*partition)),
                    |_, ()| {},
                );
                assert_eq!(session.len(), model.partitions.len());
            }
        }
    }

    #[test]
    fn quiet_partitions_cost_nothing() {
        let mut session = Session::<()>::new((0..10_000).map(|at| (key(at), asked(0))));
        let worlds = vec![World::default(); 10_000];
        assert_eq!(fetch(&mut session, &worlds, true).len(), 10_000);
        session.mark(&[77]);
        let mut looks = 0;
        session.look(false, |_, slot| {
            looks += 1;
            see(&worlds[slot.key.partition as usize], &slot.asked)
        });
        assert_eq!(looks, 1);
    }
}
