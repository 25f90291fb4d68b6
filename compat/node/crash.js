// kill -9 and then a clean restart of the broker while an idempotent producer, a plain one and a reader are at work. The
// producers have acks=all and are told nothing of it: they retry.
"use strict";

const { RETRY, Reader, create, read, withProducer } = require("./clients");
const { SCALE, pass, require: demand, same } = require("./harness");
const { range } = require("./data");

const COUNT = 12_000 * SCALE;
const A_SEND = 20;
const PARTITIONS = 4;

async function restarts(broker) {
  await create(broker, { once: [PARTITIONS], plain: [PARTITIONS] });
  const senders = [new Sender("once", { idempotent: true, maxInFlightRequests: 1 }), new Sender("plain", {})];
  const reader = await new Reader(broker).connect("once");
  const sending = senders.map((sender) => sender.run(broker));
  const following = reader.follow("once", PARTITIONS, COUNT);
  const all = Promise.all([...sending, following]);

  for (const [stage, stop] of [() => broker.kill(), () => broker.stop()].entries()) {
    await Promise.race([all, Promise.all(senders.map((sender) => sender.reached[stage]))]);
    await stop();
    await broker.start();
  }
  const [, , followed] = await all;
  await reader.disconnect();

  const expected = range(PARTITIONS).map((partition) => range(COUNT).filter((n) => n % PARTITIONS === partition));
  same("the idempotent producer's: all are there, in order, once", expected, numbers(await read(broker, "once", PARTITIONS)));
  same("a reader that read on has all, in order, once", expected, numbers(followed));
  const stored = new Set((await read(broker, "plain", PARTITIONS)).map(({ value }) => Number(value)));
  same("acknowledged to the producer without idempotence, and lost", [], range(COUNT).filter((n) => !stored.has(n)));
  pass(`${COUNT} messages of each producer outlived a kill -9 and a clean restart`);
}

/** Sends COUNT numbers and counts on each being acknowledged. `reached` are the moments at which a sixth and a half are. */
class Sender {
  constructor(topic, settings) {
    this.topic = topic;
    this.settings = settings;
    this.reached = range(2).map(() => new Promise((resolve) => (this.resolves ??= []).push(resolve)));
  }

  run(broker) {
    return withProducer(broker, { ...this.settings, retry: RETRY }, async (producer) => {
      for (let from = 0; from < COUNT; from += A_SEND) {
        const messages = range(A_SEND).map((n) => ({ partition: (from + n) % PARTITIONS, value: String(from + n) }));
        const answers = await producer.send({ topic: this.topic, messages });
        demand(`acknowledgements of ${this.topic}`, answers.every(({ errorCode }) => errorCode === 0));
        if (from >= COUNT / 6) this.resolves[0]();
        if (from >= COUNT / 2) this.resolves[1]();
      }
    });
  }
}

function numbers(records) {
  const found = range(PARTITIONS).map(() => []);
  for (const { partition, value } of records) found[partition].push(Number(value));
  return found;
}

module.exports = { restarts };
