/**
 * Ed25519 points under which nobody can have a key of their own.
 *
 * Under a point of small order, signatures verify that nobody made; a point in a second
 * encoding would be a second key. Both are refused, in the keys of identities as in those
 * of logs, witnesses and index monitors (docs/protocol.md 2.1, 7.1).
 */

import { copyBytes, readInteger } from "./encoding.js";
import { MalformedError } from "./errors.js";

const FIELD = 2n ** 255n - 19n;
const ORDER_8_Y = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
/** The y of all points whose order divides 8, whatever the sign of x. */
const SMALL_ORDER_Y = [0n, 1n, FIELD - 1n, ORDER_8_Y, FIELD - ORDER_8_Y];
/** All bits of an encoded point but the sign of x. */
const Y_BITS = 2n ** 255n - 1n;

/**
 * Check the 32 bytes of a public key.
 * @param {Uint8Array} encoded
 * @throws {MalformedError} of small order, or not canonical
 */
export function checkPoint(encoded) {
  const y = readInteger(copyBytes(encoded).reverse()) & Y_BITS;
  if (y >= FIELD || SMALL_ORDER_Y.includes(y)) {
    throw new MalformedError("Ed25519 key: a point of small order, or not canonical");
  }
}
