/**
 * Link 8, infrastructure: who could forge the document, and do they run the machines?
 *
 * All links rest on whoever makes the hardware and signs for it. Whether the same
 * company also has the machines in its hands is known of some platforms (AWS alone runs
 * Nitro); of others a policy says it, by `operator` (docs/protocol.md section 1). A
 * policy that demands `ground = "separate"` is failed where both are one, and could not
 * be checked where nobody says who runs the machines (adr/0051).
 */

import { PLATFORMS } from "../measurement.js";

/** @import { Recorder } from "./checks.js" */
/** @typedef {"separate" | "same" | "unknown"} Word whether maker and operator are two */

/**
 * Who makes the hardware, who runs the machines, who could forge a document.
 *
 * Names as policies spell them; null where nobody knows, or nobody says.
 * @typedef {object} Infrastructure
 * @property {string | null} maker
 * @property {string | null} operator
 * @property {readonly string[]} forgers
 */

/**
 * What stands under a document of a platform.
 * @param {string | undefined} platform the document's; undefined if there is no document
 * @param {string | undefined} named whom the policy names as operator; a blank is nobody
 * @returns {Infrastructure}
 */
export function infrastructure(platform, named) {
  const operator = named?.trim() || null;
  const facts = platform === undefined ? undefined : PLATFORMS.get(platform)?.ground;
  if (facts === undefined) return { maker: null, operator, forgers: [] };
  const { maker, alone, forgers } = facts;
  return { maker, operator: alone ? maker : operator, forgers };
}

/**
 * Whether maker and operator are two.
 * @param {Infrastructure} found
 * @returns {Word}
 */
export function wordOf({ maker, operator }) {
  if (maker === null || operator === null) return "unknown";
  // Upper case first: so letters that differ in more than case meet, as in Python.
  return operator.toUpperCase().toLowerCase() === maker ? "same" : "separate";
}

/**
 * Record `policy.ground`.
 * @param {Infrastructure} found
 * @param {string} demanded "separate" or "any"
 * @param {Recorder} recorder
 */
export function record(found, demanded, recorder) {
  const check = "policy.ground";
  const word = wordOf(found);
  if (demanded !== "separate") {
    const expected = "nothing: the policy lets the maker run the machines";
    recorder.note(check, "pass", expected, word);
    return;
  }
  const expected = "machines that are not run by who makes their hardware";
  if (word === "separate") {
    const told = `${found.maker} makes the hardware, ${found.operator} runs the machines`;
    recorder.note(check, "pass", expected, told);
  } else if (word === "same") {
    const told = `${found.maker} makes the hardware and runs the machines`;
    recorder.note(check, "fail", expected, told);
  } else if (found.maker === null) {
    recorder.note(check, "unchecked", expected, "no hardware that is known of");
  } else {
    const told = `the policy does not say who runs the machines of ${found.maker}`;
    recorder.note(check, "unchecked", expected, told);
  }
}
