/**
 * Answers about attestation documents (docs/conformance.md, `attestation`).
 */

import { bytes, byteStrings } from "./ask.js";
import { decodeInput, platform } from "./attestation.js";
import { encodeBase64 } from "./encoding.js";

/** @import { Operation } from "./ask.js" */
/** @import { Bytes } from "./encoding.js" */

/** @type {{ [op: string]: Operation }} */
export const operations = {
  async attestation(ask) {
    const unverified = await platform("aws-nitro").parse(
      decodeInput(bytes(ask, "document")),
    );
    const signed = await unverified.verifySignature();
    const document = await signed.verifyChain(byteStrings(ask, "roots"));
    return {
      time: document.time,
      registers: Object.fromEntries(document.registers),
      debug: document.debug,
      nonce: base64(document.nonce),
      user_data: base64(document.userData),
      public_key: base64(document.publicKey),
    };
  },
};

/** @param {Bytes | null} data */
function base64(data) {
  return data === null ? null : encodeBase64(data);
}
