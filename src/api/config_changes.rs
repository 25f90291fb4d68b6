//! What AlterConfigs and IncrementalAlterConfigs have in common: one asks for changes resource by resource and is answered so.
//!
//! Topics and groups. A broker's settings are those of its properties file: changing them at run time is refused.

use std::{collections::HashMap, sync::Arc};

use felice_protocol::error::ErrorCode;

use super::{
    Answer, Context,
    describe_configs::{BROKER, GROUP, TOPIC},
    refusal,
};
use crate::controller::{
    AlterConfigs, AlterGroupConfigs, Command, ConfigChange, GroupConfigChanges, Reply, TopicConfigChanges,
};

/// A resource whose settings a request changes.
pub struct Resource {
    pub kind: i8,
    pub name: String,
    /// The changes, or why they are none.
    pub changes: Result<Vec<ConfigChange>, (ErrorCode, String)>,
}

/// What became of the changes to a resource.
pub struct Altered {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
}

/// Makes the changes. With `replaces_all`, settings that a resource's changes do not name go back to their defaults.
pub fn alter<R: Send + 'static>(
    cx: &Context<'_>,
    resources: Vec<Resource>,
    replaces_all: bool,
    validate_only: bool,
    respond: fn(Vec<Altered>) -> R,
) -> Answer<R> {
    let mut counts: HashMap<(i8, String), usize> = HashMap::new();
    for resource in &resources {
        *counts.entry((resource.kind, resource.name.clone())).or_default() += 1;
    }
    let mut answers = Vec::new();
    let (mut topics, mut groups) = (Vec::new(), Vec::new());
    for resource in resources {
        let duplicate = counts.get(&(resource.kind, resource.name.clone())).is_some_and(|count| *count > 1);
        match checked(resource.kind, duplicate).and(resource.changes) {
            Ok(changes) if resource.kind == GROUP => {
                groups.push(GroupConfigChanges { group: resource.name, changes, replaces_all });
            }
            Ok(changes) => topics.push(TopicConfigChanges { topic: resource.name, changes, replaces_all }),
            Err((error, message)) => answers.push(Altered {
                error_code: error.code(),
                error_message: Some(message),
                resource_type: resource.kind,
                resource_name: resource.name,
            }),
        }
    }
    if topics.is_empty() && groups.is_empty() {
        return Answer::Now(respond(answers));
    }
    let mut commands = Vec::new();
    if !topics.is_empty() {
        let names: Vec<String> = topics.iter().map(|topic| topic.topic.clone()).collect();
        commands.push((TOPIC, names, Command::AlterConfigs(AlterConfigs { topics, validate_only })));
    }
    if !groups.is_empty() {
        let names: Vec<String> = groups.iter().map(|group| group.group.clone()).collect();
        let broker = cx.services.config.groups.consumer.clone();
        let command = AlterGroupConfigs { groups, broker, validate_only };
        commands.push((GROUP, names, Command::AlterGroupConfigs(command)));
    }
    let services = Arc::clone(cx.services);
    let principal = cx.principal.clone();
    Answer::Later(Box::pin(async move {
        for (resource_type, names, command) in commands {
            let answer = |resource_name, (error_code, error_message)| Altered {
                error_code,
                error_message,
                resource_type,
                resource_name,
            };
            match services.quorum.submit(&principal, command).await {
                Ok(Reply::AlterConfigs(results) | Reply::AlterGroupConfigs(results)) => {
                    answers.extend(results.into_iter().map(|(name, result)| answer(name, refusal::of(&result))));
                }
                Ok(_) => {
                    let failed = (ErrorCode::UnknownServerError.code(), None);
                    answers.extend(names.into_iter().map(|name| answer(name, failed.clone())));
                }
                Err(error) => {
                    answers.extend(names.into_iter().map(|name| answer(name, refusal::of_submit(&error))));
                }
            }
        }
        respond(answers)
    }))
}

fn checked(kind: i8, duplicate: bool) -> Result<(), (ErrorCode, String)> {
    if duplicate {
        return Err((ErrorCode::InvalidRequest, "Each resource must appear at most once.".to_owned()));
    }
    match kind {
        TOPIC | GROUP => Ok(()),
        BROKER => Err((
            ErrorCode::InvalidRequest,
            "Changing broker settings at run time is not supported; they are set in the properties file.".to_owned(),
        )),
        other => Err((ErrorCode::InvalidRequest, format!("Unsupported resource type: {other}"))),
    }
}
