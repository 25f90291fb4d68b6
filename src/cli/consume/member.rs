//! A consumption's place in a group: which partitions it has, where they go on, and what is committed of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use felice_protocol::error::ErrorCode;
use tokio::time::Instant;

use super::super::tell;
use crate::{
    client::{
        Assigned, Client, ClientError, Fetcher, Isolation, Membership, MembershipSettings, Protocol,
        offsets::OffsetSpec,
    },
    model::{LeaderEpoch, Offset, TopicPartition},
};

/// A member with what it has. Invariant: what the fetcher fetches is in `begun`, and what is in `begun` or `committed` is in `owned`.
pub(super) struct Place {
    client: Arc<Client>,
    group: String,
    membership: Membership,
    owned: BTreeSet<TopicPartition>,
    /// Where this member began with them.
    begun: BTreeMap<TopicPartition, Offset>,
    /// What is committed of them, so that what has not moved is not committed again.
    committed: BTreeMap<TopicPartition, Offset>,
    /// Where to begin with what nobody has committed.
    otherwise: OffsetSpec,
}

impl Place {
    pub(super) async fn join(
        client: &Arc<Client>,
        group: &str,
        topic: &str,
        protocol: Option<Protocol>,
        otherwise: OffsetSpec,
    ) -> Result<Place, ClientError> {
        let settings =
            MembershipSettings { protocol, ..MembershipSettings::new(group.to_owned(), vec![topic.to_owned()]) };
        Ok(Place {
            client: Arc::clone(client),
            group: group.to_owned(),
            membership: Membership::new(Arc::clone(client), settings).await?,
            owned: BTreeSet::new(),
            begun: BTreeMap::new(),
            committed: BTreeMap::new(),
            otherwise,
        })
    }

    /// When [`Place::beat`] is to be called.
    pub(super) fn due(&self) -> Instant {
        self.membership.due()
    }

    /// The partitions that this member has.
    pub(super) fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    pub(super) async fn beat(&mut self) -> Result<Option<Assigned>, ClientError> {
        self.membership.beat().await
    }

    /// Lets go of what is not assigned any more, commits it as far as it was printed, and begins with what is new. Returns that.
    /// `printed` is of partitions that this member has.
    pub(super) async fn follow(
        &mut self,
        change: Assigned,
        fetcher: &mut Fetcher,
        printed: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<BTreeSet<TopicPartition>, ClientError> {
        let (target, too_late) = match change {
            Assigned::To(target) => (target, false),
            Assigned::Lost => (BTreeSet::new(), true),
        };
        let gone: BTreeSet<TopicPartition> = self.owned.difference(&target).cloned().collect();
        for partition in &gone {
            fetcher.remove(partition);
        }
        if too_late {
            self.begun.clear();
        } else if !gone.is_empty() {
            self.commit(printed).await?;
        }
        self.begun.retain(|partition, _| target.contains(partition));
        self.committed.retain(|partition, _| target.contains(partition));
        let added: BTreeSet<TopicPartition> = target.difference(&self.owned).cloned().collect();
        self.owned.clone_from(&target);
        self.membership.accept(target);
        self.begin(&added, fetcher).await?;
        Ok(added)
    }

    /// Goes on at what was committed, else where a group begins.
    async fn begin(&mut self, partitions: &BTreeSet<TopicPartition>, fetcher: &mut Fetcher) -> Result<(), ClientError> {
        if partitions.is_empty() {
            return Ok(());
        }
        for (partition, committed) in self.client.committed(&self.group, Some(partitions)).await? {
            self.committed.insert(partition.clone(), committed.offset);
            self.begun.insert(partition, committed.offset);
        }
        let wanted = partitions.iter().filter(|it| !self.begun.contains_key(*it));
        let wanted: BTreeMap<TopicPartition, OffsetSpec> = wanted.map(|it| (it.clone(), self.otherwise)).collect();
        let listed = self.client.list_offsets(&wanted, Isolation::ReadUncommitted).await?;
        self.begun.extend(listed.into_iter().filter_map(|(partition, listed)| Some((partition, listed.offset?))));
        for partition in partitions {
            if let Some(offset) = self.begun.get(partition) {
                fetcher.seek(partition.clone(), *offset);
            }
        }
        Ok(())
    }

    /// Commits what was printed since the last time, of what this member has; and where it began, so that a group which begins at
    /// the end misses nothing while nobody is in it.
    pub(super) async fn commit(&mut self, printed: &BTreeMap<TopicPartition, Offset>) -> Result<(), ClientError> {
        let moved: BTreeMap<TopicPartition, Offset> = self
            .begun
            .iter()
            .map(|(partition, begun)| (partition.clone(), *printed.get(partition).unwrap_or(begun)))
            .filter(|(partition, offset)| self.committed.get(partition) != Some(offset))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let offsets =
            moved.iter().map(|(partition, offset)| (partition.clone(), (*offset, LeaderEpoch::NONE))).collect();
        match self.client.commit(&self.group, &self.membership.committer(), &offsets).await {
            Ok(()) => {
                self.committed.extend(moved);
                Ok(())
            }
            // The next heartbeat tells what has become of this member, and the next commit is made accordingly.
            Err(error) if is_out_of_step(&error) => {
                tell(&format!("not committed this time: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Commits, and leaves the group.
    pub(super) async fn leave(&mut self, printed: &BTreeMap<TopicPartition, Offset>) -> Result<(), ClientError> {
        let committed = self.commit(printed).await;
        match self.membership.leave().await {
            // It had given up on this member already.
            Err(error) if is_out_of_step(&error) => committed,
            left => committed.and(left),
        }
    }
}

/// Whether the group has moved on without this member knowing it yet.
fn is_out_of_step(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::RebalanceInProgress
                | ErrorCode::IllegalGeneration
                | ErrorCode::UnknownMemberId
                | ErrorCode::StaleMemberEpoch
                | ErrorCode::FencedMemberEpoch
        )
    )
}
