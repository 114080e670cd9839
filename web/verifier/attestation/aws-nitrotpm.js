/**
 * EC2 instances that attest by NitroTPM, platform `aws-nitrotpm` (docs/protocol.md 8.5).
 *
 * The envelope is that of enclaves (nitro-document.js). Its 24 registers are a TPM's, and
 * say how the instance booted, not what has run since:
 *
 *     PCR0, PCR1        AWS's firmware; changes as AWS changes it
 *     PCR4              the boot manager: where a unified kernel image boots, all of it
 *     PCR7              Secure Boot: whether it is on, and whose keys it trusts
 *     PCR12             what was added to that image's command line; zero: nothing
 *     PCR8..15          extended by what boots, and by who is root in the instance
 *     PCR16, PCR23      anybody resets them: worth nothing
 *     PCR17..22         all ones until a launch that these instances do not have
 *
 * Identity is PCR4 with PCR12, which AWS compares for an Attestable AMI; a release adds
 * PCR7 where Secure Boot is on, and then that has to match too. There is no debug mode; an
 * instance whose PCR4 is zero, or all ones, has measured no boot.
 */

import { isBlank, isZero } from "../measurement.js";
import * as nitro from "./nitro-document.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Claims, Kind } from "./nitro-document.js" */
/** @import { Platform } from "./platform.js" */

const NAME = "aws-nitrotpm";

/**
 * Why the registers say nothing of what booted: PCR4 is zero, or all ones.
 * @param {Map<string, string>} registers
 */
function debug(registers) {
  const blank = isBlank(registers.get("PCR4") ?? "");
  return blank ? "PCR4 is zero or all ones: no boot was measured" : "";
}

/** @param {Claims} claims */
async function notes({ moduleId, registers }) {
  const found = [];
  if (!moduleId.includes("-tpm")) found.push("module_id names no TPM of an instance");
  if (!isZero(registers.get("PCR8") ?? "sha384:00")) {
    found.push(
      "PCR8 is not zero, as where GRUB boots: PCR4 is then GRUB alone, and says" +
        " nothing of kernel, command line or files",
    );
  }
  if (!isZero(registers.get("PCR13") ?? "sha384:00")) {
    found.push(
      "PCR13 is not zero, as where system extensions were added to what booted:" +
        " PCR4 and PCR12 say nothing of these",
    );
  }
  return found;
}

/** @type {Kind} */
const KIND = {
  name: NAME,
  member: "nitrotpm_pcrs",
  registers: 24,
  required: ["PCR4", "PCR12"],
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
