//! InitProducerId (key 22): an id for an idempotent producer.
//!
//! - v0: id and epoch. v2: flexible. v3: the producer's current id and epoch, to resume with (KIP-360). v4: PRODUCER_FENCED.
//!   v5: TRANSACTION_ABORTABLE (KIP-890).
//!
//! Transactional ids have no coordinator yet: they are answered COORDINATOR_NOT_AVAILABLE, as FindCoordinator answers them.
//! A producer without one gets a fresh id at every call, epoch 0, whatever it brings, as Kafka does.

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
};

use super::{Answer, Context, Services};
use crate::{
    controller::{AllocateProducerIds, Command, ProducerIdBlock, Reply},
    model::{Principal, ProducerId},
};

pub fn handle(cx: &Context<'_>, request: InitProducerIdRequest) -> Answer<InitProducerIdResponse> {
    let has_id = request.producer_id != -1;
    let has_epoch = request.producer_epoch != -1;
    if has_id != has_epoch {
        return Answer::Now(failed(ErrorCode::InvalidRequest));
    }
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return Answer::Now(failed(ErrorCode::InvalidRequest)),
        Some(_) => return Answer::Now(failed(ErrorCode::CoordinatorNotAvailable)),
    }
    if let Some(id) = cx.services.producer_ids.next() {
        return Answer::Now(granted(id));
    }
    let services = Arc::clone(cx.services);
    let principal = cx.principal.clone();
    Answer::Later(Box::pin(async move {
        match services.producer_ids.refill(&services, &principal).await {
            Some(id) => granted(id),
            None => failed(ErrorCode::CoordinatorLoadInProgress),
        }
    }))
}

fn granted(id: ProducerId) -> InitProducerIdResponse {
    InitProducerIdResponse { producer_id: id.0, producer_epoch: 0, ..InitProducerIdResponse::default() }
}

fn failed(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: error.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}

/// The block of producer ids that this broker hands out from. Blocks come from the controller, so an id is never given
/// twice; what is left of a block at a restart is lost, as in Kafka.
#[derive(Debug, Default)]
pub struct ProducerIds {
    /// First id that is left, and how many are.
    left: parking_lot::Mutex<(i64, i32)>,
    /// Held while a block is fetched, so that a crowd of producers asks for one.
    refilling: tokio::sync::Mutex<()>,
}

impl ProducerIds {
    fn next(&self) -> Option<ProducerId> {
        let mut left = self.left.lock();
        let (first, count) = *left;
        if count == 0 {
            return None;
        }
        *left = (first + 1, count - 1);
        Some(ProducerId(first))
    }

    async fn refill(&self, services: &Arc<Services>, principal: &Principal) -> Option<ProducerId> {
        let _refilling = self.refilling.lock().await;
        loop {
            if let Some(id) = self.next() {
                return Some(id);
            }
            let command = Command::AllocateProducerIds(AllocateProducerIds {
                node_id: services.node_id,
                broker_epoch: services.broker_epoch,
            });
            match services.quorum.submit(principal, command).await {
                Ok(Reply::AllocateProducerIds(Ok(ProducerIdBlock { first, len }))) if len > 0 => {
                    *self.left.lock() = (first.0, len);
                }
                _ => return None,
            }
        }
    }
}
