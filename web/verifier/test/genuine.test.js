/**
 * Genuine documents of AWS, which the project does not contain, and other people's bad
 * ones: what each is, and that no byte of one can be changed.
 *
 * They are read from ../shared/vectors beside the project, or from the directory that
 * PCRLOG_VECTORS names. Without them these tests are skipped; in CI they fail.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeInput, genuine } from "../attestation.js";
import * as cose from "../attestation/cose.js";
import { builtin } from "../attestation/roots.js";
import { encodeBase64, encodeHex, encodeText, sha256 } from "../encoding.js";
import { MalformedError, PcrlogError, VerificationError } from "../errors.js";

/** @import { Bytes } from "../encoding.js" */
/**
 * What expected.json says of a file.
 * @typedef {object} Expected
 * @property {string} expect
 * @property {number} timestamp_ms
 * @property {string} module_id
 * @property {boolean} debug
 * @property {string} register_field
 * @property {{ [number: string]: string }} registers
 */

const BESIDE = fileURLToPath(new URL("../../../../shared/vectors", import.meta.url));
const FOLDER = `${process.env["PCRLOG_VECTORS"] || BESIDE}/nitro`;
const absent = !existsSync(FOLDER) && process.env["CI"] !== "true";
const options = { skip: absent && `no known answers in ${FOLDER}` };

const ROOTS = builtin("aws-nitro");
const ONE = "base_hinted_2026-01.cbor";
/** The step that a bad document does not pass: a corrupted certificate is unreadable. */
const BAD = new Map([
  ["neg_fortanix_tampered_certificate.cbor", "form"],
  ["neg_veracruz_bad_sig.cbor", "signature"],
  ["neg_oyster_custom_untrusted_root.cbor", "chain"],
  ["nitrotpm_vaportpm_2026-02.cbor", "form"],
]);

/** @param {string} name */
function load(name) {
  return Uint8Array.from(readFileSync(`${FOLDER}/${name}`));
}

/** @returns {[string, Expected][]} */
function listed() {
  return Object.entries(JSON.parse(readFileSync(`${FOLDER}/expected.json`, "utf8")));
}

/**
 * The document, all of whose steps can be taken.
 * @param {Bytes} data
 * @param {{ roots?: Bytes[], name?: string }} [options]
 */
async function verify(data, { roots = ROOTS, name = "aws-nitro" } = {}) {
  const [document, unmade] = await genuine(name, decodeInput(data), { roots, now: 0 });
  assert.deepEqual(unmade, []);
  return document;
}

test("genuine documents say what they are known to say", options, async () => {
  const good = listed().filter(([name]) => !BAD.has(name));
  assert.ok(good.length > 15);
  for (const [name, expected] of good) {
    const document = await verify(load(name));
    const registers = Object.entries(expected.registers).map(
      ([number, hex]) => /** @type {const} */ ([`PCR${number}`, `sha384:${hex}`]),
    );
    assert.deepEqual(document.registers, new Map(registers), name);
    assert.equal(document.time, expected.timestamp_ms);
    assert.equal(document.moduleId, expected.module_id);
    const debug = document.debug !== "";
    assert.equal(debug, expected.expect === "ACCEPT_CRYPTO_REJECT_DEBUG");
    assert.equal(debug, expected.debug);
    assert.deepEqual(document.notes, [], name);
    const [root] = ROOTS;
    assert.equal(document.rootSha256, root && encodeHex(await sha256(root)));
  }
});

test("a genuine document of an instance says how it booted", options, async () => {
  const [[name, expected] = assert.fail(), ...others] = listed().filter(
    ([, { register_field }]) => register_field === "nitrotpm_pcrs",
  );
  assert.deepEqual(others, []);
  const document = await verify(load(name), { name: "aws-nitrotpm" });
  assert.equal(document.registers.size, 24);
  for (const [number, hex] of Object.entries(expected.registers)) {
    assert.equal(document.registers.get(`PCR${number}`), `sha384:${hex}`);
  }
  assert.equal(document.time, expected.timestamp_ms);
  assert.equal(document.debug, "");
  assert.equal(document.notes.length, 1);
  assert.match(document.notes[0] ?? "", /^PCR8 is not zero, as where GRUB boots/);
});

test("bad documents fail the step they are known to fail", options, async () => {
  const bad = listed().filter(([, { expect }]) => expect === "REJECT");
  for (const [name] of bad) assert.ok(BAD.has(name), name);
  for (const [name, step] of BAD) {
    await assert.rejects(verify(load(name)), (error) => {
      if (step === "form") return error instanceof MalformedError;
      const message = error instanceof VerificationError ? error.message : "";
      return message.startsWith(`document.${step}: `);
    });
  }
});

test("no byte of a genuine document can be changed", options, async () => {
  const whole = load(ONE);
  for (const [at, byte] of whole.entries()) {
    const changed = whole.slice();
    changed[at] = byte ^ (1 << at % 8);
    await assert.rejects(verify(changed), PcrlogError, `byte ${at}`);
  }
});

test("no byte around what is signed can be any other one", options, async () => {
  const whole = load(ONE);
  const sign1 = cose.parse(whole);
  const signed = [sign1.protected, sign1.payload, sign1.signature];
  const around = [...whole.keys()].filter((at) =>
    signed.every((part) => at < part.byteOffset || at >= part.byteOffset + part.length),
  );
  // 84 44, a0 59 xx xx, 58 60: the array, and the heads and the empty map in it.
  assert.equal(around.length, 8);
  for (const at of around) {
    for (let value = 0; value < 256; value += 1) {
      if (value === whole[at]) continue;
      const changed = whole.slice();
      changed[at] = value;
      await assert.rejects(verify(changed), MalformedError, `byte ${at} is ${value}`);
    }
  }
});

test("no beginning of a genuine document is one", options, async () => {
  const whole = load(ONE);
  for (let end = 0; end < whole.length; end += 1) {
    await assert.rejects(verify(whole.slice(0, end)), MalformedError, `${end} bytes`);
  }
  const longer = Uint8Array.of(...whole, 0);
  await assert.rejects(verify(longer), /CBOR at byte \d+: expected the end, found 1/);
});

test("it may come in base64 or hex, with line ends", options, async () => {
  const whole = load(ONE);
  const expected = await verify(whole);
  const base64 = encodeBase64(whole).replace(/.{76}/g, "$&\r\n");
  const hex = encodeHex(whole).replace(/../g, "$&\n");
  for (const text of [base64, hex]) {
    assert.deepEqual(await verify(encodeText(text)), expected);
    await assert.rejects(verify(encodeText(`${text} `)), MalformedError);
  }
});

test(
  "what becomes of the bytes after they were read changes nothing",
  options,
  async () => {
    const whole = load(ONE);
    const expected = await verify(whole);
    const given = whole.slice();
    const found = genuine("aws-nitro", given, { roots: ROOTS, now: 0 });
    given.fill(0);
    assert.deepEqual((await found)[0], expected);
  },
);

test("only a root that is trusted will do", options, async () => {
  const whole = load(ONE);
  await assert.rejects(verify(whole, { roots: [] }), /trusted: none/);
  const [root] = ROOTS;
  assert.ok(root);
  await assert.rejects(verify(whole, { roots: [root.slice(1)] }), VerificationError);
  assert.equal((await verify(whole, { roots: [whole, root] })).platform, "aws-nitro");
});
