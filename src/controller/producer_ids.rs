//! Blocks of producer ids: a broker asks for one and hands the ids out without asking again.

use super::{AllocateProducerIds, Decision, ProducerIdBlock, Reason, Refusal, Reply};
use crate::{
    metadata::{Image, ProducerIdsRecord},
    model::ProducerId,
};

/// How many producer ids a broker gets at once; Kafka's `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`.
const BLOCK_LEN: i32 = 1000;

pub(super) fn allocate(image: &Image, command: &AllocateProducerIds) -> Decision {
    let (records, result) = match next_block(image, command) {
        Ok((record, block)) => (vec![record.into()], Ok(block)),
        Err(refusal) => (vec![], Err(refusal)),
    };
    Decision { records, reply: Reply::AllocateProducerIds(result) }
}

fn next_block(image: &Image, command: &AllocateProducerIds) -> Result<(ProducerIdsRecord, ProducerIdBlock), Refusal> {
    let AllocateProducerIds { node_id, broker_epoch } = *command;
    let stale = |message| Refusal::new(Reason::StaleBrokerEpoch, message);
    let broker =
        image.broker(node_id).ok_or_else(|| stale(format!("No broker registration found for broker id {node_id}")))?;
    if broker.epoch != broker_epoch {
        return Err(stale(format!("Expected broker epoch {}, but got broker epoch {broker_epoch}", broker.epoch)));
    }
    let ProducerId(first) = image.next_producer_id();
    let next_producer_id = first.checked_add(BLOCK_LEN.into()).ok_or_else(|| {
        Refusal::new(
            Reason::UnknownServerError,
            "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit",
        )
    })?;
    let record =
        ProducerIdsRecord { broker_id: node_id.0, broker_epoch, next_producer_id, ..ProducerIdsRecord::default() };
    Ok((record, ProducerIdBlock { first: ProducerId(first), len: BLOCK_LEN }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metadata::{Delta, Record, RegisterBrokerRecord},
        model::NodeId,
    };

    fn image(next: i64) -> Image {
        let mut image = Image::default();
        let mut records: Vec<Record> =
            vec![RegisterBrokerRecord { broker_id: 3, broker_epoch: 8, ..Default::default() }.into()];
        if next > 0 {
            records.push(
                ProducerIdsRecord {
                    broker_id: 3,
                    broker_epoch: 8,
                    next_producer_id: next,
                    ..ProducerIdsRecord::default()
                }
                .into(),
            );
        }
        for record in records {
            image.apply(&record, &mut Delta::default()).unwrap();
        }
        image
    }

    fn allocated(image: &Image, node_id: i32, broker_epoch: i64) -> Result<ProducerIdBlock, Refusal> {
        let decision = allocate(image, &AllocateProducerIds { node_id: NodeId(node_id), broker_epoch });
        let Reply::AllocateProducerIds(result) = decision.reply else { panic!("{:?}", decision.reply) };
        assert_eq!(decision.records.len(), usize::from(result.is_ok()));
        result
    }

    #[test]
    fn blocks_follow_one_another() {
        let mut image = image(0);
        for n in 0..3 {
            assert_eq!(allocated(&image, 3, 8), Ok(ProducerIdBlock { first: ProducerId(n * 1000), len: 1000 }));
            let decision = allocate(&image, &AllocateProducerIds { node_id: NodeId(3), broker_epoch: 8 });
            image.apply(&decision.records[0], &mut Delta::default()).unwrap();
        }
    }

    #[test]
    fn strangers_and_the_last_id_are_refused() {
        for (next, node_id, epoch, reason) in [
            (0, 4, 8, Reason::StaleBrokerEpoch),
            (0, 3, 7, Reason::StaleBrokerEpoch),
            (0, 3, 9, Reason::StaleBrokerEpoch),
            (i64::MAX - 999, 3, 8, Reason::UnknownServerError),
        ] {
            assert_eq!(allocated(&image(next), node_id, epoch).unwrap_err().reason, reason);
        }
        assert!(allocated(&image(i64::MAX - 1000), 3, 8).is_ok());
    }
}
