/**
 * Successors of a policy, so that an app in the field can follow it for years.
 *
 * A policy names who may sign the one after it (docs/protocol.md 4.6, Successors). The
 * next policy is a whole file. It says `version`, one more, and `previous`, the SHA-256
 * of the file before, and travels in a DSSE envelope of a payload type of its own:
 *
 *     {"payload": base64 of the file,
 *      "payloadType": "application/vnd.pcrlog.policy+toml",
 *      "signatures": [{"keyid": hex, "sig": base64}, ...]}     ascending by keyid
 *
 * It is taken if a quorum of the old policy's keys signed it, and a quorum of its own, so
 * that keys which nobody holds end no chain. A file of updates is one envelope a line,
 * each the successor of the one before. Whoever has any of them, or the one before the
 * first, follows to the last. Only the last has to be valid now: an app may have slept.
 */

import {
  copyBytes,
  decodeJson,
  encodeHex,
  encodeText,
  formatTime,
  joinBytes,
  sha256,
} from "./encoding.js";
import { SIGNATURE } from "./envelope.js";
import {
  MalformedError,
  UncheckedError,
  UsageError,
  VerificationError,
} from "./errors.js";
import * as limits from "./limits.js";
import { Policy } from "./policy.js";
import { base64, list, oneOf, record } from "./shapes.js";

/** @import { Bytes } from "./encoding.js" */
/** @import { Successor } from "./policy.js" */

export const PAYLOAD_TYPE = "application/vnd.pcrlog.policy+toml";
const LINE_FEED = 0x0a;

const ENVELOPE = record({
  payload: base64({ most: limits.POLICY }),
  payloadType: oneOf(PAYLOAD_TYPE),
  // Those of the old policy's keys, and those of the new one's.
  signatures: list(SIGNATURE, { least: 1, most: 2 * limits.POLICY_KEYS }),
});

/**
 * A policy file and signatures by keyid; nothing is verified yet.
 * @typedef {object} Update
 * @property {Bytes} unverifiedPolicy
 * @property {ReadonlyMap<string, Bytes>} signatures
 */

/**
 * Where a chain of successors led: the newest policy, its file, and the steps.
 * @typedef {{ policy: Policy, data: Bytes, steps: number }} Followed
 */

/**
 * Read one envelope.
 * @param {Bytes} line
 * @returns {Update}
 * @throws {MalformedError} not canonical, another payload type, a policy that is too
 *   large, no signature or too many, or these not ascending by keyid
 */
export function parseUpdate(line) {
  const { payload, signatures } = ENVELOPE(decodeJson(line), "update");
  const order = signatures.map(({ keyid }) => keyid);
  if (
    order.some((keyid, at) => at > 0 && keyid <= /** @type {string} */ (order[at - 1]))
  ) {
    throw new MalformedError(
      "update: expected signatures ascending by keyid, each once",
    );
  }
  return {
    unverifiedPolicy: payload,
    signatures: new Map(signatures.map(({ keyid, sig }) => [keyid, sig])),
  };
}

/**
 * The envelopes of a file of updates.
 * @param {Bytes} data
 * @returns {Update[]}
 * @throws {MalformedError} too large, empty, too many, no line end at its end, or a line
 *   that is no envelope
 */
export function parseUpdates(data) {
  if (data.length > limits.UPDATES) {
    throw new MalformedError(
      `updates have ${data.length} bytes, at most ${limits.UPDATES}`,
    );
  }
  /** @type {Bytes[]} */
  const lines = [];
  let start = 0;
  while (start < data.length && lines.length <= limits.UPDATE_STEPS) {
    const end = data.indexOf(LINE_FEED, start);
    if (end < 0) break;
    lines.push(data.subarray(start, end));
    start = end + 1;
  }
  if (start !== data.length || lines.length < 1 || lines.length > limits.UPDATE_STEPS) {
    throw new MalformedError(
      `updates: expected 1 to ${limits.UPDATE_STEPS} envelopes, each ended by LF`,
    );
  }
  return lines.map(parseUpdate);
}

/**
 * From a policy to the newest one that its keys, and theirs, lead to.
 * @param {Bytes} current the file that is in force
 * @param {Bytes} updates a file of updates; those before `current` are passed over
 * @param {number} now unix seconds; the newest policy has to be valid
 * @returns {Promise<Followed>} the newest policy, which is `current` if there is none
 *   after it
 * @throws {UsageError} `current` is no policy, or names nobody who may sign a successor
 * @throws {MalformedError} `updates` is not of its form
 * @throws {VerificationError} a successor is not signed by the quorums, or is not what
 *   comes after the one before it
 * @throws {UncheckedError} some are missing in between, this version cannot read one, or
 *   the newest has run out
 */
export async function follow(current, updates, now) {
  let data = copyBytes(current);
  let policy = await Policy.parse(data);
  if (policy.successor === undefined) {
    throw new UsageError(
      "the policy names nobody who may sign its successor: get a new one",
    );
  }
  let steps = 0;
  for (const update of await after(policy, parseUpdates(updates))) {
    policy = await successor(policy, update);
    data = update.unverifiedPolicy;
    steps += 1;
  }
  // In these words a time that is no number has run out.
  if (!(now < policy.validUntil)) {
    const end = formatTime(policy.validUntil);
    throw new UncheckedError(
      `the newest policy there is, version ${policy.version}, ran out on ${end}: ask` +
        " whoever signs it for a later one",
    );
  }
  return { policy, data, steps };
}

/**
 * Those that come after a policy; nothing that they say is verified.
 * @param {Policy} policy
 * @param {Update[]} updates at least one
 */
async function after(policy, updates) {
  const digests = await Promise.all(
    updates.map(async (one) => encodeHex(await sha256(one.unverifiedPolicy))),
  );
  const ours = digests.indexOf(policy.sha256);
  if (ours >= 0) return updates.slice(ours + 1);
  const versions = [];
  for (const one of updates) versions.push((await read(one, "an update")).version);
  const [first = 0] = versions;
  if (first === policy.version + 1) return updates;
  if (versions.includes(policy.version)) {
    throw new VerificationError(
      `these updates hold another version ${policy.version} than yours, which was` +
        " changed, or is not theirs",
    );
  }
  if (first > policy.version) {
    throw new UncheckedError(
      `these updates begin with version ${first}, and yours is ${policy.version}: get` +
        " those in between",
    );
  }
  throw new UncheckedError(
    `these updates end before yours, which is version ${policy.version}`,
  );
}

/**
 * @param {Update} update
 * @param {string} what
 * @throws {UncheckedError} this version cannot read it
 */
async function read(update, what) {
  try {
    return await Policy.parse(update.unverifiedPolicy);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UncheckedError(
      `${what} cannot be read: ${error.message}; upgrade pcrlog?`,
    );
  }
}

/**
 * The policy in an update, if it is the one that comes after `policy`.
 * @param {Policy} policy
 * @param {Update} update
 * @returns {Promise<Policy>}
 * @throws {VerificationError} it is not, or the quorums did not sign it
 * @throws {UncheckedError} they did, and this version of pcrlog cannot read it
 */
export async function successor(policy, update) {
  const named = policy.successor;
  if (named === undefined) {
    throw new VerificationError(
      `version ${policy.version} names nobody who may sign a successor`,
    );
  }
  await requireQuorum(named, update, `of version ${policy.version}`);
  const next = await read(update, `what comes after version ${policy.version}`);
  if (next.version !== policy.version + 1 || next.previous !== policy.sha256) {
    throw new VerificationError(
      `expected version ${policy.version + 1} after ${policy.sha256},` +
        ` found version ${next.version} after ${next.previous ?? "nothing"}`,
    );
  }
  const own = next.successor;
  if (own !== undefined) await requireQuorum(own, update, "of its own");
  for (const keyid of update.signatures.keys()) {
    if (!named.keys.has(keyid) && !own?.keys.has(keyid)) {
      throw new VerificationError(
        `version ${next.version} is signed by ${keyid}, whom nobody named`,
      );
    }
  }
  return next;
}

/**
 * Verify every signature by keys that are named; a quorum of them is needed.
 * @param {Successor} named
 * @param {Update} update
 * @param {string} whose
 */
async function requireQuorum(named, update, whose) {
  const signed = preAuthenticationEncoding(update.unverifiedPolicy);
  let count = 0;
  for (const [keyid, signature] of update.signatures) {
    const key = named.keys.get(keyid);
    if (key === undefined) continue;
    await key.verify(signature, signed);
    count += 1;
  }
  if (count < named.least) {
    throw new VerificationError(
      `signed by ${count} of the keys ${whose}, want ${named.least}`,
    );
  }
}

/**
 * What each signature is over (DSSE's PAE).
 * @param {Bytes} payload
 */
function preAuthenticationEncoding(payload) {
  const head = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `;
  return joinBytes(encodeText(head), payload);
}
