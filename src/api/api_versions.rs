//! ApiVersions (key 18): what this broker serves.
//!
//! - v0: error code and the ranges of versions. v1: throttle time, which from here on is never waited out by the client
//!   itself but by the broker (KIP-219, v2).
//! - v3: flexible; the client sends its software's name and version (KIP-511), the broker its features (KIP-584).
//! - v4: features whose lowest version is 0 may be listed (KIP-1022); older clients fail to read those.
//!
//! The response header is always v0, for a client must be able to read it before it knows anything. A request of a version
//! that is not served is answered in v0 with UNSUPPORTED_VERSION and the range of ApiVersions itself (KIP-511).

use felice_protocol::{
    api::{ApiKey, RequestHeader, write_response},
    error::ErrorCode,
    messages::api_versions::{
        ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
    },
};

use super::features;
use super::{Answer, Closing, Context, Outcome, SERVED, Served};

pub fn handle(cx: &Context<'_>, request: ApiVersionsRequest) -> Answer<ApiVersionsResponse> {
    if cx.version >= 3
        && !(is_software_word(&request.client_software_name) && is_software_word(&request.client_software_version))
    {
        return Answer::Now(ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ApiVersionsResponse::default()
        });
    }
    let image = cx.services.quorum.image();
    let supported_features = features::SUPPORTED
        .iter()
        .filter(|feature| cx.version >= 4 || feature.min > 0)
        .map(|feature| SupportedFeatureKey {
            name: feature.name.to_owned(),
            min_version: feature.min,
            max_version: feature.max,
            ..SupportedFeatureKey::default()
        })
        .collect();
    let finalized_features = image
        .features()
        .filter(|(_, level)| *level > 0)
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.to_owned(),
            max_version_level: level,
            min_version_level: level,
            ..FinalizedFeatureKey::default()
        })
        .collect();
    Answer::Now(ApiVersionsResponse {
        error_code: ErrorCode::None.code(),
        api_keys: SERVED.iter().map(advertised).collect(),
        supported_features,
        finalized_features,
        finalized_features_epoch: cx.services.quorum.image_version(),
        ..ApiVersionsResponse::default()
    })
}

/// The answer to a version that we do not know, in v0, which every client can read.
pub fn unsupported_version(header: &RequestHeader) -> Outcome {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: Served::of(ApiKey::ApiVersions.code()).into_iter().map(advertised).collect(),
        ..ApiVersionsResponse::default()
    };
    match write_response(header.correlation_id, 0, &response) {
        Ok(frame) => Outcome::Ready(frame),
        Err(_) => Outcome::Close(Closing::unencodable()),
    }
}

fn advertised(served: &Served) -> ApiVersion {
    // librdkafka derives gzip and snappy from Produce 0, as Kafka 4 knows: the range begins there although versions 0
    // to 2 are refused (their record format is gone).
    let min_version = if served.key == ApiKey::Produce { 0 } else { *served.versions.start() };
    ApiVersion { api_key: served.key.code(), min_version, max_version: *served.versions.end(), ..ApiVersion::default() }
}

/// KIP-511: letters, digits, dots and dashes, beginning and ending with a letter or digit.
fn is_software_word(word: &str) -> bool {
    let edge = |at: Option<u8>| at.is_some_and(|byte| byte.is_ascii_alphanumeric());
    edge(word.bytes().next())
        && edge(word.bytes().last())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_checked_as_kafka_does() {
        for good in ["librdkafka", "apache-kafka-java", "2.0.2", "a", "v1.0-rc1"] {
            assert!(is_software_word(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a_b", "é", ".1"] {
            assert!(!is_software_word(bad), "{bad}");
        }
    }
}
