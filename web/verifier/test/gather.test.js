/** What a walk over the index asks for, and where a hostile log cannot send it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Subject, componentKey, gather } from "../gather.js";
import { by, ofVersion } from "../index-keys.js";
import * as limits from "../limits.js";

/** @import { Entry } from "../entry.js" */

const LAB = "lab.example";
const BUILD = "PCR0=sha384:aa";

/** @param {number} number */
function digest(number) {
  return number.toString(16).padStart(64, "0");
}

/** A log in memory: what stands under each key, and what was asked. */
class Log {
  /** @type {Map<string, Entry[]>} */
  #answers = new Map();
  /** @type {string[]} */
  asked = [];
  #size = 0;

  /**
   * @param {readonly string[]} keys
   * @param {object} predicate
   * @param {string[]} [measurements]
   */
  add(keys, predicate, measurements = []) {
    const index = this.#size;
    this.#size += 1;
    // What the walk looks at, and no more: in form alone it trusts who made it.
    const entry = /** @type {Entry} */ (
      /** @type {unknown} */ ({
        index,
        sha256: digest(index),
        predicate,
        statement: { measurements, registers: new Map() },
      })
    );
    for (const key of keys) {
      this.#answers.set(key, [...(this.#answers.get(key) ?? []), entry]);
    }
  }

  /**
   * A release of an artifact that names some others.
   * @param {number} number
   * @param {readonly number[]} parts
   */
  part(number, parts) {
    const key = by("parts.example", "artifact", `digest=sha256:${digest(number)}`);
    this.add([key], {
      kind: "release",
      platform: "artifact",
      product: `parts.example/part${number}`,
      version: "1.0.0",
      components: parts.map(component),
    });
  }

  /**
   * A release of the product that names some components.
   * @param {readonly number[]} parts
   * @param {object} [more]
   */
  release(parts, more = {}) {
    const predicate = {
      kind: "release",
      platform: "aws-nitro",
      product: "acme.example/wallet",
      version: "1.4.2",
      components: parts.map(component),
      ...more,
    };
    this.add([by("acme.example", "aws-nitro", BUILD)], predicate, [BUILD]);
  }

  /** The product's subject, once the walk is over. */
  async walk() {
    const subject = new Subject("acme.example/wallet", "aws-nitro", [BUILD], [LAB]);
    /** @param {string} key */
    const ask = async (key) => {
      this.asked.push(key);
      return this.#answers.get(key) ?? [];
    };
    const gathering = await gather(subject, ask, ask, () => []);
    return { subject, gathering };
  }
}

/** @param {number} number */
function component(number) {
  return { product: `parts.example/part${number}`, sha256: digest(number) };
}

test("a circle of components is cut where it closes", async () => {
  const log = new Log();
  log.release([1]);
  log.part(1, [2]);
  log.part(2, [1]);
  const { gathering } = await log.walk();
  assert.equal(gathering.subjects.length, 3);
  assert.deepEqual(
    gathering.subjects.map(({ complete }) => complete),
    [true, true, false],
  );
});

test("a component that names itself is cut", async () => {
  const log = new Log();
  log.release([1]);
  log.part(1, [1]);
  const { gathering } = await log.walk();
  assert.equal(gathering.subjects[1].complete, false);
  assert.equal(gathering.subjects[1].parts.size, 0);
});

test("components go as deep as the limit, and no deeper", async () => {
  for (const depth of [limits.COMPONENT_DEPTH, limits.COMPONENT_DEPTH + 1]) {
    const log = new Log();
    log.release([1]);
    for (let at = 1; at < depth; at += 1) log.part(at, [at + 1]);
    log.part(depth, []);
    const { gathering } = await log.walk();
    const complete = gathering.subjects.every((one) => one.complete);
    assert.equal(complete, depth === limits.COMPONENT_DEPTH);
    assert.ok(gathering.subjects.length <= 1 + limits.COMPONENT_DEPTH);
  }
});

test("there are as many components in all as the limit, and no more", async () => {
  const log = new Log();
  const wide = 32;
  log.release(Array.from({ length: wide }, (_, at) => at));
  // Each of the first names another 32.
  for (let at = 0; at < wide; at += 1) {
    log.part(
      at,
      Array.from({ length: wide }, (_, other) => wide * (at + 1) + other),
    );
  }
  const { gathering } = await log.walk();
  assert.equal(gathering.subjects.length, 1 + limits.COMPONENTS_IN_ALL);
  assert.ok(gathering.subjects.some((one) => !one.complete));
});

test("a component that many name is asked about once", async () => {
  const log = new Log();
  log.release([1, 2, 3]);
  for (const at of [1, 2, 3]) log.part(at, [9]);
  log.part(9, []);
  const { subject, gathering } = await log.walk();
  assert.equal(gathering.subjects.length, 5);
  const shared = [1, 2, 3].map((at) =>
    subject.parts
      .get(componentKey(component(at)))
      ?.parts.get(componentKey(component(9))),
  );
  assert.ok(shared[0] !== undefined && new Set(shared).size === 1);
  const key = by("parts.example", "artifact", `digest=sha256:${digest(9)}`);
  assert.equal(log.asked.filter((one) => one === key).length, 1);
});

test("a chain of earlier reviews is followed as far as the limit", async () => {
  for (const length of [limits.BASIS_CHAIN, limits.BASIS_CHAIN + 1]) {
    const log = new Log();
    log.release([], { source: { uri: "https://git.example", commit: digest(0) } });
    for (let at = 0; at <= length; at += 1) {
      const basis = { commit: digest(at + 1), sha256: digest(at + 1) };
      const key = by(LAB, "source", `commit=gitCommit:${digest(at)}`);
      const last = at === length;
      log.add([key], {
        kind: "audit",
        scope: "source-review",
        ...(last ? {} : { basis }),
      });
    }
    const { subject } = await log.walk();
    assert.equal(subject.complete, length === limits.BASIS_CHAIN);
    assert.ok((subject.reviews.get(LAB)?.size ?? 0) <= limits.BASIS_CHAIN + 1);
  }
});

test("reviews in a circle are each met once", async () => {
  const log = new Log();
  log.release([], { source: { uri: "https://git.example", commit: digest(0) } });
  for (const [at, next] of [
    [0, 1],
    [1, 2],
    [2, 0],
  ]) {
    const basis = { commit: digest(next), sha256: digest(next) };
    const key = by(LAB, "source", `commit=gitCommit:${digest(at)}`);
    log.add([key], { kind: "audit", scope: "source-review", basis });
  }
  const { subject } = await log.walk();
  assert.equal(subject.reviews.get(LAB)?.size, 3);
  assert.equal(subject.complete, true);
});

test("of another build of the version, its provider and the registrar are asked", async () => {
  const log = new Log();
  log.release([]);
  const other = "PCR0=sha384:bb";
  const rival = {
    kind: "release",
    platform: "aws-nitro",
    product: "acme.example/wallet",
    version: "1.4.2",
  };
  log.add([ofVersion("acme.example/wallet", "1.4.2")], rival, [other]);
  const { subject } = await log.walk();
  const keys = ["acme.example", "registrar"].map((name) =>
    by(name, "aws-nitro", other),
  );
  assert.deepEqual([...subject.rivalStatements.keys()], keys);
  for (const key of keys) assert.ok(log.asked.includes(key));
});

test("what is dropped is forgotten everywhere", async () => {
  const log = new Log();
  log.release([]);
  log.release([]);
  const { subject, gathering } = await log.walk();
  assert.equal(subject.releases.length, 2);
  subject.drop(new Set([0]));
  assert.deepEqual(
    subject.releases.map(([{ index }]) => index),
    [1],
  );
  assert.deepEqual(
    gathering.entries().map(({ index }) => index),
    [1],
  );
});
