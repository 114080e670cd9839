/**
 * Certificates in PEM (RFC 7468), as quotes and collateral carry several in one text.
 *
 *     -----BEGIN CERTIFICATE-----
 *     base64, in lines of 64 characters or 76, the last shorter
 *     -----END CERTIFICATE-----
 *
 * one after the other, with nothing between, before or after; the last line may lack its
 * end. What is read is written again and compared: text around the blocks is in no
 * signature, and two readers could take it for two things.
 */

import { decodeBase64, encodeBase64, shown } from "../../encoding.js";
import { MalformedError } from "../../errors.js";

/** @import { Bytes } from "../../encoding.js" */

/** Certificates in one text; there are two or three. */
const MOST = 4;
const BODY =
  /-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]*)\n-----END CERTIFICATE-----/g;
const USUAL = 64;
const LONG = 76;

/**
 * The certificates (DER, as yet unread) in a text, one at least.
 * @param {string} text
 * @returns {readonly Bytes[]}
 * @throws {MalformedError} anything that `write` would not have written, or too many
 */
export function read(text) {
  const bodies = Array.from(text.matchAll(BODY), ([, body]) => body ?? "");
  if (bodies.length < 1 || bodies.length > MOST) {
    throw new MalformedError(
      `expected 1..${MOST} certificates in PEM, found ${bodies.length}`,
    );
  }
  const found = bodies.map((body) => decodeBase64(body.replaceAll("\n", "")));
  const written = found
    .map((der, at) => write(der, bodies[at]?.indexOf("\n") === LONG ? LONG : USUAL))
    .join("");
  if (text !== written && `${text}\n` !== written) {
    throw new MalformedError(
      `expected certificates in PEM, in lines of ${USUAL} or ${LONG} characters,` +
        ` with nothing around them; found ${shown(text)}`,
    );
  }
  return found;
}

/**
 * One certificate in PEM, with base64 in lines of `width` characters.
 * @param {Bytes} der
 * @param {number} [width]
 */
export function write(der, width = USUAL) {
  const text = encodeBase64(der);
  const lines = [];
  for (let at = 0; at < text.length; at += width) {
    lines.push(`${text.slice(at, at + width)}\n`);
  }
  return `-----BEGIN CERTIFICATE-----\n${lines.join("")}-----END CERTIFICATE-----\n`;
}
