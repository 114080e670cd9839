/**
 * This package's own answers to the conformance vectors, in Node as in a browser.
 *
 * The questions are those of tests/vectors, and docs/conformance.md is their
 * specification. Files conformance-*.js have a function for each operation.
 */

import { operations as attestation } from "./conformance-attestation.js";
import { operations as log } from "./conformance-log.js";
import { operations as policy } from "./conformance-policy.js";
import { operations as reports } from "./conformance-reports.js";
import { operations as verification } from "./conformance-verification.js";
import { PcrlogError } from "./errors.js";

/** @import { Answer, Ask, Operation } from "./ask.js" */

/** @type {ReadonlyMap<string, Operation>} */
const OPERATIONS = new Map(
  [attestation, log, policy, reports, verification].flatMap((some) =>
    Object.entries(some),
  ),
);

/**
 * `{"ok": ...}` or `{"error": word}`; `unsupported` is an operation not known.
 * @param {Ask} ask
 * @returns {Promise<Answer>}
 */
export async function answer(ask) {
  const operation = OPERATIONS.get(String(ask.op));
  if (operation === undefined) return { error: "unsupported" };
  try {
    return { ok: await operation(ask) };
  } catch (error) {
    if (error instanceof PcrlogError) return { error: error.word };
    throw error;
  }
}
