/**
 * AWS Nitro Enclaves, platform `aws-nitro`; nitro-document.js reads them.
 *
 * PCR0 is the whole image, PCR1 its kernel and boot, PCR2 the application, PCR4 the
 * machine. A debug enclave is one whose PCR0, PCR1 and PCR2 are zero. "All registers are
 * zero" is not the test: PCR4 never is.
 */

import { encodeHex, encodeText, joinBytes } from "../encoding.js";
import { isZero } from "../measurement.js";
import * as nitro from "./nitro-document.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Claims, Kind } from "./nitro-document.js" */
/** @import { Platform } from "./platform.js" */

const NAME = "aws-nitro";
const IMAGE = ["PCR0", "PCR1", "PCR2"];

/**
 * Why the enclave is open to its host: PCR0, PCR1 and PCR2 are all zero.
 * @param {Map<string, string>} registers
 */
function debug(registers) {
  const open = IMAGE.every((name) => isZero(registers.get(name) ?? ""));
  return open ? "PCR0, PCR1 and PCR2 are zero: debug mode" : "";
}

/** @param {Claims} claims */
async function notes({ moduleId, registers }) {
  const [instance] = moduleId.split("-enc", 1);
  const named = joinBytes(new Uint8Array(48), encodeText(instance ?? ""));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-384", named));
  if (registers.get("PCR4") === `sha384:${encodeHex(digest)}`) return [];
  return ["PCR4 is not the hash of the instance that module_id names"];
}

/** @type {Kind} */
const KIND = {
  name: NAME,
  member: "pcrs",
  registers: 32,
  required: IMAGE,
  debug,
  notes,
};

/** @type {Platform} */
export const PLATFORM = {
  name: NAME,
  roots: [nitro.ROOT],
  parse: (/** @type {Bytes} */ data) => nitro.parse(data, KIND),
  steps: nitro.STEPS,
};
