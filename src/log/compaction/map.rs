//! Which offset is the latest of each key, in memory of a fixed bound: Kafka's `SkimpyOffsetMap`.
//!
//! Keys themselves are not kept. Each stands by 128 bits of SipHash under keys drawn anew for each pass, so that nobody can choose
//! two keys that collide; that two do by chance, among a billion, has odds of one in 10^20.

use siphasher::sip128::SipHasher13;

use crate::model::Offset;

/// Each grows on its own, so that growing takes little more than what the whole map may.
const SHARDS: usize = 16;
const SHARD_SLOTS_MIN: usize = 64;

/// What an entry takes, in bytes.
pub const ENTRY_SIZE: usize = size_of::<Slot>();

/// See the module's documentation.
#[derive(Debug)]
pub struct OffsetMap {
    hasher: SipHasher13,
    shards: [Shard; SHARDS],
    shard_slots_max: usize,
    load_factor: f64,
}

/// Open addressing with linear probing. Invariant: at least one slot is free, unless there are none.
#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Slot>,
    entries: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    /// -1 in a free slot.
    offset: i64,
}

impl Slot {
    const FREE: Slot = Slot { hash: [0; 2], offset: -1 };
}

impl OffsetMap {
    /// Takes up to `bytes` of memory (and 100 KiB at least) as it fills up to `load_factor`, which is above 0 and at most 1.
    pub fn with_memory(bytes: usize, load_factor: f64) -> OffsetMap {
        OffsetMap {
            hasher: SipHasher13::new(),
            shards: Default::default(),
            shard_slots_max: (bytes / ENTRY_SIZE / SHARDS).max(SHARD_SLOTS_MIN),
            load_factor,
        }
    }

    /// Forgets everything and gives the memory back. `seed` must be random.
    pub fn reset(&mut self, seed: [u64; 2]) {
        self.hasher = SipHasher13::new_with_keys(seed[0], seed[1]);
        self.shards = Default::default();
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.entries).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.slots.capacity() * ENTRY_SIZE).sum()
    }

    /// Sets the latest offset of a key; false where there is no room for another key.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let (hash, shard) = self.place(key);
        let (slots_max, load_factor) = (self.shard_slots_max, self.load_factor);
        self.shards.get_mut(shard).is_some_and(|shard| shard.put(hash, offset.0, slots_max, load_factor))
    }

    /// The latest offset of a key.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let (hash, shard) = self.place(key);
        let shard = self.shards.get(shard)?;
        let slot = shard.slots.get(shard.find(hash)?)?;
        (slot.offset >= 0).then_some(Offset(slot.offset))
    }

    fn place(&self, key: &[u8]) -> ([u64; 2], usize) {
        let hash = self.hasher.hash(key);
        ([hash.h1, hash.h2], hash.h1 as usize % SHARDS)
    }
}

impl Shard {
    fn put(&mut self, hash: [u64; 2], offset: i64, slots_max: usize, load_factor: f64) -> bool {
        debug_assert!(offset >= 0);
        if let Some(known) = self.find(hash).and_then(|at| self.slots.get_mut(at)).filter(|slot| slot.offset >= 0) {
            known.offset = offset;
            return true;
        }
        if self.entries >= room(self.slots.len(), load_factor) {
            if self.slots.len() >= slots_max {
                return false;
            }
            self.grow((self.slots.len() * 2).clamp(SHARD_SLOTS_MIN, slots_max));
            return self.put(hash, offset, slots_max, load_factor);
        }
        self.insert(Slot { hash, offset });
        self.entries += 1;
        true
    }

    fn grow(&mut self, slots: usize) {
        for slot in std::mem::replace(&mut self.slots, vec![Slot::FREE; slots]) {
            if slot.offset >= 0 {
                self.insert(slot);
            }
        }
    }

    /// Of a hash that is not there, where there is room.
    fn insert(&mut self, entry: Slot) {
        if let Some(slot) = self.find(entry.hash).and_then(|at| self.slots.get_mut(at)) {
            *slot = entry;
        }
    }

    /// The slot of a hash: the one that has it, or the free one where it would go. `None` where there are no slots.
    fn find(&self, hash: [u64; 2]) -> Option<usize> {
        let first = (u128::from(hash[1]) * self.slots.len() as u128) >> 64;
        let (before, from) = self.slots.split_at_checked(first as usize)?;
        let is_it = |slot: &Slot| slot.offset < 0 || slot.hash == hash;
        let found = from.iter().position(is_it).map(|at| before.len() + at);
        found.or_else(|| before.iter().position(is_it))
    }
}

/// How many entries so many slots take.
fn room(slots: usize, load_factor: f64) -> usize {
    ((slots as f64 * load_factor) as usize).clamp(1, slots.saturating_sub(1).max(1)).min(slots.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn knows_the_latest_of_each_key() {
        let mut map = OffsetMap::with_memory(1 << 20, 0.9);
        map.reset([1, 2]);
        let mut model = HashMap::new();
        for offset in 0..50_000_i64 {
            let key = (offset * 7919 % 10_007).to_be_bytes();
            assert!(map.put(&key, Offset(offset)));
            model.insert(key, Offset(offset));
        }
        assert_eq!(map.len(), model.len());
        for (key, offset) in &model {
            assert_eq!(map.get(key), Some(*offset));
        }
        assert_eq!(map.get(b"unknown"), None);
        assert!(map.put(b"", Offset(7)));
        assert_eq!(map.get(b""), Some(Offset(7)), "a key may be empty");
        map.reset([3, 4]);
        assert_eq!((map.len(), map.get(b""), map.bytes()), (0, None, 0));
    }

    #[test]
    fn grows_up_to_its_memory_and_no_further() {
        assert_eq!(ENTRY_SIZE, 24);
        for (bytes, load_factor) in [(1 << 20, 0.9), (1 << 20, 1.0), (1 << 20, 0.5), (200_000, 0.9), (0, 0.9)] {
            let bound = bytes.max(SHARDS * SHARD_SLOTS_MIN * ENTRY_SIZE);
            let mut map = OffsetMap::with_memory(bytes, load_factor);
            map.reset([5, 6]);
            assert!(map.put(b"first", Offset(0)) && map.bytes() <= SHARD_SLOTS_MIN * ENTRY_SIZE, "begins small");
            let mut offset = 0_i64;
            while map.put(&offset.to_be_bytes(), Offset(offset)) {
                offset += 1;
                assert!(map.bytes() <= bound, "{} of {bound}", map.bytes());
            }
            // The first shard that is full ends it; they are filled about evenly.
            let room = (bound / ENTRY_SIZE) as f64 * load_factor;
            assert!(map.len() as f64 <= room && map.len() as f64 > room * 0.6, "{} of {room}", map.len());
            for known in 0..offset {
                assert_eq!(map.get(&known.to_be_bytes()), Some(Offset(known)));
            }
            assert_eq!(map.get(&offset.to_be_bytes()), None, "what had no room");
            assert!(map.put(b"first", Offset(9)), "what is known goes on");
            assert_eq!(map.get(b"first"), Some(Offset(9)));
        }
    }
}
