/**
 * The package's entry: is this enclave what its provider says, what speaks against it?
 *
 *     const report = await verify({ document, bundle, policy, product, now, nonce });
 *     const enclave = report.verified();     // throws unless the verdict is "verified"
 *
 * verification/run.js does it. What has no types may call here: what is no argument, or
 * not of its type, is refused before anything is looked at, so that a demand (a nonce,
 * a channel) cannot get lost in a typing mistake. What it points to is copied then, so
 * that nobody changes it between two checks.
 */

import { LATEST, copyBytes } from "./encoding.js";
import { UsageError } from "./errors.js";
import { Policy } from "./policy.js";
import * as run from "./verification/run.js";

export { CHECKS } from "./verification/checks.js";
export { NAMES as LINKS } from "./verification/links.js";
export * from "./errors.js";
export { Policy };

/** @import { Bytes } from "./encoding.js" */
/** @import { Registers } from "./measurement.js" */
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
 * @param {Bytes} [asked.collateral] what the maker publishes of its machines
 *   (intel-sgx), as a file
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
    collateral,
    ...rest
  } = asked;
  requireNothing(rest);
  requireText("product", product);
  requireTime("now", now);
  if (at !== undefined) requireTime("at", at);
  const copies = {
    attestation: readBytes("document", document),
    bundle: bundle === undefined ? undefined : readBytes("bundle", bundle),
    nonce: nonce === undefined ? undefined : readBytes("nonce", nonce),
    binding: bindingOf(channel),
    memory: memory === undefined ? undefined : readMemory(memory),
    collateral:
      collateral === undefined ? undefined : readBytes("collateral", collateral),
  };
  return run.verify({
    ...copies,
    policy: await readPolicy(policy),
    product,
    now,
    at,
  });
}

/**
 * What `verify` would say of an enclave with these registers; link 1 is unchecked.
 * @param {object} asked
 * @param {Registers} asked.registers
 * @param {string} asked.platform
 * @param {Bytes} asked.bundle
 * @param {Policy | Bytes} asked.policy
 * @param {string} asked.product
 * @param {number} asked.now unix seconds
 * @param {ReadonlyMap<string, number>} [asked.numbers] the enclave's, where they are
 *   known: a release may name any
 * @returns {Promise<Report>}
 * @throws {UsageError} an argument or the policy makes no sense, or the policy does not
 *   name the product, or not on this platform
 */
export async function foresee(asked) {
  const { registers, platform, bundle, policy, product, now, numbers, ...rest } = asked;
  requireNothing(rest);
  if (!(registers instanceof Map)) throw new UsageError("verify: registers are no Map");
  if (numbers !== undefined && !(numbers instanceof Map)) {
    throw new UsageError("verify: numbers are no Map");
  }
  requireText("platform", platform);
  requireText("product", product);
  requireTime("now", now);
  const copies = {
    registers: new Map(registers),
    numbers: numbers === undefined ? undefined : new Map(numbers),
    bundle: readBytes("bundle", bundle),
  };
  return run.foresee({
    ...copies,
    platform,
    policy: await readPolicy(policy),
    product,
    now,
  });
}

/**
 * @param {Policy | Bytes} policy
 * @returns {Promise<Policy>}
 */
async function readPolicy(policy) {
  if (policy instanceof Policy) return policy;
  return Policy.parse(readBytes("policy", policy));
}

/** @param {Readonly<Record<string, Bytes>>} [channel] */
function bindingOf(channel = {}) {
  // Of a Map or a list `Object.entries` would show nothing.
  if (channel === null || typeof channel !== "object" || Symbol.iterator in channel) {
    throw new UsageError("verify: channel is no object with kinds as its members");
  }
  return new Map(
    Object.entries(channel).map(([kind, shown]) => {
      if (!KINDS.includes(kind))
        throw new UsageError(`verify: no channel of kind ${kind}`);
      return [kind, readBytes(`channel ${kind}`, shown)];
    }),
  );
}

/**
 * @param {Memory} memory
 * @returns {Memory}
 */
function readMemory(memory) {
  if (memory === null) throw new UsageError("verify: memory is null");
  const { note, proof, frozen } = memory;
  if (proof !== undefined && !Array.isArray(proof)) {
    throw new UsageError("verify: memory.proof is no list");
  }
  if (frozen !== undefined && typeof frozen !== "boolean") {
    throw new UsageError("verify: memory.frozen is neither true nor false");
  }
  return {
    note: readBytes("memory.note", note),
    proof: proof?.map((hash) => readBytes("memory.proof", hash)),
    frozen,
  };
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {Bytes}
 */
function readBytes(name, value) {
  if (value instanceof Uint8Array) {
    try {
      return copyBytes(value);
    } catch {
      // Its memory was handed on (`transfer`): it is gone, and not empty.
    }
  }
  throw new UsageError(`verify: ${name} is no Uint8Array`);
}

/** @param {object} rest arguments that there are not */
function requireNothing(rest) {
  const [strange] = Object.keys(rest);
  if (strange !== undefined) throw new UsageError(`verify: no argument ${strange}`);
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function requireText(name, value) {
  if (typeof value !== "string") throw new UsageError(`verify: ${name} is not text`);
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
