//! DescribeCluster (key 60): brokers, controller and cluster id (KIP-700).
//!
//! - v0: the brokers. v1: endpoint type, brokers or controllers (KIP-919). v2: fenced brokers where asked for (KIP-1073).

use felice_protocol::{
    error::ErrorCode,
    messages::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse},
};

use super::{Answer, Context, operations};

const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;

pub fn handle(cx: &Context<'_>, request: DescribeClusterRequest) -> Answer<DescribeClusterResponse> {
    let refused = |error: ErrorCode, message: &str| {
        Answer::Now(DescribeClusterResponse {
            error_code: error.code(),
            error_message: Some(message.to_owned()),
            ..DescribeClusterResponse::default()
        })
    };
    match request.endpoint_type {
        ENDPOINT_BROKERS => {}
        ENDPOINT_CONTROLLERS => {
            return refused(
                ErrorCode::MismatchedEndpointType,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            );
        }
        other => {
            return refused(ErrorCode::UnsupportedEndpointType, &format!("Unsupported endpoint type {other}"));
        }
    }
    let image = cx.services.quorum.image();
    let brokers = cx
        .services
        .endpoints(&image, cx.peer)
        .into_iter()
        .filter(|endpoint| request.include_fenced_brokers || !endpoint.fenced)
        .map(|endpoint| DescribeClusterBroker {
            broker_id: endpoint.node_id.0,
            host: endpoint.host,
            port: endpoint.port,
            rack: endpoint.rack,
            is_fenced: cx.version >= 2 && endpoint.fenced,
            ..DescribeClusterBroker::default()
        })
        .collect();
    Answer::Now(DescribeClusterResponse {
        endpoint_type: ENDPOINT_BROKERS,
        cluster_id: cx.services.cluster_id.to_string(),
        controller_id: cx.services.controller_id().0,
        brokers,
        cluster_authorized_operations: operations::cluster(request.include_cluster_authorized_operations),
        ..DescribeClusterResponse::default()
    })
}
