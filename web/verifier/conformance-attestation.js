/**
 * Answers about attestation documents (docs/conformance.md, `attestation`).
 */

import { bytes, byteStrings, integer, list, text } from "./ask.js";
import { decodeInput, genuine } from "./attestation.js";
import { encodeBase64 } from "./encoding.js";
import { PLATFORMS } from "./measurement.js";

/** @import { Ok, Operation } from "./ask.js" */
/** @import { Bytes } from "./encoding.js" */

/** @type {{ [op: string]: Operation }} */
export const operations = {
  async attestation(ask) {
    const data = decodeInput(bytes(ask, "document"));
    const name = ask.platform === undefined ? "aws-nitro" : text(ask, "platform");
    const [document, unmade] = await genuine(name, data, {
      roots: byteStrings(ask, "roots"),
      now: ask.now === undefined ? 0 : Number(integer(ask, "now")),
      collateral: ask.collateral === undefined ? undefined : bytes(ask, "collateral"),
      tcb: ask.tcb === undefined ? undefined : list(ask, "tcb").map(String),
      advisories: list(ask, "advisories").map(String),
    });
    /** @type {Ok} */
    const answer = {
      time: document.time,
      registers: Object.fromEntries(document.registers),
      debug: document.debug !== "",
      nonce: base64(document.nonce),
      user_data: base64(document.userData),
      public_key: base64(document.publicKey),
    };
    const { numbers } = document;
    if (numbers.size > 0) answer.numbers = Object.fromEntries(numbers);
    if (PLATFORMS.get(name)?.checks !== undefined) {
      answer.unchecked = unmade.map(({ check }) => check);
    }
    return answer;
  },
};

/** @param {Bytes | null} data */
function base64(data) {
  return data === null ? null : encodeBase64(data);
}
