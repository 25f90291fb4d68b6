//! A decision in the making.

use super::{MAX_RECORDS, Reason, Refusal};
use crate::{
    metadata::{Delta, Image, Record},
    model::NodeId,
};

/// The records decided so far, and the image that they lead to: what one part of a command decides, the next one sees.
pub(super) struct Draft {
    image: Image,
    records: Vec<Record>,
}

impl Draft {
    pub fn new(image: &Image) -> Draft {
        Draft { image: image.clone(), records: Vec::new() }
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    /// How many more records the command may make.
    pub fn room(&self) -> usize {
        MAX_RECORDS - self.records.len()
    }

    /// Adds all of these records, or none.
    ///
    /// # Errors
    /// [`Reason::PolicyViolation`] where there is no room for them.
    pub fn add(&mut self, records: Vec<Record>) -> Result<(), Refusal> {
        if records.len() > self.room() {
            return Err(Refusal::too_large());
        }
        let mut image = self.image.clone();
        for record in &records {
            if let Err(misfit) = image.apply(record, &mut Delta::default()) {
                debug_assert!(false, "{record:?}: {misfit}");
                return Err(Refusal::new(Reason::UnknownServerError, misfit.to_string()));
            }
        }
        self.image = image;
        self.records.extend(records);
        Ok(())
    }

    /// The records; none where the command was only to be checked.
    pub fn finish(self, validate_only: bool) -> Vec<Record> {
        if validate_only { Vec::new() } else { self.records }
    }
}

/// Whether partitions may be led by this broker now.
pub(super) fn is_active(image: &Image, id: NodeId) -> bool {
    image.broker(id).is_some_and(|broker| !broker.fenced)
}
