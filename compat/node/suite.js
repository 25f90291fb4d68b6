// kafkajs against a broker: its producer, its admin client, and the Fetch that its consumers are made of.
"use strict";

const { version } = require("kafkajs/package.json");
const { adminCalls } = require("./admin");
const { installCodecs } = require("./clients");
const { restarts } = require("./crash");
const { acks, everyCodec, justTooLarge, many, reading, shapes, timestamps } = require("./data");
const { Broker, pass } = require("./harness");

async function main() {
  console.log(`  kafkajs ${version}, Node ${process.versions.node}`);
  await installCodecs();
  const broker = new Broker();
  try {
    await broker.start();
    for (const part of [adminCalls, everyCodec, shapes, timestamps, acks, justTooLarge, reading, many, restarts]) {
      const start = Date.now();
      await part(broker);
      console.log(`  ${part.name}: ${((Date.now() - start) / 1000).toFixed(1)} s`);
    }
    await broker.stop();
    pass("the broker stops cleanly");
  } catch (failure) {
    console.error(`  FAIL ${failure.message}`);
    console.error(failure);
    process.exitCode = 1;
  } finally {
    await broker.remove();
  }
  process.exit();
}

main();
