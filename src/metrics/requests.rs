//! Requests by API: how many, how large, how they were answered and how long it took.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use felice_protocol::error::ErrorCode;

use super::{Buckets, Histogram, Page, Source, catalogue as all, sharded::Sharded};

/// Error codes beyond Kafka's highest are counted as [`ErrorCode::UnknownServerError`].
const CODES: usize = 160;
/// -1 is the lowest code.
const LOWEST: i16 = -1;

/// What is known of a request once it was answered, or closed its connection.
#[derive(Debug, Clone, Copy)]
pub struct Requested {
    /// The place of its API in the list that [`Requests::new`] was given.
    pub api: usize,
    /// Of its frame.
    pub request_bytes: usize,
    /// Of the answer's frame; 0 where there is none.
    pub response_bytes: usize,
    pub took: Duration,
}

/// Counts requests. Noting one takes four additions, on cache lines of the thread's own.
pub struct Requests {
    apis: Vec<&'static str>,
    shards: Sharded<Vec<OfApi>>,
    /// By API and code.
    errors: Vec<AtomicU64>,
}

#[derive(Debug, Default)]
struct OfApi {
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    latency: Histogram,
}

impl Requests {
    /// For these APIs, by name.
    pub fn new(apis: Vec<&'static str>) -> Requests {
        let shards = Sharded::new(|| apis.iter().map(|_| OfApi::default()).collect());
        let errors = (0..apis.len() * CODES).map(|_| AtomicU64::new(0)).collect();
        Requests { apis, shards, errors }
    }

    pub fn note(&self, requested: Requested) {
        let Some(of_api) = self.shards.own().get(requested.api) else { return };
        of_api.request_bytes.fetch_add(requested.request_bytes as u64, Ordering::Relaxed);
        of_api.response_bytes.fetch_add(requested.response_bytes as u64, Ordering::Relaxed);
        of_api.latency.note(requested.took);
    }

    /// An error code in an answer; 0, which is none, is not counted. One answer may have many.
    pub fn note_error(&self, api: usize, code: i16) {
        if code == ErrorCode::None.code() {
            return;
        }
        let at = usize::try_from(code - LOWEST).ok().filter(|at| *at < CODES).unwrap_or(0);
        if let Some(count) = self.errors.get(api * CODES + at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Source for Requests {
    fn collect(&self, page: &mut Page) {
        for (at, api) in self.apis.iter().enumerate() {
            let labels = [("api", *api)];
            let (mut request_bytes, mut response_bytes, mut latency) = (0, 0, Buckets::default());
            for of_api in self.shards.all().filter_map(|shard| shard.get(at)) {
                request_bytes += of_api.request_bytes.load(Ordering::Relaxed);
                response_bytes += of_api.response_bytes.load(Ordering::Relaxed);
                latency.merge(&of_api.latency.buckets());
            }
            // An API that nobody uses is no news.
            if latency.count() == 0 {
                continue;
            }
            page.put(&all::REQUESTS, &labels, latency.count());
            page.put(&all::REQUEST_BYTES, &labels, request_bytes);
            page.put(&all::RESPONSE_BYTES, &labels, response_bytes);
            page.put_buckets(&all::REQUEST_SECONDS, &labels, &latency);
            for (code, count) in (LOWEST..).zip(&self.errors[at * CODES..(at + 1) * CODES]) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let name = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError).name();
                    page.put(&all::ERRORS, &[("api", *api), ("error", name)], count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn every_code_of_kafka_has_its_place() {
        for code in ErrorCode::ALL {
            assert!(usize::try_from(code.code() - LOWEST).is_ok_and(|at| at < CODES), "{code:?}");
        }
    }

    #[test]
    fn what_all_threads_noted_is_shown() {
        let requests = Requests::new(vec!["Produce", "Fetch", "Metadata"]);
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let took = Duration::from_micros(30);
                    requests.note(Requested { api: 1, request_bytes: 100, response_bytes: 7, took });
                    requests.note_error(1, ErrorCode::None.code());
                    requests.note_error(1, ErrorCode::NotLeaderOrFollower.code());
                });
            }
        });
        requests.note_error(1, 9999);
        let mut page = Page::default();
        requests.collect(&mut page);
        let text = page.into_text();
        for line in [
            "felice_requests_total{api=\"Fetch\"} 20",
            "felice_request_bytes_total{api=\"Fetch\"} 2000",
            "felice_response_bytes_total{api=\"Fetch\"} 140",
            "felice_request_seconds_bucket{api=\"Fetch\",le=\"0.000025\"} 0",
            "felice_request_seconds_bucket{api=\"Fetch\",le=\"0.00005\"} 20",
            "felice_request_seconds_bucket{api=\"Fetch\",le=\"+Inf\"} 20",
            "felice_request_seconds_sum{api=\"Fetch\"} 0.0006",
            "felice_request_seconds_count{api=\"Fetch\"} 20",
            "felice_errors_total{api=\"Fetch\",error=\"NOT_LEADER_OR_FOLLOWER\"} 20",
            "felice_errors_total{api=\"Fetch\",error=\"UNKNOWN_SERVER_ERROR\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("NONE") && !text.contains("Produce"), "{text}");
    }
}
