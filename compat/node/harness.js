// The broker under test, and the ways to say what is expected of it.
"use strict";

const { execFile } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { inspect, isDeepStrictEqual, promisify } = require("node:util");

const COMPAT = path.dirname(__dirname);
const SCALE = Number(process.env.COMPAT_SCALE ?? 1);
const LIMIT_MS = 100_000;

const output = async (command, ...args) => (await promisify(execFile)(path.join(COMPAT, command), args)).stdout.trim();

class Broker {
  constructor() {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "felice-kafkajs"));
  }

  async start() {
    this.address = await output("broker", "start", this.folder, "--set", "auto.create.topics.enable=false");
    this.data = await output("broker", "data", this.folder);
  }

  kill() {
    return output("broker", "kill", this.folder);
  }

  stop() {
    return output("broker", "stop", this.folder);
  }

  /** The codecs that the batches of a topic carry in the broker's segment files. */
  async storedCodecs(topic) {
    return (await output("segment", "codecs", this.data, topic)).split("\n");
  }

  async remove() {
    await this.kill();
    fs.rmSync(this.folder, { recursive: true });
  }
}

function pass(check) {
  console.log(`  ok   ${check}`);
}

function require_(claim, holds) {
  if (!holds) throw new Error(claim);
}

function same(check, expected, actual) {
  const shown = (value) => inspect(value, { depth: 5, breakLength: 200 }).slice(0, 400);
  require_(`${check}: expected <${shown(expected)}>, got <${shown(actual)}>`, isDeepStrictEqual(actual, expected));
  pass(check);
}

/** What an admin call changed is there when it is answered; but Kafka answers from the controller, a little before its broker
 * has heard of the change, so that there it may take up to 10 s. */
async function settled(check, expected, read) {
  const deadline = Date.now() + (process.env.BROKER === "kafka" ? 10_000 : 0);
  let actual = await read();
  while (!isDeepStrictEqual(actual, expected) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    actual = await read();
  }
  same(check, expected, actual);
}

/** That a call fails with this error of Kafka's, by its name. */
async function refused(check, name, call) {
  let failure;
  try {
    failure = `no error but ${inspect(await call())}`;
  } catch (error) {
    failure = errorName(error);
  }
  same(`refused: ${check}`, name, failure);
}

/** kafkajs wraps what the broker said. */
function errorName(error) {
  if (error.errors?.length) return errorName(error.errors[0]);
  if (error.type) return error.type;
  return error.cause ? errorName(error.cause) : String(error);
}

module.exports = { Broker, LIMIT_MS, SCALE, errorName, pass, refused, require: require_, same, settled };
