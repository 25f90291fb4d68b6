//! Authorized operations (KIP-430) as a bit field: bit n is the operation with code n. Without an authorizer, all that
//! exist for the resource are allowed.

/// "Not asked for".
const OMITTED: i32 = i32::MIN;

const CREATE: i32 = 1 << 5;
const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const DELETE: i32 = 1 << 6;
const ALTER: i32 = 1 << 7;
const DESCRIBE: i32 = 1 << 8;
const CLUSTER_ACTION: i32 = 1 << 9;
const DESCRIBE_CONFIGS: i32 = 1 << 10;
const ALTER_CONFIGS: i32 = 1 << 11;
const IDEMPOTENT_WRITE: i32 = 1 << 12;

/// What may be done with a topic.
pub fn topic(asked: bool) -> i32 {
    let all = READ | WRITE | CREATE | DELETE | ALTER | DESCRIBE | DESCRIBE_CONFIGS | ALTER_CONFIGS;
    if asked { all } else { OMITTED }
}

/// What may be done with a group.
pub fn group(asked: bool) -> i32 {
    let all = READ | DELETE | DESCRIBE | DESCRIBE_CONFIGS | ALTER_CONFIGS;
    if asked { all } else { OMITTED }
}

/// What may be done with the cluster.
pub fn cluster(asked: bool) -> i32 {
    let all = CREATE | ALTER | DESCRIBE | CLUSTER_ACTION | DESCRIBE_CONFIGS | ALTER_CONFIGS | IDEMPOTENT_WRITE;
    if asked { all } else { OMITTED }
}
