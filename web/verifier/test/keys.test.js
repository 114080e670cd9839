/** Keys: signatures that this test makes, and browsers that know no Ed25519. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeText, joinBytes } from "../encoding.js";
import { MalformedError, UncheckedError, VerificationError } from "../errors.js";
import { PublicKey, verifyEd25519 } from "../keys.js";

/** @import { Bytes } from "../encoding.js" */

const MESSAGE = encodeText("message");
const P256 = { name: "ECDSA", namedCurve: "P-256" };

/** @param {ArrayBuffer} data */
const bytes = (data) => new Uint8Array(data);

/**
 * A DER element; short lengths alone.
 * @param {number} tag
 * @param {...Bytes} parts
 */
function element(tag, ...parts) {
  const content = joinBytes(...parts);
  return joinBytes(Uint8Array.of(tag, content.length), content);
}

/**
 * A DER INTEGER of big-endian digits.
 * @param {Bytes} digits
 */
function integer(digits) {
  const first = digits.findIndex((digit) => digit !== 0);
  const trimmed = digits.slice(first);
  const lead = trimmed[0] < 0x80 ? [] : [0];
  return element(0x02, Uint8Array.from(lead), trimmed);
}

async function p256() {
  const pair = await crypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  const spki = bytes(await crypto.subtle.exportKey("spki", pair.publicKey));
  const how = { name: "ECDSA", hash: "SHA-256" };
  const raw = bytes(await crypto.subtle.sign(how, pair.privateKey, MESSAGE));
  return { spki, r: raw.slice(0, 32), s: raw.slice(32) };
}

test("an Ed25519 signature verifies, and no other does", async () => {
  const pair = /** @type {CryptoKeyPair} */ (
    await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])
  );
  const spki = bytes(await crypto.subtle.exportKey("spki", pair.publicKey));
  const key = await PublicKey.fromSpki(spki);
  const signature = bytes(
    await crypto.subtle.sign("Ed25519", pair.privateKey, MESSAGE),
  );
  await key.verify(signature, MESSAGE);
  for (const wrong of [signature.slice(1), new Uint8Array(64), new Uint8Array(0)]) {
    await assert.rejects(key.verify(wrong, MESSAGE), VerificationError);
  }
  await assert.rejects(key.verify(signature, encodeText("other")), VerificationError);
});

test("an ECDSA signature verifies in its one DER form alone", async () => {
  for (let round = 0; round < 20; round += 1) {
    const { spki, r, s } = await p256();
    const key = await PublicKey.fromSpki(spki);
    await key.verify(element(0x30, integer(r), integer(s)), MESSAGE);
    const others = [
      joinBytes(r, s),
      element(0x30, integer(r), integer(s), Uint8Array.of(0)),
      joinBytes(element(0x30, integer(r), integer(s)), Uint8Array.of(0)),
      element(0x30, element(0x02, Uint8Array.of(0, 0), r), integer(s)),
      element(0x30, integer(r)),
      element(0x30, element(0x02), integer(s)),
      element(0x30, integer(r), element(0x02, Uint8Array.of(0x80))),
      element(0x30, integer(r), element(0x02, Uint8Array.of(0))),
      element(0x31, integer(r), integer(s)),
      new Uint8Array(0),
    ];
    for (const wrong of others) {
      await assert.rejects(key.verify(wrong, MESSAGE), VerificationError);
    }
  }
});

test("a number of a signature longer than the curve's is no number of it", async () => {
  const { spki, r } = await p256();
  const key = await PublicKey.fromSpki(spki);
  const long = element(0x02, Uint8Array.of(1), new Uint8Array(32));
  await assert.rejects(
    key.verify(element(0x30, integer(r), long), MESSAGE),
    VerificationError,
  );
});

test("a key in a Buffer is the same key, and stays as it was", async () => {
  const pair = /** @type {CryptoKeyPair} */ (
    await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])
  );
  const spki = bytes(await crypto.subtle.exportKey("spki", pair.publicKey));
  const given = Buffer.from(spki);
  const loading = PublicKey.fromSpki(given);
  assert.ok(given.equals(spki));
  given.fill(0);
  const key = await loading;
  assert.deepEqual(key.spki, spki);
  const how = await crypto.subtle.sign("Ed25519", pair.privateKey, MESSAGE);
  await key.verify(bytes(how), MESSAGE);
});

test("a point that is not on the curve is malformed", async () => {
  const { spki } = await p256();
  spki[spki.length - 1] ^= 1;
  await assert.rejects(PublicKey.fromSpki(spki), MalformedError);
});

test("an engine without Ed25519 is said to be one, never to have refused", async (context) => {
  const point = Uint8Array.from({ length: 32 }, () => 9);
  const fail = (/** @type {string} */ name) => () =>
    Promise.reject(new DOMException("stub", name));
  const stub = context.mock.method(
    crypto.subtle,
    "importKey",
    fail("NotSupportedError"),
  );
  await assert.rejects(verifyEd25519(point, point, MESSAGE), UncheckedError);
  stub.mock.mockImplementation(fail("DataError"));
  assert.equal(await verifyEd25519(point, point, MESSAGE), false);
  stub.mock.mockImplementation(fail("OperationError"));
  await assert.rejects(verifyEd25519(point, point, MESSAGE), {
    name: "OperationError",
  });
});
