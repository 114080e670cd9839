/**
 * Answers of conformance.js about whole verifications.
 */

import { byteStrings, bytes, integer, object, text } from "./ask.js";
import { decodeBase64, decodeText } from "./encoding.js";
import { Policy } from "./policy.js";
import { verify } from "./verification/run.js";

/** @import { Ask, Operation } from "./ask.js" */
/** @import { Memory } from "./verification/log.js" */
/** @import { Report } from "./verification/report.js" */

/** @param {Ask} ask */
async function answer(ask) {
  const report = await reportOf(ask);
  return {
    verdict: report.verdict,
    trust_ends_at: report.trust_ends_at,
    links: report.links.map(({ status }) => status),
    ground: report.ground,
    version: report.version,
    checks: Object.fromEntries(report.checks.map(({ id, status }) => [id, status])),
    required: report.checks.filter(({ required }) => required).map(({ id }) => id),
  };
}

/**
 * The whole report as JSON, words and all: of no vector, since words are not compared
 * there, but of tests/interop/test_two_verifiers.py.
 * @param {Ask} ask
 */
async function whole(ask) {
  return { report: decodeText((await reportOf(ask)).toJson()) };
}

/**
 * @param {Ask} ask
 * @returns {Promise<Report>}
 */
async function reportOf(ask) {
  const binding = object(ask, "binding");
  return verify({
    attestation: bytes(ask, "attestation"),
    bundle: ask.bundle === undefined ? undefined : bytes(ask, "bundle"),
    policy: await Policy.parse(bytes(ask, "policy")),
    product: text(ask, "product"),
    now: number(ask, "now"),
    at: ask.at === undefined ? undefined : number(ask, "at"),
    nonce: ask.nonce === undefined ? undefined : bytes(ask, "nonce"),
    binding: new Map(
      Object.entries(binding).map(([kind, value]) => [
        kind,
        decodeBase64(String(value)),
      ]),
    ),
    memory: ask.memory === undefined ? undefined : memoryOf(object(ask, "memory")),
    collateral: ask.collateral === undefined ? undefined : bytes(ask, "collateral"),
  });
}

/**
 * @param {Ask} memory
 * @returns {Memory}
 */
function memoryOf(memory) {
  const lacks = memory.proof === undefined || memory.proof === null;
  const proof = lacks ? undefined : byteStrings(memory, "proof");
  return { note: bytes(memory, "note"), proof, frozen: memory.frozen === true };
}

/**
 * Unix seconds.
 * @param {Ask} ask
 * @param {string} name
 */
function number(ask, name) {
  return Number(integer(ask, name));
}

/** @type {{ [op: string]: Operation }} */
export const operations = { report: whole, verify: answer };
