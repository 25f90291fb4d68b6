// Producers and admin clients as a user makes them. kafkajs consumes only in groups; so what was sent is read back with the
// Fetch that its consumers are made of, asked for by hand.
"use strict";

const { Kafka, CompressionCodecs, CompressionTypes, logLevel } = require("kafkajs");
const Cluster = require("kafkajs/src/cluster");
const { createLogger } = require("kafkajs/src/loggers");
const LoggerConsole = require("kafkajs/src/loggers/console");
const socketFactory = require("kafkajs/src/network/socketFactory");
const SnappyCodec = require("kafkajs-snappy");
const lz4 = require("lz4-napi");
const zstd = require("@bokuweb/zstd-wasm");
const { LIMIT_MS, require: demand, settled } = require("./harness");

const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD };
const RETRY = { retries: 100, initialRetryTime: 50, maxRetryTime: 300 };
const READ_UNCOMMITTED = 0;

/** kafkajs has gzip and takes the others from whoever brings them. */
async function installCodecs() {
  await zstd.init();
  CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
  CompressionCodecs[CompressionTypes.LZ4] = () => codec(lz4.compressFrame, lz4.decompressFrame);
  CompressionCodecs[CompressionTypes.ZSTD] = () => codec((bytes) => zstd.compress(bytes, 3), zstd.decompress);
}

function codec(compress, decompress) {
  return {
    compress: async (encoder) => Buffer.from(await compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from(await decompress(buffer)),
  };
}

function kafka(broker, retry = { retries: 2 }) {
  return new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING, retry });
}

async function withAdmin(broker, use) {
  const admin = kafka(broker).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

async function withProducer(broker, { retry, ...settings }, use) {
  const producer = kafka(broker, retry).producer({ allowAutoTopicCreation: false, ...settings });
  await producer.connect();
  try {
    return await use(producer);
  } finally {
    await producer.disconnect();
  }
}

/** Creates topics, {name: [partitions, {setting: value}]}, and waits until the broker serves all their partitions: Kafka
 * answers CreateTopics a little before. */
async function create(broker, topics) {
  await withAdmin(broker, async (admin) => {
    const wanted = Object.entries(topics).map(([topic, [numPartitions, settings = {}]]) => {
      const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
      return { topic, numPartitions, configEntries };
    });
    await admin.createTopics({ topics: wanted });
    for (const { topic, numPartitions } of wanted) {
      await settled(`created and served: ${topic}`, numPartitions, async () => {
        const offsets = await admin.fetchTopicOffsets(topic).catch(() => []);
        return offsets.length;
      });
    }
  });
}

/** The Fetch of kafkajs' consumers, without a group. */
class Reader {
  constructor(broker) {
    this.cluster = new Cluster({
      logger: createLogger({ level: logLevel.NOTHING, logCreator: LoggerConsole }),
      socketFactory: socketFactory(),
      brokers: [broker.address],
      clientId: "reader",
      connectionTimeout: 1000,
      metadataMaxAge: 300_000,
      retry: RETRY,
      allowAutoTopicCreation: false,
      isolationLevel: READ_UNCOMMITTED,
    });
  }

  async connect(topic) {
    await this.cluster.connect();
    await this.cluster.addTargetTopic(topic);
    return this;
  }

  /** One request for {partition: offset}; returns the partitions of its answer. */
  async fetch(topic, offsets, { maxWaitTime = 500, minBytes = 1, maxBytes = 50_000_000, partitionBytes = 1_000_000 } = {}) {
    const [{ leader }] = this.cluster.findTopicPartitionMetadata(topic);
    const broker = await this.cluster.findBroker({ nodeId: String(leader) });
    const partitions = Object.entries(offsets).map(([partition, fetchOffset]) => ({ partition: Number(partition), fetchOffset: String(fetchOffset), maxBytes: partitionBytes }));
    const answer = await broker.fetch({ isolationLevel: READ_UNCOMMITTED, maxWaitTime, minBytes, maxBytes, topics: [{ topic, partitions }] });
    return answer.responses.flatMap((each) => each.partitions);
  }

  /** All records from the beginning to `wanted` of them, in the order in which they came; a gap in a partition's offsets is an
   * error. A broker that is gone for a while is asked again. */
  async follow(topic, partitions, wanted, more = {}) {
    const next = Object.fromEntries(Array.from({ length: partitions }, (_, n) => [n, 0]));
    const records = [];
    const deadline = Date.now() + LIMIT_MS;
    while (records.length < wanted) {
      demand(`${topic}: only ${records.length} of ${wanted} records came`, Date.now() < deadline);
      let answered;
      try {
        answered = await this.fetch(topic, next, more);
      } catch (error) {
        if (!error.retriable) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
        await this.cluster.refreshMetadata().catch(() => {});
        continue;
      }
      for (const { partition, messages } of answered) {
        for (const message of messages.filter((each) => Number(each.offset) >= next[partition])) {
          demand(`${topic}-${partition}: ${message.offset} instead of ${next[partition]}`, Number(message.offset) === next[partition]);
          next[partition]++;
          records.push({ partition, ...message });
        }
      }
    }
    return records;
  }

  disconnect() {
    return this.cluster.disconnect();
  }
}

/** Every record of a topic, to the end offsets of now where `wanted` is not given. */
async function read(broker, topic, partitions, wanted, more) {
  wanted ??= (await ends(broker, topic)).reduce((sum, end) => sum + end, 0);
  const reader = await new Reader(broker).connect(topic);
  try {
    return await reader.follow(topic, partitions, wanted, more);
  } finally {
    await reader.disconnect();
  }
}

/** The end offsets of a topic's partitions, in their order. */
async function ends(broker, topic) {
  const offsets = await withAdmin(broker, (admin) => admin.fetchTopicOffsets(topic));
  return offsets.sort((one, other) => one.partition - other.partition).map((each) => Number(each.offset));
}

module.exports = { CODECS, RETRY, Reader, create, ends, installCodecs, kafka, read, withAdmin, withProducer };
