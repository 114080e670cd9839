/**
 * Files that people choose or drop: what is in them, or why the browser cannot say.
 *
 * A browser hands over a name and a promise. Whether there is a file behind it that may be
 * read shows when it is read: a folder, for one, can be dropped like a file.
 */

import { UsageError } from "../verifier/errors.js";
import * as limits from "../verifier/limits.js";

/** @import { Bytes } from "../verifier/encoding.js" */

/**
 * @param {File} file
 * @returns {Promise<Bytes>}
 * @throws {UsageError} the browser cannot read it
 */
export async function contentOf(file) {
  try {
    // The verifier says what is too long; this only keeps a film out of memory.
    return new Uint8Array(await file.slice(0, limits.BUNDLE + 1).arrayBuffer());
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    throw new UsageError(
      `${file.name} could not be read: expected a file, found a folder, or a file that was` +
        " moved or changed meanwhile, or that the browser may not read. Choose it again",
    );
  }
}

/**
 * As much of a file as tells what it is.
 * @param {Bytes} data
 */
export function startOf(data) {
  return new TextDecoder().decode(data.subarray(0, limits.POLICY));
}
