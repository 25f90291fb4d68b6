//! The settings of groups over the wire: a group need not exist to have them.

use felice_protocol::{
    error::ErrorCode,
    messages::{
        api_versions::ApiVersionsRequest,
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        incremental_alter_configs::{AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest},
        list_config_resources::ListConfigResourcesRequest,
    },
};

use crate::{
    client::{Client, error},
    harness::Local,
};

const GROUP: i8 = 32;
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

fn described(client: &mut Client, group: &str) -> Result<Vec<(String, String, i8, bool)>, ErrorCode> {
    let resource = DescribeConfigsResource {
        resource_type: GROUP,
        resource_name: group.to_owned(),
        configuration_keys: None,
        ..DescribeConfigsResource::default()
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        ..DescribeConfigsRequest::default()
    };
    let result = client.call(4, &request).results.remove(0);
    match error(result.error_code) {
        ErrorCode::None => Ok(result
            .configs
            .into_iter()
            .map(|config| (config.name, config.value.unwrap(), config.config_source, config.read_only))
            .collect()),
        error => Err(error),
    }
}

fn alter(
    client: &mut Client,
    group: &str,
    operation: i8,
    name: &str,
    value: Option<&str>,
) -> (ErrorCode, Option<String>) {
    let config = AlterableConfig {
        name: name.to_owned(),
        config_operation: operation,
        value: value.map(str::to_owned),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource {
        resource_type: GROUP,
        resource_name: group.to_owned(),
        configs: vec![config],
        ..AlterConfigsResource::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let response = client.call(1, &request).responses.remove(0);
    assert_eq!((response.resource_type, &*response.resource_name), (GROUP, group));
    (error(response.error_code), response.error_message)
}

pub fn set_heartbeat_interval(client: &mut Client, group: &str, value: &str) {
    assert_eq!(alter(client, group, 0, HEARTBEAT, Some(value)), (ErrorCode::None, None));
}

/// `None` where the group goes by the broker's.
pub fn own_heartbeat_interval(client: &mut Client, group: &str) -> Option<String> {
    const OWN: i8 = 8;
    let configs = described(client, group).expect("any group has settings");
    configs.into_iter().find(|(name, _, source, _)| name == HEARTBEAT && *source == OWN).map(|(_, value, ..)| value)
}

#[test]
fn a_group_has_settings_of_its_own_and_keeps_them() {
    let settings = ["group.consumer.session.timeout.ms=46000"];
    let told = |heartbeat: (&str, i8)| {
        [
            ("consumer.assignment.interval.ms", "1000", 5),
            (HEARTBEAT, heartbeat.0, heartbeat.1),
            ("consumer.session.timeout.ms", "46000", 4),
        ]
        .map(|(name, value, source)| (name.to_owned(), value.to_owned(), source, false))
        .to_vec()
    };
    let broker = Local::start(&settings);
    let mut client = broker.client();
    assert_eq!(described(&mut client, "g"), Ok(told(("5000", 5))));
    assert_eq!(described(&mut client, ""), Err(ErrorCode::InvalidRequest));
    assert_eq!(alter(&mut client, "g", 0, HEARTBEAT, Some("6000")), (ErrorCode::None, None));
    assert_eq!(described(&mut client, "g"), Ok(told(("6000", 8))));
    assert_eq!(described(&mut client, "other"), Ok(told(("5000", 5))));
    let (code, message) = alter(&mut client, "g", 0, HEARTBEAT, Some("20000"));
    assert_eq!(code, ErrorCode::InvalidConfig);
    let bound = "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms";
    assert_eq!(message.as_deref(), Some(bound));
    drop(client);

    let broker = broker.restart(&settings);
    let mut client = broker.client();
    assert_eq!(described(&mut client, "g"), Ok(told(("6000", 8))), "after a restart");
    assert_eq!(alter(&mut client, "g", 1, HEARTBEAT, None), (ErrorCode::None, None));
    assert_eq!(described(&mut client, "g"), Ok(told(("5000", 5))));
}

#[test]
fn what_has_settings_is_listed_by_type() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    alter(&mut client, "b", 0, HEARTBEAT, Some("6000"));
    alter(&mut client, "a", 0, HEARTBEAT, Some("6000"));
    alter(&mut client, "gone", 0, HEARTBEAT, Some("6000"));
    alter(&mut client, "gone", 1, HEARTBEAT, None);
    let mut listed = |version, types: &[i8]| {
        let request = ListConfigResourcesRequest { resource_types: types.to_vec(), ..Default::default() };
        let response = client.call(version, &request);
        let resources = response.config_resources.into_iter().map(|each| (each.resource_type, each.resource_name));
        (error(response.error_code), resources.collect::<Vec<_>>())
    };
    let told = |expected: &[(i8, &str)]| {
        (ErrorCode::None, expected.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect::<Vec<_>>())
    };
    assert_eq!(listed(1, &[GROUP]), told(&[(GROUP, "a"), (GROUP, "b")]));
    assert_eq!(listed(1, &[2]), told(&[(2, "t")]));
    assert_eq!(listed(1, &[8, 4, 4]), told(&[(8, "1"), (4, "1")]));
    assert_eq!(listed(1, &[16]), told(&[]), "no client metrics");
    assert_eq!(listed(0, &[]), told(&[]), "version 0 knows of client metrics only");
    let all = told(&[(GROUP, "a"), (GROUP, "b"), (8, "1"), (4, "1"), (2, "t")]);
    assert_eq!(listed(1, &[]), all);
    for unknown in [&[0][..], &[1], &[GROUP, 99], &[-1]] {
        assert_eq!(listed(1, unknown), (ErrorCode::UnsupportedVersion, Vec::new()), "{unknown:?}");
    }
}

#[test]
fn the_version_of_groups_is_finalized() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    for version in [3, 4] {
        let request = ApiVersionsRequest {
            client_software_name: "tests".to_owned(),
            client_software_version: "1".to_owned(),
            ..ApiVersionsRequest::default()
        };
        let response = client.call(version, &request);
        let finalized: Vec<(&str, i16)> = response
            .finalized_features
            .iter()
            .map(|feature| (feature.name.as_str(), feature.max_version_level))
            .collect();
        assert_eq!(finalized, [("group.version", 1), ("metadata.version", 1)]);
        let supported: Vec<&str> = response.supported_features.iter().map(|feature| feature.name.as_str()).collect();
        // Those whose lowest level is 0 break older clients.
        let expected: &[&str] =
            if version == 3 { &["metadata.version"] } else { &["group.version", "metadata.version"] };
        assert_eq!(supported, expected);
    }
}
