// kafkajs' admin client, as far as topics and their settings go. Errors are compared by Kafka's names.
"use strict";

const { ConfigResourceTypes } = require("kafkajs");
const { withAdmin } = require("./clients");
const { refused, require: demand, same, settled } = require("./harness");

async function adminCalls(broker) {
  await withAdmin(broker, async (admin) => {
    const node = await cluster(admin, broker);
    await topics(admin, node);
    await refusedTopics(admin, node);
    await partitions(admin);
    await settings(admin);
    await deleted(admin);
  });
}

async function cluster(admin, broker) {
  const { brokers, controller, clusterId } = await admin.describeCluster();
  same("one node, with the address by which it was reached", [broker.address], brokers.map(({ host, port }) => `${host}:${port}`));
  same("which is the controller", brokers[0].nodeId, controller);
  demand(`cluster id ${clusterId}`, clusterId.length === 22);
  return controller;
}

async function topics(admin, node) {
  await admin.createTopics({ topics: [{ topic: "dry", numPartitions: 3 }], validateOnly: true, waitForLeaders: false });
  demand("validateOnly creates nothing", !(await admin.listTopics()).includes("dry"));
  const assigned = [0, 1].map((partition) => ({ partition, replicas: [node] }));
  const configEntries = [{ name: "segment.ms", value: "1234567" }, { name: "cleanup.policy", value: "delete" }];
  const wanted = [{ topic: "ten", numPartitions: 10 }, { topic: "defaults" }, { topic: "assigned", replicaAssignment: assigned }, { topic: "settings", configEntries }];
  same("topics are created", true, await admin.createTopics({ topics: wanted }));
  same("creating them again", false, await admin.createTopics({ topics: wanted }));
  await settled("topics", ["assigned", "defaults", "settings", "ten"], async () => (await admin.listTopics()).filter((name) => !name.startsWith("__")).sort());
  const [{ partitions: ten }] = (await admin.fetchTopicMetadata({ topics: ["ten"] })).topics;
  const shown = ten.map(({ partitionId, leader, replicas, isr }) => [partitionId, leader, replicas, isr]).sort((one, other) => one[0] - other[0]);
  same("leader, replicas and ISR of ten partitions", Array.from({ length: 10 }, (_, n) => [n, node, [node], [node]]), shown);
  await refused("describing an unknown topic", "UNKNOWN_TOPIC_OR_PARTITION", () => admin.fetchTopicMetadata({ topics: ["nowhere"] }));
}

async function refusedTopics(admin, node) {
  for (const [check, name, topic] of [
    ["a name with a slash", "INVALID_TOPIC_EXCEPTION", { topic: "a/b" }],
    ["an empty name", "INVALID_TOPIC_EXCEPTION", { topic: "" }],
    ["a name of 250 characters", "INVALID_TOPIC_EXCEPTION", { topic: "x".repeat(250) }],
    ["no partitions", "INVALID_PARTITIONS", { topic: "zero", numPartitions: 0 }],
    ["three replicas on one broker", "INVALID_REPLICATION_FACTOR", { topic: "three", replicationFactor: 3 }],
    ["an unknown broker", "INVALID_REPLICA_ASSIGNMENT", { topic: "nobody", replicaAssignment: [{ partition: 0, replicas: [node + 77] }] }],
    ["an unknown setting", "INVALID_CONFIG", { topic: "bad", configEntries: [{ name: "no.such", value: "1" }] }],
    ["a bad value", "INVALID_CONFIG", { topic: "bad", configEntries: [{ name: "segment.ms", value: "soon" }] }],
    ["100,000 partitions", "POLICY_VIOLATION", { topic: "huge", numPartitions: 100_000 }],
  ]) {
    await refused(check, name, () => admin.createTopics({ topics: [topic] }));
  }
}

async function partitions(admin) {
  const grow = (topic, count, validateOnly = false) => admin.createPartitions({ topicPartitions: [{ topic, count }], validateOnly });
  const count = async () => (await admin.fetchTopicMetadata({ topics: ["assigned"] })).topics[0].partitions.length;
  await grow("assigned", 4, true);
  same("validateOnly adds none", 2, await count());
  await grow("assigned", 4);
  await settled("two more partitions", 4, count);
  await refused("fewer partitions", "INVALID_PARTITIONS", () => grow("assigned", 2));
  await refused("partitions of an unknown topic", "UNKNOWN_TOPIC_OR_PARTITION", () => grow("nowhere", 2));
}

/** kafkajs has only the old AlterConfigs, which takes away whatever setting it does not name. */
async function settings(admin) {
  const type = ConfigResourceTypes.TOPIC;
  const describe = async (...names) => {
    const { resources } = await admin.describeConfigs({ resources: [{ type, name: "settings", configNames: names }], includeSynonyms: true });
    return Object.fromEntries(resources[0].configEntries.map(({ configName, configValue }) => [configName, configValue]));
  };
  const alter = (name, setting, value) => admin.alterConfigs({ resources: [{ type, name, configEntries: [{ name: setting, value }] }] });
  const named = ["segment.ms", "cleanup.policy", "max.message.bytes"];
  same("settings given, and a default", { "segment.ms": "1234567", "cleanup.policy": "delete", "max.message.bytes": "1048588" }, await describe(...named));
  demand("every setting is told where none is named", Object.keys(await describe()).length > 15);
  await alter("settings", "max.message.bytes", "2000000");
  await settled("altered, and what was not named is back at its default", { "segment.ms": "604800000", "max.message.bytes": "2000000" }, () => describe("segment.ms", "max.message.bytes"));
  await refused("a bad value", "INVALID_CONFIG", () => alter("settings", "segment.ms", "soon"));
  await refused("an unknown setting", "INVALID_CONFIG", () => alter("settings", "no.such", "1"));
  await refused("altering an unknown topic", "UNKNOWN_TOPIC_OR_PARTITION", () => alter("nowhere", "segment.ms", "1"));
  await refused("settings of an unknown topic", "UNKNOWN_TOPIC_OR_PARTITION", () => admin.describeConfigs({ resources: [{ type, name: "nowhere" }] }));
}

async function deleted(admin) {
  await admin.deleteTopics({ topics: ["ten", "defaults", "assigned", "settings"] });
  await settled("all topics are deleted", [], async () => (await admin.listTopics()).filter((name) => !name.startsWith("__")));
  await refused("deleting it again", "UNKNOWN_TOPIC_OR_PARTITION", () => admin.deleteTopics({ topics: ["ten"] }));
}

module.exports = { adminCalls };
