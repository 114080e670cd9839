/** Notes and cosignatures: names, and whose word counts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { cosignatures, openCheckpoint } from "../checkpoint.js";
import {
  encodeBase64,
  encodeHex,
  encodeText,
  encodeU64,
  joinBytes,
  sha256,
} from "../encoding.js";
import { MalformedError, VerificationError } from "../errors.js";
import { COSIGNATURE, ED25519, UnverifiedNote, VerifierKey } from "../note.js";

/** @import { Bytes } from "../encoding.js" */

const TEXT = `log.example/pcr\n7\n${encodeBase64(new Uint8Array(32))}\n`;

/**
 * A key of this name, and what makes its lines.
 * @param {string} name
 * @param {number} kind
 */
async function signer(name, kind) {
  const pair = /** @type {CryptoKeyPair} */ (
    await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])
  );
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const key = joinBytes(Uint8Array.of(kind), raw);
  const hash = (await sha256(joinBytes(encodeText(`${name}\n`), key))).slice(0, 4);
  const vkey = `${name}+${encodeHex(hash)}+${encodeBase64(key)}`;
  /** @param {string} message @returns {Promise<Bytes>} */
  const sign = async (message) =>
    new Uint8Array(
      await crypto.subtle.sign("Ed25519", pair.privateKey, encodeText(message)),
    );
  /** @param {Bytes} signature */
  const line = (signature) =>
    `\u2014 ${name} ${encodeBase64(joinBytes(hash, signature))}\n`;
  return { key: await VerifierKey.parse(vkey), vkey, sign, line };
}

/**
 * A cosignature line at `time`.
 * @param {Awaited<ReturnType<typeof signer>>} by
 * @param {bigint} time
 */
async function cosignature(by, time) {
  const signature = await by.sign(`cosignature/v1\ntime ${time}\n${TEXT}`);
  return by.line(joinBytes(encodeU64(time), signature));
}

/** @param {...string} lines */
const noteOf = (...lines) =>
  UnverifiedNote.parse(encodeText(`${TEXT}\n${lines.join("")}`));

test("a vkey is written as it was read", async () => {
  const { key, vkey } = await signer("log.example/pcr", ED25519);
  assert.equal(String(key), vkey);
});

test("a checkpoint is opened with the log's key alone", async () => {
  const log = await signer("log.example/pcr", ED25519);
  const namesake = await signer("log.example/pcr", ED25519);
  const note = noteOf(log.line(await log.sign(TEXT)));
  assert.equal((await openCheckpoint(note, log.key)).size, 7n);
  await assert.rejects(openCheckpoint(note, namesake.key), /no signature line/);
});

test("a second line of the log's key that does not verify refutes the note", async () => {
  const log = await signer("log.example/pcr", ED25519);
  const good = log.line(await log.sign(TEXT));
  const note = noteOf(good, log.line(await log.sign("other")));
  await assert.rejects(openCheckpoint(note, log.key), VerificationError);
  await openCheckpoint(noteOf(good, good), log.key);
});

test("of several cosignatures the newest counts, of wrong ones none", async () => {
  const [one, other] = await Promise.all(
    ["w1", "w2"].map((n) => signer(n, COSIGNATURE)),
  );
  const note = noteOf(
    await cosignature(one, 5n),
    await cosignature(one, 2n ** 63n - 1n),
    await cosignature(one, 7n),
    other.line(joinBytes(encodeU64(9n), await other.sign(TEXT))),
  );
  const found = await cosignatures(note, [one.key, other.key]);
  assert.deepEqual([...found], [[one.key, 2n ** 63n - 1n]]);
});

test("a cosignature at the time 0 is one", async () => {
  const witness = await signer("w", COSIGNATURE);
  const found = await cosignatures(noteOf(await cosignature(witness, 0n)), [
    witness.key,
  ]);
  assert.equal(found.get(witness.key), 0n);
});

test("names hold no white space of any kind, and no half of a pair", async () => {
  const { vkey } = await signer("name", ED25519);
  for (const space of [" ", "\t", "\u001c", "\u0085", "\u00a0", "\u2028", "\ud800"]) {
    await assert.rejects(VerifierKey.parse(`${space}${vkey}`), /expected a key name/);
  }
  const line = (/** @type {string} */ name) => `\u2014 ${name} AAAAAAA=\n`;
  assert.equal(noteOf(line("\ufeffn\u00e9")).lines[0].name, "\ufeffn\u00e9");
  for (const name of ["a\u00a0b", "a\u2028b", "a+b", "é".repeat(128)]) {
    assert.throws(() => noteOf(line(name)), MalformedError);
  }
});
