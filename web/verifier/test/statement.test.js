/** Statements of one byte too many; the vectors have the rules. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeJson, encodeText } from "../encoding.js";
import { parse, predicateTypeOf } from "../statement.js";
import { MalformedError, UncheckedError } from "../errors.js";
import { indexKeys } from "../index-keys.js";

/** @import { JsonObject } from "../encoding.js" */

const TIME = "2026-11-23T07:00:00Z";
const PREDICATE = {
  effective: TIME,
  identity: [["digest"]],
  issued: TIME,
  issuer: "acme.example",
  log: "log.example/pcr",
  platform: "artifact",
  reason: "withdrawn",
  statement: "0".repeat(64),
};

/**
 * @param {JsonObject} [members] of the predicate, other than usual
 * @param {string} [predicateType]
 */
const payloadOf = (members = {}, predicateType = "urn:pcrlog:revocation:v1") =>
  encodeJson({
    _type: "https://in-toto.io/Statement/v1",
    predicate: { ...PREDICATE, ...members },
    predicateType,
    subject: [{ digest: { sha256: "1".repeat(64) }, name: "digest" }],
  });

test("a statement is read with its kind, registers and measurements", async () => {
  const statement = await parse(payloadOf());
  const { predicate } = statement;
  assert.equal(predicate.kind === "revocation" && predicate.reason, "withdrawn");
  assert.deepEqual(statement.measurements, [`digest=sha256:${"1".repeat(64)}`]);
  assert.deepEqual([...statement.registers.keys()], ["digest"]);
});

test("a member named kind is as unknown as any other", async () => {
  await assert.rejects(parse(payloadOf({ kind: "release" })), /unknown member "kind"/);
});

test("a line end after a value is not overlooked", async () => {
  for (const name of ["issuer", "log", "platform", "reason", "issued", "statement"]) {
    await assert.rejects(
      parse(payloadOf({ [name]: `${name}\n` })),
      MalformedError,
      name,
    );
  }
});

test("of an unknown type nothing else is looked at", async () => {
  const unknown = payloadOf({ log: 1 }, "urn:pcrlog:toString:v1");
  await assert.rejects(parse(unknown), UncheckedError);
  await assert.rejects(
    parse(encodeText('{"predicateType": "toString"}')),
    UncheckedError,
  );
  assert.throws(() => predicateTypeOf(encodeText('"urn:pcrlog:release:v1"')));
});

test("the key function never fails", () => {
  const leaves = ["{", '{"payload":1}', '{"payload":"bnVsbA=="}', '{"payload":"W10="}'];
  for (const leaf of leaves) assert.deepEqual(indexKeys(encodeText(leaf)), []);
  assert.deepEqual(indexKeys(Uint8Array.of(0x7b, 0xff)), []);
  assert.deepEqual(indexKeys(new Uint8Array(0)), []);
});
