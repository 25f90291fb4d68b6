//! Decide, append, reply: one task turns commands into records while this node leads.
//!
//! Each command is decided against the *speculative* image, to which the records of all earlier commands were applied
//! whether they are committed or not; then its records go to Raft, many commands sharing one append. Its reply waits
//! until they are applied. If any fails, the speculative image is worthless, and so are all decisions after it: they
//! carry the term that they were made in, so that Raft refuses them in any other.

use std::sync::Arc;

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use openraft::{Raft, ReadPolicy, errors::ClientWriteError, impls::ProgressResponder};
use tokio::sync::{mpsc, oneshot};

use super::{
    SubmitError,
    machine::Machine,
    published::Published,
    raft::{CommittedLeader, RecordBatch, TypeConfig},
};
use crate::{
    controller::{Command, Reply, Step, Tenure},
    env::SharedEnv,
    metadata::{Image, encode_batch},
    model::NodeId,
};

/// Commands that may wait for a decision, and commands that may wait for the disk.
pub const QUEUED_MAX: usize = 1024;
const IN_FLIGHT_MAX: usize = 1024;

pub struct Job {
    pub command: Command,
    pub reply: oneshot::Sender<Result<Reply, SubmitError>>,
}

pub struct Leader {
    raft: Raft<TypeConfig, Machine>,
    published: Arc<Published>,
    env: SharedEnv,
    /// In which term this node leads, and what it decides against.
    tenure: Option<(u64, Tenure)>,
    /// Appended and not yet applied. Each replies to its client and says whether it was applied.
    in_flight: FuturesUnordered<BoxFuture<'static, bool>>,
}

impl Leader {
    pub fn new(raft: Raft<TypeConfig, Machine>, published: Arc<Published>, env: SharedEnv) -> Leader {
        Leader { raft, published, env, tenure: None, in_flight: FuturesUnordered::new() }
    }

    /// Works until all senders of `jobs` are gone and all commands are answered.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            tokio::select! {
                biased;
                Some(applied) = self.in_flight.next() => self.settle(applied),
                job = jobs.recv(), if self.in_flight.len() < IN_FLIGHT_MAX => match job {
                    Some(job) => self.take(job).await,
                    None => break,
                },
            }
        }
        while self.in_flight.next().await.is_some() {}
    }

    fn settle(&mut self, applied: bool) {
        if !applied {
            self.tenure = None;
        }
    }

    async fn take(&mut self, job: Job) {
        match self.append(job.command).await {
            Ok((reply, None)) => drop(job.reply.send(Ok(reply))),
            Ok((reply, Some(applied))) => self.in_flight.push(Box::pin(async move {
                let result = applied.await;
                let is_applied = result.is_ok();
                // Whoever asked may have left.
                let _ = job.reply.send(result.map(|()| reply));
                is_applied
            })),
            Err(error) => drop(job.reply.send(Err(error))),
        }
    }

    /// Decides a command and hands its records to Raft. The reply is to be given when what comes with it says so.
    async fn append(&mut self, command: Command) -> Result<(Reply, Option<Applied>), SubmitError> {
        if self.tenure.is_none() {
            self.tenure = Some(self.begin().await?);
        }
        let Some((term, tenure)) = &mut self.tenure else { return Err(SubmitError::Stopped) };
        let decided = tenure.decide(self.env.now(), &command, self.in_flight.is_empty());
        let proposal = match decided.map_err(|misfit| SubmitError::Internal(misfit.to_string()))? {
            Step::Reply(reply) => return Ok((reply, None)),
            Step::Append(proposal) => proposal,
        };
        let batch = encode_batch(&proposal.records).map_err(|e| SubmitError::Internal(e.to_string()))?;
        let (responder, outcome) = ProgressResponder::complete_only();
        let write = self.raft.write(RecordBatch(batch)).with_leader(CommittedLeader::new(*term));
        if write.responder(responder).await.is_err() {
            self.tenure = None;
            return Err(SubmitError::Stopped);
        }
        let reply = tenure.appended(proposal);
        let applied = async move {
            match outcome.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(ClientWriteError::ForwardToLeader(to) | ClientWriteError::LogEntryDiscarded(to))) => {
                    Err(not_leading(to.leader_id))
                }
                Ok(Err(other)) => Err(SubmitError::Internal(other.to_string())),
                Err(_) => Err(SubmitError::Stopped),
            }
        };
        Ok((reply, Some(Box::pin(applied))))
    }

    /// Begins a tenure, where this node leads: with the image of all that was committed before it.
    async fn begin(&mut self) -> Result<(u64, Tenure), SubmitError> {
        // What is still in flight was decided in another tenure, and fails or becomes a part of the image.
        while self.in_flight.next().await.is_some() {}
        let term = self.raft.as_leader().map_err(|to| not_leading(to.leader_id))?.term();
        // This waits until the first entry of the term is applied, and so all before it.
        let read = self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await;
        read.map_err(|error| match error {
            openraft::errors::RaftError::Fatal(_) => SubmitError::Stopped,
            openraft::errors::RaftError::APIError(_) => not_leading(None),
        })?;
        Ok((term, Tenure::begin(Image::clone(&self.published.image()))))
    }
}

type Applied = BoxFuture<'static, Result<(), SubmitError>>;

fn not_leading(leader: Option<u64>) -> SubmitError {
    SubmitError::NotLeader { leader: leader.and_then(|id| i32::try_from(id).ok()).map(NodeId) }
}
