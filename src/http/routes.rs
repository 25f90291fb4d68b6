//! What is served by HTTP.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::time::Instant;
use tracing::error;

use super::{Phase, Serving, Status, process::Process};
use crate::metrics::{MEDIA_TYPE, Page, Source, catalogue as all};

/// A page is good for so long: however often it is asked for, it is made no more often.
const PAGE_LIFE: Duration = Duration::from_millis(250);

/// The page that was made last, and when.
pub type LastPage = Option<(Instant, Bytes)>;

pub fn router(status: Arc<Status>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/readyz", get(ready))
        .route("/livez", get(async || "alive\n"))
        .with_state(status)
}

/// 200 where a produce would work; else 503, and why not in one line.
async fn ready(State(status): State<Arc<Status>>) -> Response {
    match why_not_ready(&status.phase.load()) {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

fn why_not_ready(phase: &Phase) -> Option<String> {
    match phase {
        Phase::Starting(at) => Some((*at).to_owned()),
        Phase::Serving(Serving { services, .. }) => services.replicas.trouble().map(|trouble| trouble.to_string()),
        Phase::Stopping => Some("stopping".to_owned()),
    }
}

async fn metrics(State(status): State<Arc<Status>>) -> Response {
    // Held until a page is made, also where whoever asked for it has left: others get the same one.
    let mut last = Arc::clone(&status.page).lock_owned().await;
    if let Some((made, page)) = &*last
        && made.elapsed() < PAGE_LIFE
    {
        return shown(page.clone());
    }
    let phase = status.phase.load_full();
    let made = tokio::task::spawn_blocking(move || {
        let page = Bytes::from(page(&phase));
        *last = Some((Instant::now(), page.clone()));
        page
    });
    match made.await {
        Ok(page) => shown(page),
        Err(error) => {
            error!("metrics cannot be shown: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn shown(page: Bytes) -> Response {
    ([(CONTENT_TYPE, MEDIA_TYPE)], page).into_response()
}

fn page(phase: &Phase) -> String {
    let mut page = Page::default();
    Process.collect(&mut page);
    if let Phase::Serving(Serving { services, sources }) = phase {
        page.put(&all::TOPICS, &[], services.quorum.image().topic_count());
        services.requests.collect(&mut page);
        services.replicas.collect(&mut page);
        services.groups.collect(&mut page);
        sources.iter().for_each(|source| source.collect(&mut page));
    }
    page.into_text()
}
