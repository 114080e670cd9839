/**
 * The document's side of a verification: checks `document.*` and `channel`.
 *
 * The order is that of docs/protocol.md section 4: form, signature, chain, time, nonce,
 * debug. Nothing of a document is used before its signature and chain have been
 * checked, and the chain is judged at the time that the document itself names, under a
 * root that the policy names. Time then has to be near our own clock, or that of `at`.
 */

import * as attestation from "../attestation.js";
import { builtin, fromPem } from "../attestation/roots.js";
import { encodeHex, equalBytes, formatTime } from "../encoding.js";
import { MalformedError } from "../errors.js";

/** @import { Document } from "../attestation.js" */
/** @import { Trust } from "../attestation/platform.js" */
/** @import { Bytes } from "../encoding.js" */
/** @import { PlatformRules, Policy, Product } from "../policy.js" */
/** @import { Release } from "../predicates.js" */
/** @import { Recorder } from "./checks.js" */

/**
 * What the caller knows: its clock and the nonce it sent, and what it was given.
 * @typedef {object} Asked
 * @property {number} now unix seconds, as is `at`
 * @property {number} [at] the time that replaces `now` for an archived document
 * @property {Bytes} [nonce] none was sent if it is absent or empty
 * @property {Bytes} [collateral] what the maker publishes of its machines
 */

/**
 * The document, if it is genuine; its other checks are recorded.
 * @param {Bytes} raw
 * @param {Policy} policy
 * @param {Product} product
 * @param {Asked} asked
 * @param {Recorder} recorder
 * @returns {Promise<Document | undefined>}
 */
export async function checkDocument(raw, policy, product, asked, recorder) {
  const document = await open(raw, policy, product, asked, recorder);
  if (document === undefined) return undefined;
  const ours = checkNonce(document, asked, recorder);
  if (document.time === null) checkTimeless(asked, recorder, ours);
  else checkTime(document, document.time, policy, asked, recorder, ours);
  const expected = "a machine whose memory is closed to its host";
  if (document.debug) {
    recorder.note("document.debug", "fail", expected, document.debug);
  } else {
    recorder.note("document.debug", "pass", expected, "measured, and no debug mode");
  }
  return document;
}

/**
 * @param {Bytes} raw
 * @param {Policy} policy
 * @param {Product} product
 * @param {Asked} asked
 * @param {Recorder} recorder
 * @returns {Promise<Document | undefined>}
 */
async function open(raw, policy, product, asked, recorder) {
  const expected = `an attestation document of ${product.platforms.join(" or ")}`;
  // Files and sources attest to nothing.
  const names = product.platforms.filter((name) =>
    attestation.ATTESTING.includes(name),
  );
  if (names.length === 0) {
    recorder.note("document.form", "fail", expected, "no platform that attests");
    return undefined;
  }
  let recognised;
  try {
    recognised = await attestation.recognise(attestation.decodeInput(raw), names);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    recorder.note("document.form", "fail", expected, error.message);
    return undefined;
  }
  const [platform, first] = recognised;
  recorder.note("document.form", "pass", expected, platform.name);
  const trust = trustOf(platform.name, policy, asked);
  const { outcomes, document } = await attestation.walk(platform, first, trust);
  for (const { check, status, expected: wanted, found } of outcomes) {
    recorder.note(check, status, wanted, found);
  }
  return document;
}

/**
 * @param {string} platform
 * @param {Policy} policy
 * @param {Asked} asked
 * @returns {Trust}
 */
function trustOf(platform, policy, { now, at, collateral }) {
  // A policy without rules for a platform has no product on it.
  const rules = /** @type {PlatformRules} */ (policy.platforms.get(platform));
  return {
    roots: rules.roots.flatMap((root) =>
      root === "builtin" ? builtin(platform) : [fromPem(root)],
    ),
    now: at ?? now,
    skew: policy.clockSkew,
    collateral,
    tcb: rules.tcb,
    advisories: rules.advisories,
  };
}

/**
 * Whether our nonce is in the document.
 * @param {Document} document
 * @param {Asked} asked
 * @param {Recorder} recorder
 */
function checkNonce(document, { nonce }, recorder) {
  const check = "document.nonce";
  const expected = "the nonce that we sent";
  if (!sent(nonce)) {
    recorder.note(check, "unchecked", expected, "none was sent: no proof of life");
    return false;
  }
  const carried = document.nonce;
  if (carried === null || !equalBytes(carried, nonce)) {
    const found = carried === null ? "none" : `another: ${encodeHex(carried)}`;
    recorder.note(check, "fail", `${expected}, ${encodeHex(nonce)}`, found);
    return false;
  }
  recorder.note(check, "pass", expected, "it is there");
  return true;
}

/**
 * @param {Bytes | undefined} nonce
 * @returns {nonce is Bytes}
 */
function sent(nonce) {
  return nonce !== undefined && nonce.length > 0;
}

/**
 * A document that names no time is as old as the nonce in it, or of any age.
 * @param {Asked} asked
 * @param {Recorder} recorder
 * @param {boolean} ours whether our nonce is in it
 */
function checkTimeless(asked, recorder, ours) {
  const check = "document.time";
  const expected = "made after we asked";
  if (ours && asked.at === undefined) {
    recorder.note(check, "pass", expected, "our nonce: it was made since");
  } else {
    const found = "it names no time, and holds no nonce of ours: of any age";
    recorder.note(check, "unchecked", expected, found);
  }
}

/**
 * @param {Document} document
 * @param {number} time unix milliseconds
 * @param {Policy} policy
 * @param {Asked} asked
 * @param {Recorder} recorder
 * @param {boolean} ours whether our nonce is in it
 */
function checkTime(document, time, policy, asked, recorder, ours) {
  const check = "document.time";
  const signed = seconds(time);
  const now = asked.at ?? asked.now;
  const found = `signed ${formatTime(signed)}, ${now - signed} s before our clock`;
  if (ours && policy.clockAttested && asked.at === undefined) {
    recorder.note(check, "pass", "our nonce: its signed time is now", found);
    return;
  }
  const maxAge = policy.platforms.get(document.platform)?.maxAge ?? 0;
  const expected = `signed at most ${maxAge} s before ${formatTime(now)}`;
  const skew = policy.clockSkew;
  const inWindow = now - maxAge <= signed && signed <= now + skew;
  if (inWindow && now <= document.leafNotAfter + skew) {
    recorder.note(check, "pass", expected, found);
  } else if (ours && asked.at === undefined) {
    // An old document cannot hold our fresh nonce: it is our clock that is wrong.
    const wrong = `${found}, with our nonce: set this machine's clock`;
    recorder.note(check, "unchecked", expected, wrong);
  } else {
    recorder.note(check, "fail", expected, found);
  }
}

/** @param {number} milliseconds */
function seconds(milliseconds) {
  return Math.floor(milliseconds / 1000);
}

/**
 * The time that counts: ours, or the document's if the policy trusts that more.
 * @param {Document | undefined} document
 * @param {Policy} policy
 * @param {Asked} asked
 * @returns {number} unix seconds
 */
export function effectiveNow(document, policy, { now, at, nonce }) {
  const time = document?.time ?? null;
  const ours =
    sent(nonce) && document?.nonce != null && equalBytes(document.nonce, nonce);
  const counts = ours && policy.clockAttested && at === undefined;
  return time !== null && counts ? seconds(time) : now;
}

/**
 * Check `channel`: the document names the key at the other end of our connection.
 * @param {Document} document a genuine one
 * @param {Release} release says in which field, and as what, the key is named
 * @param {ReadonlyMap<string, Bytes>} binding what our connection shows, by kind
 *   ("tls-spki-sha256" and the like)
 * @param {Recorder} recorder
 */
export function checkChannel(document, release, binding, recorder) {
  const check = "channel";
  const named = release.binding;
  if (named === undefined) {
    const expected = "a release that says how the enclave names its key";
    recorder.note(check, "unchecked", expected, "no binding: an enclave like this");
    return;
  }
  const expected = `our connection's ${named.kind} in ${named.field}`;
  const shown = binding.get(named.kind);
  const carried = named.field === "public_key" ? document.publicKey : document.userData;
  if (shown === undefined) {
    const found = "our connection shows none: an enclave like this one";
    recorder.note(check, "unchecked", expected, found);
  } else if (carried === null || !equalBytes(carried, shown)) {
    const found = "another key: a genuine enclave, but not who we are talking to";
    recorder.note(check, "unchecked", expected, found);
  } else {
    recorder.note(check, "pass", expected, "the same");
  }
}
