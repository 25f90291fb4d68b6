//! What the handlers of group APIs share: who calls, and the way to the coordinator and back.

use std::net::{IpAddr, Ipv6Addr};

use felice_protocol::error::ErrorCode;

use super::{Answer, Closing, Context, Services};
use crate::coordinator::{
    Answered, NewCall,
    group::{self, Command, Query},
};

/// What the answer to a request that names many groups may take, in bytes. Groups beyond it are POLICY_VIOLATION: a request may
/// name one large group again and again.
pub const ANSWER_MAX: usize = 64 << 20;

/// Has a group's coordinator carry a command out. What it tells becomes the response by `finish`.
pub fn submit<T: TryFrom<group::Answer> + 'static, R: 'static>(
    cx: &Context<'_>,
    command: Command,
    finish: impl FnOnce(T) -> R + Send + 'static,
) -> Answer<R> {
    match cx.services.groups.submit(caller(cx), command) {
        Answered::Now(answer) => match T::try_from(answer) {
            Ok(told) => Answer::Now(finish(told)),
            Err(_) => Answer::Close(Closing::failed()),
        },
        Answered::Later(answer) => Answer::LaterOrClose(Box::pin(async move {
            let answer = answer.await.ok()?;
            T::try_from(answer).ok().map(finish)
        })),
    }
}

/// Looks something up in what a group's coordinator has committed.
///
/// # Errors
/// NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS.
pub async fn query<T: TryFrom<group::Answer>>(
    services: &Services,
    group_id: &str,
    query: Query,
) -> Result<T, ErrorCode> {
    let answer = services.groups.query(group_id, query).await?;
    T::try_from(answer).map_err(|_| ErrorCode::UnknownServerError)
}

/// Whether groups may use the consumer protocol (KIP-848). Where not, its APIs are UNSUPPORTED_VERSION.
pub fn serves_consumer_protocol(services: &Services) -> bool {
    services.config.groups.consumer_protocol && services.quorum.image().feature_level("group.version") >= 1
}

pub fn caller(cx: &Context<'_>) -> NewCall {
    NewCall {
        version: cx.version,
        client_id: cx.client_id.unwrap_or_default().into(),
        client_host: host(cx.peer.address.ip()).into(),
    }
}

/// An address as Java writes one that was not looked up: `/127.0.0.1`, and without any abbreviation `/0:0:0:0:0:0:0:1`.
fn host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => v6_host(address),
    }
}

fn v6_host(address: Ipv6Addr) -> String {
    let [a, b, c, d, e, f, g, h] = address.segments();
    format!("/{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_java_writes_them() {
        for (address, expected) in [
            ("127.0.0.1", "/127.0.0.1"),
            ("::ffff:10.0.0.7", "/10.0.0.7"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("fe80::a:0:b", "/fe80:0:0:0:0:a:0:b"),
        ] {
            assert_eq!(host(address.parse().unwrap()), expected);
        }
    }
}
