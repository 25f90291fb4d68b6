// What is sent comes back: every codec, every shape of message, every timestamp, every acks, and a large number.
"use strict";

const { createHash, randomBytes } = require("node:crypto");
const { isDeepStrictEqual } = require("node:util");
const { CODECS, Reader, create, ends, read, withAdmin, withProducer } = require("./clients");
const { errorName, require: demand, same } = require("./harness");

const A_CODEC = 5000;
const A_SEND = 500;
const MANY = 200_000;
const LARGE = 900_000;
const PARTITIONS = 10;

async function everyCodec(broker) {
  const partitions = 3;
  const names = Object.keys(CODECS);
  await create(broker, Object.fromEntries(names.map((codec) => [`codec-${codec}`, [partitions]])));
  for (const codec of names) {
    const topic = `codec-${codec}`;
    const sent = range(A_CODEC).map((n) => ({ partition: n % partitions, key: Buffer.from(`${n}`), value: letter(n) }));
    await withProducer(broker, {}, async (producer) => {
      for (let from = 0; from < A_CODEC; from += A_SEND) {
        // A large message goes alone, so that no batch is larger than it may be.
        const some = sent.slice(from, from + A_SEND);
        const small = some.filter(({ value }) => value.length < LARGE / 2);
        const large = some.filter(({ value }) => value.length >= LARGE / 2);
        for (const messages of [small, ...large.map((each) => [each])]) {
          if (messages.length) await producer.send({ topic, compression: CODECS[codec], messages });
        }
      }
    });
    const back = await read(broker, topic, partitions);
    const hash = ({ partition, key, value }) => `${partition} ${key} ${digest(value)}`;
    demand(`${codec}: what came back differs`, equalSets(sent.map(hash), back.map(hash)));
    const inOrder = (n) => back.filter((each) => each.partition === n && each.value.length < LARGE / 2).map(({ key }) => Number(key));
    demand(`${codec}: the order differs`, range(partitions).every((n) => inOrder(n).every((key, at, all) => at === 0 || all[at - 1] < key)));
    same(`${codec}: ${A_CODEC} came back by hash, in order; the codec of the stored batches`, [codec], await broker.storedCodecs(topic));
  }
}

/** Of many sizes, five of 900 KB; one in a hundred is empty. */
function letter(n) {
  if (n % 100 === 99) return Buffer.alloc(0);
  const text = Buffer.from(`Liebste Felice, dies ist Brief Nummer ${n}, und es folgen noch viele${", und noch viele".repeat(10 + (n % 100))}`);
  return n % 1000 === 500 ? Buffer.alloc(LARGE, text) : text;
}

async function shapes(broker) {
  await create(broker, { shapes: [1] });
  const headers = { several: ["1", "2"], empty: "", größe: randomBytes(10_000), "": "no name" };
  const sent = [
    { key: "k", value: "v" },
    { key: null, value: "no key" },
    { key: "no value", value: null },
    { key: null, value: null },
    { key: "", value: "" },
    { key: "Schlüssel 🦉", value: "v", headers },
    { key: "large", value: randomBytes(LARGE) },
  ];
  await withProducer(broker, {}, (producer) => producer.send({ topic: "shapes", messages: sent }));
  const bytes = (value) => (value === null || Buffer.isBuffer(value) ? value : Buffer.from(value));
  const all = (value) => (Array.isArray(value) ? value.map(bytes) : bytes(value));
  const expected = sent.map(({ key, value, headers = {} }) => [bytes(key), bytes(value), Object.fromEntries(Object.entries(headers).map(([name, each]) => [name, all(each)]))]);
  const back = (await read(broker, "shapes", 1)).map(({ key, value, headers }) => [key, value, headers]);
  same("null and empty keys and values, 900 KB and headers come back as they were", expected, back);
}

async function timestamps(broker) {
  await create(broker, { created: [1], appended: [1, { "message.timestamp.type": "LogAppendTime" }] });
  const base = Date.now() - 3_600_000;
  const times = [100, 200, 300, 400, 400, 450].map((each) => base + each);
  const messages = times.map((timestamp) => ({ value: "v", timestamp: String(timestamp) }));
  const before = Date.now();
  const appended = await withProducer(broker, {}, async (producer) => {
    await producer.send({ topic: "created", messages });
    return (await producer.send({ topic: "appended", messages }))[0];
  });
  const after = Date.now();
  same("create times", times, (await read(broker, "created", 1)).map((each) => Number(each.timestamp)));
  const stamps = (await read(broker, "appended", 1)).map((each) => Number(each.timestamp));
  same("one append time for the batch", [stamps[0]], [...new Set(stamps)]);
  demand(`append time ${stamps[0]} is the broker's`, before <= stamps[0] && stamps[0] <= after);
  same("the acknowledgement has it", String(stamps[0]), appended.logAppendTime);
  await withAdmin(broker, async (admin) => {
    for (const [sought, offset] of [[0, 0], [100, 0], [101, 1], [250, 2], [300, 2], [301, 3], [400, 3], [401, 5], [450, 5]]) {
      const [found] = await admin.fetchTopicOffsetsByTimestamp("created", base + sought);
      same(`first offset at or after ${sought} ms within the batch`, String(offset), found.offset);
    }
    const [beyond] = await admin.fetchTopicOffsetsByTimestamp("created", base + 451);
    same("after all of them: the end offset, as kafkajs has it", "6", beyond.offset);
  });
}

async function acks(broker) {
  await create(broker, { acks: [1] });
  await withProducer(broker, {}, async (producer) => {
    for (const [at, each] of [1, -1, 0].entries()) {
      const answer = await producer.send({ topic: "acks", acks: each, messages: [{ value: String(each) }] });
      if (each !== 0) same(`acks=${each}: the offset`, String(at), answer[0].baseOffset);
    }
  });
  const back = await read(broker, "acks", 1, 3);
  same("one each of acks 1, -1 and 0 is there", ["1", "-1", "0"], back.map(({ value }) => String(value)));
}

/** A batch may be as large as max.message.bytes, and not a byte larger. */
async function justTooLarge(broker) {
  const limit = 100_000;
  const overhead = 72; // batch header 61, and a record's 11 around a value of this size
  await create(broker, { limited: [1, { "max.message.bytes": String(limit) }] });
  const send = (length) => withProducer(broker, {}, (producer) => producer.send({ topic: "limited", messages: [{ value: Buffer.alloc(length) }] }));
  await send(limit - overhead);
  const failure = await send(limit - overhead + 1).then(() => "none", errorName);
  same("a batch of max.message.bytes is taken, one byte more", "MESSAGE_TOO_LARGE", failure);
  same("only the first is there", [1], await ends(broker, "limited"));
}

/** Where a reader begins, what it waits for, and what it is told where nothing is. */
async function reading(broker) {
  await create(broker, { read: [2], wait: [1] });
  await withProducer(broker, {}, async (producer) => {
    for (const n of range(20)) await producer.send({ topic: "read", messages: [{ partition: n % 2, value: String(n).repeat(2000) }] });
  });
  const reader = await new Reader(broker).connect("read");
  await reader.cluster.addTargetTopic("wait");
  const offsets = (answer) => answer.flatMap(({ partition, messages }) => messages.map(({ offset }) => [partition, Number(offset)])).sort();
  same("from different offsets at once", [[0, 8], [0, 9], [1, 9]], offsets(await reader.fetch("read", { 0: 8, 1: 9 })));
  same("at the end, nothing", [], offsets(await reader.fetch("read", { 0: 10 }, { maxWaitTime: 10 })));
  same("too small a limit brings one batch nevertheless", 1, (await reader.fetch("read", { 0: 0, 1: 0 }, { maxBytes: 1, partitionBytes: 1 })).flatMap(({ messages }) => messages).length);
  same("and everybody gets on", 20, (await read(broker, "read", 2, 20, { maxBytes: 1000 })).length);
  const beyond = await reader.fetch("read", { 0: 11 }).then(() => "none", errorName);
  same("beyond the end", "OFFSET_OUT_OF_RANGE", beyond);

  const start = Date.now();
  const late = new Promise((resolve) => setTimeout(resolve, 300)).then(() => withProducer(broker, {}, (producer) => producer.send({ topic: "wait", messages: [{ value: "late" }] })));
  const [{ messages }] = await reader.fetch("wait", { 0: 0 }, { maxWaitTime: 20_000 });
  const waited = Date.now() - start;
  await late;
  same("what comes while a fetch waits", ["late"], messages.map(({ value }) => String(value)));
  demand(`it came after ${waited} ms of a fetch that may wait 20 s`, waited >= 250 && waited < 10_000);
  const before = Date.now();
  await reader.fetch("wait", { 0: 0 }, { maxWaitTime: 500, minBytes: 1_000_000 });
  demand(`less than minBytes comes only after maxWaitTime, not ${Date.now() - before} ms`, Date.now() - before >= 490);
  await reader.disconnect();
}

async function many(broker) {
  await create(broker, { many: [PARTITIONS] });
  const value = (n) => `Brief ${n}, und es folgen noch viele, und noch viele`;
  const sent = range(PARTITIONS).map(() => createHash("sha256"));
  await withProducer(broker, { idempotent: true, maxInFlightRequests: 1 }, async (producer) => {
    for (let from = 0; from < MANY; from += 2000) {
      const messages = range(2000).map((n) => ({ partition: (from + n) % PARTITIONS, value: value(from + n) }));
      messages.forEach((message) => sent[message.partition].update(message.value));
      const answer = await producer.send({ topic: "many", compression: CODECS.gzip, messages });
      demand("acknowledged at other offsets than those of sending", answer.every(({ baseOffset }) => Number(baseOffset) === from / PARTITIONS));
    }
  });
  const received = range(PARTITIONS).map(() => createHash("sha256"));
  for (const record of await read(broker, "many", PARTITIONS)) received[record.partition].update(record.value);
  const hex = (hashes) => hashes.map((hash) => hash.digest("hex").slice(0, 8));
  same(`${MANY} messages: hashes of the partitions`, hex(sent), hex(received));
}

function range(count) {
  return Array.from({ length: count }, (_, n) => n);
}

function digest(value) {
  return createHash("sha256").update(value).digest("hex");
}

function equalSets(one, other) {
  return isDeepStrictEqual([...one].sort(), [...other].sort());
}

module.exports = { acks, everyCodec, justTooLarge, many, range, reading, shapes, timestamps };
