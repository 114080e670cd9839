/** What no vector can ask of the readers for SGX: JSON, PEM, statuses, steps. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as der from "../attestation/der.js";
import { Document, walk } from "../attestation/platform.js";
import * as pem from "../attestation/sgx/pem.js";
import { readJson, readTcbInfo } from "../attestation/sgx/statements.js";
import { merge } from "../attestation/sgx/tcb.js";
import { joinBytes } from "../encoding.js";
import { MalformedError, UncheckedError, VerificationError } from "../errors.js";

/** @import { Step } from "../attestation/platform.js" */

test("a member stands once in Intel's JSON, however it is spelt", () => {
  const good = '{"a":{"b":1},"c":[{"b":2},{"b":":"}],"d":"{\\"a\\":1,\\"a\\":2}"}';
  assert.deepEqual(readJson(good, "it"), JSON.parse(good));
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"x":[{"a":1,"b":{"a":1},"a":2}]}',
    '{"__proto__":1,"__proto__":1}',
  ]) {
    assert.throws(() => readJson(text, "it"), /a member stands there twice/, text);
  }
});

test("a number in Intel's JSON is an integer, a text a whole one", () => {
  for (const text of ["1.0", "1e2", "-1E0", `${"9".repeat(4_301)}`]) {
    assert.throws(() => readJson(`{"a":[${text}]}`, "it"), /expected an integer/);
  }
  assert.deepEqual(readJson('{"a":[-1,0]}', "it"), { a: [-1, 0] });
  assert.throws(() => readJson('{"a":"\\ud800"}', "it"), MalformedError);
  assert.throws(() => readJson('{"\\udc00":1}', "it"), MalformedError);
  assert.deepEqual(readJson('{"a":"\\ud83d\\ude00"}', "it"), { a: "😀" });
  for (const text of ["", "{", "{}x", "\ufeff{}", "NaN", "{'a':1}"]) {
    assert.throws(() => readJson(text, "it"), MalformedError, text);
  }
});

test("a text of another version could not be checked", () => {
  for (const text of ["{}", '{"id":"TDX","version":3}', '{"id":"SGX","version":2}']) {
    assert.throws(() => readTcbInfo(text), UncheckedError, text);
  }
  for (const text of ["[]", '{"id":1}', '{"id":"SGX","version":"3"}', "null"]) {
    assert.throws(() => readTcbInfo(text), MalformedError, text);
  }
  assert.throws(() => readTcbInfo('{"id":"SGX","version":3}'), /member .* is missing/);
});

test("certificates in PEM have one spelling, but for the width of a line", () => {
  const [one, other] = [new Uint8Array(100).fill(7), Uint8Array.of(1, 2)];
  for (const width of [64, 76]) {
    const text = pem.write(one, width) + pem.write(other, width);
    assert.deepEqual(pem.read(text), [one, other]);
    assert.deepEqual(pem.read(text.slice(0, -1)), [one, other]);
    for (const wrong of [
      text.slice(0, -2),
      `${text}\n`,
      ` ${text}`,
      text.replace("\n", "\r\n"),
      text.replace("AQI=", "AQJ="),
      text.replace("AQI=", "AQI"),
      text.replace("\nAQI=", "\nAQ\nI="),
      text.replaceAll("CERTIFICATE", "X509 CRL"),
    ]) {
      assert.throws(() => pem.read(wrong), MalformedError, wrong);
    }
  }
  assert.throws(() => pem.read(pem.write(one, 70)), MalformedError);
  assert.throws(() => pem.read(pem.write(other).repeat(5)), /1\.\.4 certificates/);
});

test("a length in DER may have three bytes, if it needs them", () => {
  const content = new Uint8Array(65_536);
  const whole = joinBytes(Uint8Array.of(0x04, 0x83, 0x01, 0, 0), content);
  assert.equal(new der.Reader(whole).content(der.OCTET_STRING).length, 65_536);
  for (const [head, size] of /** @type {[number[], number][]} */ ([
    [[0x83, 0x00, 0xff, 0xff], 65_535],
    [[0x82, 0x00, 0xff], 255],
    [[0x81, 0x7f], 127],
    [[0x80], 0],
    [[0x84, 0x01, 0, 0, 0], 0],
    [[0x83, 0x01, 0], 0],
  ])) {
    const data = joinBytes(Uint8Array.of(0x04, ...head), content.subarray(0, size));
    assert.throws(() => new der.Reader(data).content(der.OCTET_STRING), MalformedError);
  }
});

test("the status of a machine follows that of its quoting enclave", () => {
  assert.equal(merge("UpToDate", "UpToDate"), "UpToDate");
  assert.equal(merge("SWHardeningNeeded", "OutOfDate"), "OutOfDate");
  const both = "OutOfDateConfigurationNeeded";
  assert.equal(merge("ConfigurationNeeded", "OutOfDate"), both);
  assert.equal(merge("ConfigurationAndSWHardeningNeeded", "OutOfDate"), both);
  assert.equal(merge("UpToDate", "Revoked"), "Revoked");
  assert.equal(merge("Revoked", "OutOfDate"), "Revoked");
  assert.equal(merge("unheard of", "OutOfDate"), "Revoked");
});

const DOCUMENT = new Document({
  platform: "example",
  registers: new Map(),
  time: null,
  nonce: null,
  userData: null,
  publicKey: null,
  moduleId: "",
  debug: "",
  leafNotBefore: 0,
  leafNotAfter: 0,
  rootSha256: "",
  notes: [],
});

/**
 * What becomes of steps that do these, one after the other.
 * @param {...(Error | Document | string)} does throw this, or give it out
 */
async function take(...does) {
  /** @type {Step[]} */
  const steps = does.map((one, at) => ({
    check: `step ${at}`,
    expected: "",
    take: async () => {
      if (one instanceof Error) throw one;
      return [one, "found"];
    },
  }));
  const platform = { name: "example", roots: [], parse: async () => "", steps };
  const { outcomes, document } = await walk(platform, "", { roots: [], now: 0 });
  return [outcomes.map(({ status }) => status), document !== undefined];
}

test("a step that fails is the last one, and gives no document", async () => {
  const failed = new VerificationError("false");
  const lacking = new UncheckedError("no file");
  assert.deepEqual(await take("a", DOCUMENT), [["pass", "pass"], true]);
  assert.deepEqual(await take("a", failed, DOCUMENT), [["pass", "fail"], false]);
  assert.deepEqual(await take(DOCUMENT, failed), [["pass", "fail"], false]);
  assert.deepEqual(await take(DOCUMENT, lacking, failed), [
    ["pass", "unchecked", "fail"],
    false,
  ]);
});

test("a step that cannot be made is passed over once there is a document", async () => {
  const lacking = new UncheckedError("no file");
  assert.deepEqual(await take("a", lacking, DOCUMENT), [["pass", "unchecked"], false]);
  assert.deepEqual(await take(DOCUMENT, lacking, DOCUMENT), [
    ["pass", "unchecked", "pass"],
    true,
  ]);
  assert.deepEqual(await take("a"), [["pass"], false]);
  await assert.rejects(take(DOCUMENT, new TypeError("a mistake")), TypeError);
});
