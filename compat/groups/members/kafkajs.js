// One member of a group over kafkajs. It has no callbacks for what is assigned and revoked, only events after the fact:
// whatever it owned is said to be revoked when it hears that it has to join again.
"use strict";

const { Kafka, logLevel } = require("kafkajs");
const readline = require("node:readline");

const OPTIONS = Object.fromEntries(process.argv.slice(2).map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]));
const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ at: Date.now(), event, ...fields }) + "\n");

const kafka = new Kafka({ brokers: [OPTIONS.address], logLevel: logLevel.NOTHING, retry: { retries: 100, initialRetryTime: 50, maxRetryTime: 300 } });
const consumer = kafka.consumer({
  groupId: OPTIONS.group,
  sessionTimeout: Number(OPTIONS.session_ms),
  heartbeatInterval: Number(OPTIONS.heartbeat_ms),
  maxWaitTimeInMs: 100,
  metadataMaxAge: 1000,
});
let owned = [];
let committing = true;
let closing = false;

function let_go() {
  if (owned.length) say("revoked", { partitions: owned });
  owned = [];
}

async function main() {
  consumer.on(consumer.events.REBALANCING, let_go);
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    let_go();
    owned = Object.entries(payload.memberAssignment).flatMap(([topic, numbers]) => numbers.map((number) => [topic, number]));
    say("assigned", { partitions: owned });
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (payload.restart) return;
    say("error", { error: String(payload.error) });
    process.exit(1);
  });
  listen();
  await consumer.connect();
  await consumer.subscribe({ topics: OPTIONS.topics.split(","), fromBeginning: true });
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch });
}

async function eachBatch({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }) {
  if (!isRunning() || isStale() || !batch.messages.length) return;
  say("records", { records: batch.messages.map((each) => [batch.topic, batch.partition, Number(each.offset), each.value.toString()]) });
  const last = batch.messages[batch.messages.length - 1].offset;
  resolveOffset(last);
  if (committing) await commit(commitOffsetsIfNecessary, batch.topic, batch.partition, (BigInt(last) + 1n).toString());
  await heartbeat();
}

async function commit(commitOffsets, topic, partition, offset) {
  try {
    await commitOffsets({ topics: [{ topic, partitions: [{ partition, offset }] }] });
    say("committed", { offsets: [[topic, partition, Number(offset)]] });
  } catch (failure) {
    say("refused", { error: String(failure) });
    throw failure; // from which kafkajs sees that it has to join again
  }
}

/** Obeys standard input; where that ends, the driver is gone. */
function listen() {
  const commands = readline.createInterface({ input: process.stdin });
  commands.on("line", async (command) => {
    if (command === "close") {
      closing = true;
      await consumer.disconnect();
      let_go();
      say("closed");
      process.exit(0);
    }
    committing = command === "resume-commits";
  });
  commands.on("close", () => closing || process.exit(2));
}

main();
