//! What connections tell of themselves.

use std::sync::Arc;

use super::{Shared, listener::ConnectionLimits};
use crate::metrics::{Page, Source, catalogue as all};

/// The connections of all listeners.
pub struct Connections {
    pub shared: Arc<Shared>,
    pub limits: Arc<ConnectionLimits>,
}

impl Source for Connections {
    fn collect(&self, page: &mut Page) {
        page.put(&all::CONNECTIONS, &[], self.limits.open());
        page.put(&all::CONNECTIONS_ACCEPTED, &[], self.limits.accepted());
        for (reason, count) in self.shared.refusals.counts() {
            page.put(&all::CONNECTIONS_CLOSED, &[("reason", reason)], count);
        }
        page.put(&all::FRAME_BUDGET_USED, &[], self.shared.budget.held());
        page.put(&all::FRAME_BUDGET_LIMIT, &[], self.shared.budget.total());
        page.put(&all::OWED, &[], self.shared.owed.bytes());
    }
}
