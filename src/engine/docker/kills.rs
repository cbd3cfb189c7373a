//! Programs that the kernel ended for want of memory, counted by ourselves: Podman tells nobody.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{kernel, usage};
use crate::engine::BoxRecord;
use crate::model::id::EnvironmentId;

/// The boxes that are looked at.
#[derive(Default)]
pub(super) struct Kills(Mutex<HashMap<EnvironmentId, Counted>>);

struct Counted {
    record: BoxRecord,
    /// What was told, or was so before anybody listened.
    told: u64,
}

impl Kills {
    /// Counts from now on, in the place of an earlier box of the same environment.
    pub(super) fn watch(&self, record: &BoxRecord) {
        let mut boxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = boxes.get(&record.environment);
        if known.is_none_or(|known| known.record != *record) {
            let told = usage::memory_kills(record).unwrap_or(0);
            let counted = Counted { record: record.clone(), told };
            boxes.insert(record.environment.clone(), counted);
        }
    }

    /// The environments at an engine that lost programs since the last look. Boxes that ended are
    /// looked at no more. Blocking.
    pub(super) fn news(&self, endpoint: &str) -> Vec<EnvironmentId> {
        let mut boxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        boxes.retain(|_, counted| kernel::is_alive(&counted.record));
        let at_engine =
            |counted: &&mut Counted| counted.record.endpoint.as_deref() == Some(endpoint);
        let mut news = Vec::new();
        for counted in boxes.values_mut().filter(at_engine) {
            let now = usage::memory_kills(&counted.record).unwrap_or(counted.told);
            if now > counted.told {
                counted.told = now;
                news.push(counted.record.environment.clone());
            }
        }
        news
    }
}
