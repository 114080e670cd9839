/**
 * Requests to the registrar: who asks to be enrolled, or to have a change co-signed.
 *
 *     {"format": "pcrlog-request/v1",
 *      "keys": [{"key": base64 SPKI, "sig": base64}, ...],
 *      "log": origin, "name": name,
 *      "rotation": {"payload": base64, "signatures": [{"keyid": …, "sig": …}]}}
 *
 * Canonical JSON. Each key proves that somebody holds it: `sig` is over the line
 * `pcrlog/request/v1`, the log, the name and the payload of the rotation (empty if there
 * is none), each ended by LF (docs/protocol.md 2.2). Verification never meets one; a page
 * can show what somebody is asked to sign.
 */

import * as limits from "./limits.js";
import { decodeJson, encodeText, joinBytes } from "./encoding.js";
import { SIGNATURE, readSignatures } from "./envelope.js";
import { MalformedError } from "./errors.js";
import { PublicKey } from "./keys.js";
import { NAME, ORIGIN } from "./predicates.js";
import { base64, list, oneOf, record, text } from "./shapes.js";

/** @import { Bytes } from "./encoding.js" */

const MOST = 2 * limits.ENVELOPE;
const LF = 0x0a;

const REQUEST = record(
  {
    format: oneOf("pcrlog-request/v1"),
    log: text(ORIGIN),
    name: text(NAME),
    keys: list(record({ key: base64(), sig: base64() }), {
      most: limits.KEYS_OF_IDENTITY,
    }),
  },
  { rotation: record({ payload: base64(), signatures: list(SIGNATURE) }) },
);

/**
 * An identity's `payload` and the `signatures` it has so far, by keyid.
 * @typedef {{ readonly payload: Bytes, readonly signatures: ReadonlyMap<string, Bytes> }}
 *   Rotation
 */

/** A request: whoever made it holds the keys of each of `spki`. */
export class Request {
  /**
   * @param {string} log
   * @param {string} name
   * @param {readonly Bytes[]} spki at least one in a first enrolment; in a rotation those
   *   that it adds
   * @param {Rotation} [rotation]
   */
  constructor(log, name, spki, rotation) {
    this.log = log;
    this.name = name;
    this.spki = spki;
    this.rotation = rotation;
  }

  /**
   * Read a request and check each proof of possession.
   * @param {Bytes} data
   * @throws {MalformedError} not a request
   * @throws {VerificationError} a key's signature does not verify
   * @throws {UncheckedError} a key of an unknown algorithm
   */
  static async parse(data) {
    if (data.length > MOST) {
      throw new MalformedError(`request has ${data.length} bytes, at most ${MOST}`);
    }
    let end = data.length;
    while (data[end - 1] === LF) end -= 1;
    const request = REQUEST(decodeJson(data.subarray(0, end)), "request");
    const { keys, log, name } = request;
    const rotation = request.rotation && {
      payload: request.rotation.payload,
      signatures: readSignatures(request.rotation.signatures),
    };
    if (keys.length === 0 && rotation === undefined) {
      throw new MalformedError("request: expected at least one key");
    }
    const signed = joinBytes(
      encodeText(`pcrlog/request/v1\n${log}\n${name}\n`),
      rotation?.payload ?? new Uint8Array(0),
      Uint8Array.of(LF),
    );
    for (const { key, sig } of keys) {
      await (await PublicKey.fromSpki(key)).verify(sig, signed);
    }
    return new Request(
      log,
      name,
      keys.map(({ key }) => key),
      rotation,
    );
  }
}
