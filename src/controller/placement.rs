//! Which brokers get the replicas of new partitions.

use std::collections::BTreeMap;

use crate::{metadata::Image, model::NodeId};

/// Places replicas in stripes: leaders go round all unfenced brokers, and the replicas of one partition lie on as many
/// racks as there are. A fenced broker never leads, and gets a replica only where its rack has no unfenced one left.
///
/// Each placement begins somewhere else, so that small topics do not all pile up on the first broker.
pub(super) struct Placer {
    random: u64,
}

struct Candidate<'a> {
    id: NodeId,
    rack: Option<&'a str>,
    fenced: bool,
}

impl Placer {
    pub fn new(seed: u64) -> Placer {
        Placer { random: seed }
    }

    /// The replicas of `partitions` new partitions, the preferred leader of each first.
    ///
    /// # Errors
    /// Kafka's words (its `StripedReplicaPlacer`) for why there are not enough brokers.
    pub fn place(
        &mut self,
        image: &Image,
        partitions: usize,
        replication_factor: i16,
    ) -> Result<Vec<Vec<NodeId>>, String> {
        let (unfenced, fenced) = candidates(image);
        let replicas = match usize::try_from(replication_factor) {
            Ok(replicas) if replicas > 0 => replicas,
            _ => {
                return Err(format!(
                    "Invalid replication factor {replication_factor}: the replication factor must be positive."
                ));
            }
        };
        if unfenced.is_empty() {
            return Err("All brokers are currently fenced, or have all their log directories cordoned.".to_owned());
        }
        let registered = unfenced.len() + fenced.len();
        if replicas > registered {
            return Err(format!(
                "The target replication factor of {replicas} cannot be reached because only {registered} broker(s) are \
                 registered or some brokers have all their log directories cordoned."
            ));
        }
        let (start, shift) = (self.next(unfenced.len()), self.next(unfenced.len()));
        let place = |partition: usize| {
            let leader = (start + partition) % unfenced.len();
            // With each lap of the leaders the followers shift by one, so that no two brokers share all their partitions.
            let shift = shift + partition / unfenced.len();
            let others = unfenced.len() - 1;
            let followers = (0..others).map(|n| &unfenced[(leader + 1 + (shift + n) % others) % unfenced.len()]);
            choose(&unfenced[leader], followers.chain(&fenced).collect(), replicas)
        };
        Ok((0..partitions).map(place).collect())
    }

    /// A number below `bound`, from the sequence that the seed begins (SplitMix64).
    fn next(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % bound.max(1) as u64) as usize
    }
}

/// The leader and those followers that add most to the racks used, in their order where racks make no difference.
fn choose(leader: &Candidate, mut followers: Vec<&Candidate>, replicas: usize) -> Vec<NodeId> {
    let mut rack_uses = BTreeMap::from([(leader.rack, 1usize)]);
    let mut chosen = vec![leader.id];
    while chosen.len() < replicas {
        let uses = |candidate: &Candidate| rack_uses.get(&candidate.rack).copied().unwrap_or(0);
        let best = (0..followers.len()).min_by_key(|&at| (uses(followers[at]), followers[at].fenced, at));
        let Some(best) = best else { break };
        let best = followers.remove(best);
        *rack_uses.entry(best.rack).or_default() += 1;
        chosen.push(best.id);
    }
    chosen
}

/// Unfenced and fenced brokers, each one rack after the other in turn.
fn candidates(image: &Image) -> (Vec<Candidate<'_>>, Vec<Candidate<'_>>) {
    let mut of_rack: BTreeMap<(bool, Option<&str>), usize> = BTreeMap::new();
    let mut all: Vec<(usize, Candidate)> = image
        .brokers()
        .map(|broker| {
            let candidate = Candidate { id: broker.id, rack: broker.rack.as_deref(), fenced: broker.fenced };
            let turn = of_rack.entry((candidate.fenced, candidate.rack)).or_default();
            *turn += 1;
            (*turn, candidate)
        })
        .collect();
    all.sort_by_key(|(turn, candidate)| (*turn, candidate.rack, candidate.id));
    all.into_iter().map(|(_, candidate)| candidate).partition(|candidate| !candidate.fenced)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metadata::{Delta, RegisterBrokerRecord};

    /// Brokers 0, 1, ... with a rack each (empty for none) and whether they are fenced.
    fn cluster(brokers: &[(&str, bool)]) -> Image {
        let mut image = Image::default();
        for (id, (rack, fenced)) in (0..).zip(brokers) {
            let rack = (!rack.is_empty()).then(|| rack.to_string());
            let record = RegisterBrokerRecord { broker_id: id, rack, fenced: *fenced, ..Default::default() };
            image.apply(&record.into(), &mut Delta::default()).unwrap();
        }
        image
    }

    #[test]
    fn too_few_brokers_are_told_in_kafkas_words() {
        let three = cluster(&[("", false), ("", false), ("", true)]);
        for (image, replication_factor, message) in [
            (&three, 0, "Invalid replication factor 0: the replication factor must be positive."),
            (
                &three,
                4,
                "The target replication factor of 4 cannot be reached because only 3 broker(s) are registered or some \
                 brokers have all their log directories cordoned.",
            ),
            (
                &cluster(&[("", true)]),
                1,
                "All brokers are currently fenced, or have all their log directories cordoned.",
            ),
        ] {
            let placed = Placer::new(0).place(image, 1, replication_factor);
            assert_eq!(placed, Err(message.to_owned()));
        }
    }

    #[test]
    fn leaders_and_racks_are_spread_evenly() {
        for seed in 0..500 {
            let racks: &[&[(&str, bool)]] = &[
                &[("", false)],
                &[("", false); 5],
                &[("a", false), ("a", false), ("b", false), ("b", false), ("c", false), ("c", false)],
                &[("a", false), ("a", true), ("b", false), ("c", true)],
            ];
            let brokers = racks[seed % racks.len()];
            let image = cluster(brokers);
            let unfenced = brokers.iter().filter(|(_, fenced)| !fenced).count();
            let rack_count = brokers.iter().map(|(rack, _)| rack).collect::<BTreeSet<_>>().len();
            let replication_factor = 1 + seed % brokers.len();
            let partitions = 4 * unfenced;

            let placed = Placer::new(seed as u64).place(&image, partitions, replication_factor as i16).unwrap();
            assert_eq!(placed.len(), partitions);
            let mut leads = vec![0; brokers.len()];
            for replicas in &placed {
                let distinct: BTreeSet<_> = replicas.iter().collect();
                assert_eq!((distinct.len(), replicas.len()), (replication_factor, replication_factor), "seed {seed}");
                let used: BTreeSet<_> = replicas.iter().map(|id| brokers[id.0 as usize].0).collect();
                assert_eq!(used.len(), rack_count.min(replication_factor), "seed {seed}: {replicas:?}");
                leads[replicas[0].0 as usize] += 1;
            }
            for (broker, leads) in brokers.iter().zip(leads) {
                assert_eq!(leads, if broker.1 { 0 } else { 4 }, "seed {seed}");
            }
        }
    }

    #[test]
    fn placements_begin_at_different_brokers() {
        let image = cluster(&[("", false); 8]);
        let mut placer = Placer::new(1);
        let first: BTreeSet<_> = (0..64).map(|_| placer.place(&image, 1, 1).unwrap()[0][0]).collect();
        assert_eq!(first.len(), 8);
    }
}
