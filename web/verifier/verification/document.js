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
import { MalformedError, UsageError, VerificationError } from "../errors.js";

/** @import { Document } from "../attestation.js" */
/** @import { Bytes } from "../encoding.js" */
/** @import { Policy, Product } from "../policy.js" */
/** @import { Release } from "../predicates.js" */
/** @import { Recorder } from "./checks.js" */

/**
 * What the caller knows: clock `now`, archive time `at`, the `nonce` it sent.
 * @typedef {object} Asked
 * @property {number} now unix seconds, as is `at`
 * @property {number} [at]
 * @property {Bytes} [nonce] none was sent if it is absent or empty
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
  const document = await open(raw, policy, product, recorder);
  if (document === undefined) return undefined;
  const ours = checkNonce(document, asked, recorder);
  checkTime(document, policy, asked, recorder, ours);
  const expected = "registers that are not those of debug mode";
  if (document.debug) {
    const found = "PCR0, PCR1 and PCR2 are zero: debug mode";
    recorder.note("document.debug", "fail", expected, found);
  } else {
    recorder.note("document.debug", "pass", expected, "measured");
  }
  return document;
}

/**
 * @param {Bytes} raw
 * @param {Policy} policy
 * @param {Product} product
 * @param {Recorder} recorder
 * @returns {Promise<Document | undefined>}
 */
async function open(raw, policy, product, recorder) {
  const expected = `an attestation document of ${product.platforms.join(" or ")}`;
  const name = product.platforms.find(attests);
  const rules = name === undefined ? undefined : policy.platforms.get(name);
  if (name === undefined || rules === undefined) {
    recorder.note("document.form", "fail", expected, "no platform that attests");
    return undefined;
  }
  const platform = attestation.platform(name);
  const unverified = await step(
    recorder,
    "document.form",
    expected,
    MalformedError,
    () => platform.parse(attestation.decodeInput(raw)),
  );
  if (unverified === undefined) return undefined;
  recorder.note("document.form", "pass", expected, name);
  const own = "signed (ES384) by the key of its certificate";
  const signed = await step(
    recorder,
    "document.signature",
    own,
    VerificationError,
    () => unverified.verifySignature(),
  );
  if (signed === undefined) return undefined;
  recorder.note("document.signature", "pass", own, "verifies");
  const rooted = "a certificate chain to a root of the policy";
  const roots = rules.roots.flatMap((root) =>
    root === "builtin" ? builtin(name) : [fromPem(root)],
  );
  const document = await step(
    recorder,
    "document.chain",
    rooted,
    VerificationError,
    () => signed.verifyChain(roots),
  );
  if (document === undefined) return undefined;
  const found = `root ${document.rootSha256.slice(0, 16)}…`;
  recorder.note("document.chain", "pass", rooted, found);
  return document;
}

/**
 * What `take` gives; undefined, and the check failed, if it throws a `kind` of error.
 * @template T
 * @param {Recorder} recorder
 * @param {string} check
 * @param {string} expected
 * @param {typeof MalformedError | typeof VerificationError} kind
 * @param {() => T | Promise<T>} take
 * @returns {Promise<T | undefined>}
 */
async function step(recorder, check, expected, kind, take) {
  try {
    return await take();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
    recorder.note(check, "fail", expected, error.message);
    return undefined;
  }
}

/**
 * Whether there are documents of a platform; files and sources attest to nothing.
 * @param {string} name
 */
function attests(name) {
  try {
    attestation.platform(name);
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
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
 * @param {Document} document
 * @param {Policy} policy
 * @param {Asked} asked
 * @param {Recorder} recorder
 * @param {boolean} ours whether our nonce is in it
 */
function checkTime(document, policy, asked, recorder, ours) {
  const check = "document.time";
  const signed = signedAt(document);
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

/**
 * Unix seconds.
 * @param {Document} document
 */
function signedAt(document) {
  return Math.floor(document.time / 1000);
}

/**
 * The time that counts: ours, or the document's if the policy trusts that more.
 * @param {Document | undefined} document
 * @param {Policy} policy
 * @param {Asked} asked
 * @returns {number} unix seconds
 */
export function effectiveNow(document, policy, { now, at, nonce }) {
  const ours =
    sent(nonce) && document?.nonce != null && equalBytes(document.nonce, nonce);
  if (document !== undefined && ours && policy.clockAttested && at === undefined) {
    return signedAt(document);
  }
  return now;
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
