//! What a leader of the metadata decides against, for as long as it leads.

use super::{Command, Decision, Reply, decide};
use crate::{
    metadata::{Delta, Image, Misfit, Record},
    model::Timestamp,
};

/// A time in which this node leads. Its image is *speculative*: what was committed when it began, with the records of all
/// commands that were appended since, whether they are committed or not.
///
/// Once one of those fails, the image is worthless and so is every decision after it: the tenure ends, and the next one
/// begins with what is committed by then.
#[derive(Debug)]
pub struct Tenure {
    image: Image,
}

/// What becomes of a command.
#[derive(Debug)]
pub enum Step {
    /// Nothing changes, and what the reply says is committed: it can be given at once.
    Reply(Reply),
    /// To be appended as one batch, without records where the reply only has to wait in line.
    Append(Proposal),
}

/// A decision that is not appended yet.
#[derive(Debug)]
pub struct Proposal {
    pub records: Vec<Record>,
    /// To be given once the records are committed.
    pub reply: Reply,
    image: Image,
}

impl Tenure {
    /// `committed` is all that was committed before this node began to lead.
    pub fn begin(committed: Image) -> Tenure {
        Tenure { image: committed }
    }

    /// Decides a command. Changes nothing yet. `is_idle` where all that was appended is committed.
    ///
    /// # Errors
    /// The controller decided what does not fit its own image: a mistake in it.
    pub fn decide(&self, now: Timestamp, command: &Command, is_idle: bool) -> Result<Step, Misfit> {
        let Decision { records, reply } = decide(now, &self.image, command);
        // A decision that changes nothing rests on what is committed only where nothing is in flight.
        if records.is_empty() && is_idle {
            return Ok(Step::Reply(reply));
        }
        let mut image = self.image.clone();
        for record in &records {
            let applied = image.apply(record, &mut Delta::default());
            applied.inspect_err(|misfit| debug_assert!(false, "the controller decided {record:?}: {misfit}"))?;
        }
        Ok(Step::Append(Proposal { records, reply, image }))
    }

    /// The proposal was appended: decisions from here on see it. Returns the reply to give once it is committed.
    pub fn appended(&mut self, proposal: Proposal) -> Reply {
        self.image = proposal.image;
        proposal.reply
    }
}
