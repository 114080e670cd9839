/**
 * DSSE envelopes: what a statement travels and is stored in, byte for byte.
 *
 *     {"payload": base64 of the statement,
 *      "payloadType": "application/vnd.in-toto+json",
 *      "signatures": [{"keyid": hex, "sig": base64}, ...]}
 *
 * Canonical JSON of exactly these members, at most 32,768 bytes, one or two signatures
 * ascending by keyid (docs/protocol.md 2.1). Signed is DSSE's pre-authentication
 * encoding, `DSSEv1 <length> <type> <length> <payload>`.
 */

import * as limits from "./limits.js";
import {
  decodeJson,
  encodeBase64,
  encodeJson,
  encodeText,
  joinBytes,
} from "./encoding.js";
import { MalformedError } from "./errors.js";
import { base64, list, oneOf, record, text } from "./shapes.js";

/** @import { Bytes } from "./encoding.js" */

export const PAYLOAD_TYPE = "application/vnd.in-toto+json";
/** `{`: the first byte of a leaf that is a statement. */
export const FIRST_BYTE = 0x7b;
const MOST_SIGNATURES = 2;

export const KEYID = text(/^[0-9a-f]{64}$/);
/** One signature: `keyid`, and the bytes `sig`, which JSON spells in base64. */
export const SIGNATURE = record({ keyid: KEYID, sig: base64() });
/** @typedef {ReturnType<typeof SIGNATURE>} Signature */

const ENVELOPE = record({
  payload: base64(),
  payloadType: oneOf(PAYLOAD_TYPE),
  signatures: list(SIGNATURE),
});

/** An envelope's bytes `raw`, its decoded `payload`, its signatures, unverified. */
export class Envelope {
  /**
   * @param {Bytes} raw
   * @param {Bytes} payload
   * @param {ReadonlyMap<string, Bytes>} signatures keyid to signature, ascending
   */
  constructor(raw, payload, signatures) {
    this.raw = raw;
    this.payload = payload;
    this.signatures = signatures;
  }

  /**
   * Read an envelope.
   * @param {Bytes} raw
   * @throws {MalformedError} too large, not canonical, another payload type, no or more
   *   than two signatures, or these not ascending by keyid
   */
  static parse(raw) {
    checkSize(raw);
    const envelope = ENVELOPE(decodeJson(raw), "envelope");
    return new Envelope(raw, envelope.payload, readSignatures(envelope.signatures));
  }

  /**
   * The one envelope of a payload and its signatures.
   * @param {Bytes} payload
   * @param {readonly Signature[]} rows
   * @throws {MalformedError} as `parse`
   */
  static rebuild(payload, rows) {
    const signatures = readSignatures(rows);
    const raw = encodeJson({
      payload: encodeBase64(payload),
      payloadType: PAYLOAD_TYPE,
      signatures: rows.map(({ keyid, sig }) => ({ keyid, sig: encodeBase64(sig) })),
    });
    checkSize(raw);
    return new Envelope(raw, payload, signatures);
  }

  /** The bytes under each signature. */
  get signed() {
    const size = this.payload.length;
    const head = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${size} `;
    return joinBytes(encodeText(head), this.payload);
  }
}

/** @param {Bytes} raw */
function checkSize(raw) {
  if (raw.length > limits.ENVELOPE) {
    throw new MalformedError(
      `envelope has ${raw.length} bytes, at most ${limits.ENVELOPE}`,
    );
  }
}

/**
 * One or two signatures by keyid, ascending.
 * @param {readonly Signature[]} rows
 * @returns {ReadonlyMap<string, Bytes>}
 * @throws {MalformedError} none, more, or in another order
 */
export function readSignatures(rows) {
  const ascending = rows.every((row, at) => at === 0 || rows[at - 1].keyid < row.keyid);
  if (rows.length < 1 || rows.length > MOST_SIGNATURES || !ascending) {
    throw new MalformedError(
      "envelope: expected one or two signatures, ascending by keyid",
    );
  }
  return new Map(rows.map(({ keyid, sig }) => [keyid, sig]));
}
