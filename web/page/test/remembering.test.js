/** What is handed out as evidence convicts; what is read from storage is not believed. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeText,
  encodeBase64,
  encodeText,
  joinBytes,
  sha256,
} from "../../verifier/encoding.js";
import { leafHash, nodeHash } from "../../verifier/merkle.js";
import { VerifierKey } from "../../verifier/note.js";
import { evidenceOf, readKept, remember } from "../remembering.js";

/** @import { Log } from "../../verifier/policy.js" */
/** @import { Report } from "../../verifier/verification/report.js" */
/** @import { Recalled, Store } from "../remembering.js" */

const [one, two, other] = await Promise.all(
  ["one", "two", "other"].map((text) => leafHash(encodeText(text))),
);
assert.ok(one && two && other);
const grown = await nodeHash(one, two);
const note = encodeText("a note\n");
const failed = /** @type {Report} */ (
  /** @type {unknown} */ ({ checks: [{ id: "log.memory", status: "fail" }] })
);

/**
 * A log of one leaf that was remembered, and of two that is seen.
 * @param {Uint8Array} root of the one
 */
function recalled(root) {
  return /** @type {Recalled} */ (
    /** @type {unknown} */ ({
      old: { size: 1n, root },
      seen: { size: 2n, root: grown },
      note,
      memory: { note, frozen: true, proof: [one, two] },
    })
  );
}

test("a log that goes on after its last seal is no fork", async () => {
  assert.ok(one);
  assert.equal(await evidenceOf(recalled(one), failed), undefined);
});

test("two histories are evidence, whether the one was frozen or not", async () => {
  assert.ok(other);
  const evidence = await evidenceOf(recalled(other), failed);
  assert.ok(evidence);
  assert.equal(JSON.parse(decodeText(evidence)).kind, "checkpoints");
});

/**
 * A log of one statement and a seal, signed, as the page keeps it.
 * @param {string} end
 */
async function kept(end) {
  const pair = /** @type {CryptoKeyPair} */ (
    await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"])
  );
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const name = "log.example/pcr";
  const typed = joinBytes(Uint8Array.of(1), point);
  const keyHash = (await sha256(joinBytes(encodeText(`${name}\n`), typed))).slice(0, 4);
  const statement = await leafHash(encodeText("a statement"));
  const seal = encodeText(
    `pcrlog/seal/v1\n1\n1795417200\n${encodeBase64(new Uint8Array(32))}\n${end}`,
  );
  const top = await nodeHash(statement, await leafHash(seal));
  const text = `${name}\n2\n${encodeBase64(top)}\n`;
  const signature = new Uint8Array(
    await crypto.subtle.sign("Ed25519", pair.privateKey, encodeText(text)),
  );
  const line = `\u2014 ${name} ${encodeBase64(joinBytes(keyHash, signature))}\n`;
  return {
    log: /** @type {Log} */ ({ key: new VerifierKey(name, 1, point, keyHash) }),
    note: `${text}\n${line}`,
    seal: encodeBase64(seal),
    proof: [encodeBase64(statement)],
  };
}

test("that a log is frozen is believed of its last seal alone", async () => {
  const frozen = await kept("frozen\n");
  const open = await kept("");
  const { log, ...value } = frozen;
  assert.equal((await readKept(JSON.stringify(value), log))?.frozen, true);
  const said = JSON.stringify({ note: open.note, frozen: true });
  assert.equal((await readKept(said, open.log))?.frozen, false);
  const { log: key, ...ended } = open;
  assert.equal((await readKept(JSON.stringify(ended), key))?.frozen, false);
  const another = JSON.stringify({ ...ended, seal: frozen.seal });
  assert.equal(await readKept(another, key), undefined);
});

test("a slow run does not overwrite what another tab has seen meanwhile", () => {
  const held = new Map([["place", "old"]]);
  const store = /** @type {Store} */ (
    /** @type {unknown} */ ({
      works: true,
      read: (/** @type {string} */ place) => held.get(place) ?? null,
      write: (/** @type {string} */ place, /** @type {string} */ value) =>
        held.set(place, value),
    })
  );
  assert.ok(one);
  const run = {
    ...recalled(one),
    place: "place",
    value: "old",
    seal: note,
    sealProof: [],
  };
  const passed = /** @type {Report} */ (
    /** @type {unknown} */ ({ checks: [{ id: "log.memory", status: "pass" }] })
  );
  held.set("place", "newer");
  assert.equal(remember(store, run, passed), false);
  assert.equal(held.get("place"), "newer");
  held.set("place", "old");
  assert.equal(remember(store, run, passed), true);
});
