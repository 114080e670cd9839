/**
 * The package's entry: is this enclave what its provider says, what speaks against it?
 *
 *     const report = await verify({ document, bundle, policy, product, now, nonce });
 *     const enclave = report.verified();     // throws unless the verdict is "verified"
 *
 * verification/run.js does it. What has no types may call here: what is no argument, or
 * not of its type, is refused before anything is looked at, so that a demand (a nonce,
 * a channel) cannot get lost in a typing mistake.
 */

import { LATEST } from "./encoding.js";
import { UsageError } from "./errors.js";
import { Policy } from "./policy.js";
import * as run from "./verification/run.js";

export { CHECKS } from "./verification/checks.js";
export { NAMES as LINKS } from "./verification/links.js";
export { foresee } from "./verification/run.js";
export * from "./errors.js";
export { Policy };

/** @import { Bytes } from "./encoding.js" */
/** @import { Memory } from "./verification/log.js" */
/** @import { Report } from "./verification/report.js" */

/** What a connection can show of its other end, as releases name it. */
const KINDS = ["tls-spki-sha256", "tls-cert-sha256", "raw-key"];

/**
 * Check a document, live or (with `at`) archived, against all that a log says of it.
 * @param {object} asked
 * @param {Bytes} asked.document raw, or in base64 or hex
 * @param {Bytes} [asked.bundle] absent if there was none to be had
 * @param {Policy | Bytes} asked.policy the relying party's own: read, or the file
 * @param {string} asked.product which product this enclave is meant to be
 * @param {number} asked.now unix seconds, by our clock
 * @param {number} [asked.at] unix seconds: then, instead of now
 * @param {Bytes} [asked.nonce] what we sent
 * @param {Readonly<Record<string, Bytes>>} [asked.channel] what our connection shows of
 *   its other end, by kind: "tls-spki-sha256", "tls-cert-sha256", "raw-key"
 * @param {Memory} [asked.memory] the checkpoint remembered of this log
 * @returns {Promise<Report>}
 * @throws {UsageError} an argument or the policy makes no sense, or the policy does not
 *   name the product
 */
export async function verify(asked) {
  const {
    document,
    bundle,
    policy,
    product,
    now,
    at,
    nonce,
    channel,
    memory,
    ...rest
  } = asked;
  const [strange] = Object.keys(rest);
  if (strange !== undefined) throw new UsageError(`verify: no argument ${strange}`);
  requireBytes("document", document);
  if (bundle !== undefined) requireBytes("bundle", bundle);
  if (typeof product !== "string") throw new UsageError("verify: product is not text");
  requireTime("now", now);
  if (at !== undefined) requireTime("at", at);
  if (nonce !== undefined) requireBytes("nonce", nonce);
  if (memory !== undefined) requireMemory(memory);
  return run.verify({
    attestation: document,
    bundle,
    policy: await readPolicy(policy),
    product,
    now,
    at,
    nonce,
    binding: bindingOf(channel ?? {}),
    memory,
  });
}

/**
 * @param {Policy | Bytes} policy
 * @returns {Promise<Policy>}
 */
async function readPolicy(policy) {
  if (policy instanceof Policy) return policy;
  requireBytes("policy", policy);
  return Policy.parse(policy);
}

/** @param {Readonly<Record<string, Bytes>>} channel */
function bindingOf(channel) {
  for (const [kind, shown] of Object.entries(channel)) {
    if (!KINDS.includes(kind))
      throw new UsageError(`verify: no channel of kind ${kind}`);
    requireBytes(`channel ${kind}`, shown);
  }
  return new Map(Object.entries(channel));
}

/** @param {Memory} memory */
function requireMemory({ note, proof, frozen }) {
  requireBytes("memory.note", note);
  if (proof !== undefined && !Array.isArray(proof)) {
    throw new UsageError("verify: memory.proof is no list");
  }
  for (const hash of proof ?? []) requireBytes("memory.proof", hash);
  if (frozen !== undefined && typeof frozen !== "boolean") {
    throw new UsageError("verify: memory.frozen is neither true nor false");
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function requireBytes(name, value) {
  if (!(value instanceof Uint8Array)) {
    throw new UsageError(`verify: ${name} is no Uint8Array`);
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function requireTime(name, value) {
  if (
    typeof value !== "number" ||
    !Number.isInteger(value) ||
    value < 0 ||
    value > LATEST
  ) {
    throw new UsageError(`verify: ${name} is no time in unix seconds`);
  }
}
