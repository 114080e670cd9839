/**
 * What the page asks of others, and a record of it: nothing is asked but through here.
 *
 * No cookie, no referrer, no redirect, no cache; an answer that is too long or too late is
 * no answer. Nothing that is fetched is believed.
 */

import { joinBytes } from "../verifier/encoding.js";
import { UncheckedError } from "../verifier/errors.js";

/** @import { Bytes } from "../verifier/encoding.js" */

const PATIENCE = 20_000;

/** Asks, and remembers what was asked. */
export class Asker {
  /** @type {string[]} */
  asked = [];

  /**
   * @param {string} url
   * @param {number} most bytes
   * @param {RequestCache} [cache]
   * @returns {Promise<Bytes>}
   * @throws {UncheckedError} nothing that could be used
   */
  async get(url, most, cache = "no-store") {
    this.asked.push(url);
    let answer;
    try {
      answer = await fetch(url, {
        mode: "cors",
        credentials: "omit",
        redirect: "error",
        cache,
        referrerPolicy: "no-referrer",
        signal: AbortSignal.timeout(PATIENCE),
      });
      if (!answer.ok) throw new UncheckedError(`${url} answers ${answer.status}`);
      return await body(answer, url, most);
    } catch (error) {
      if (error instanceof UncheckedError) throw error;
      throw new UncheckedError(`${url}: ${reason(error)}`);
    }
  }
}

/**
 * @param {Response} answer
 * @param {string} url
 * @param {number} most
 * @returns {Promise<Bytes>}
 */
async function body(answer, url, most) {
  const reader = answer.body?.getReader();
  /** @type {Bytes[]} */
  const parts = [];
  let length = 0;
  for (;;) {
    const step = await reader?.read();
    if (step === undefined || step.done) return joinBytes(...parts);
    length += step.value.length;
    if (length > most) {
      await reader?.cancel();
      throw new UncheckedError(`${url} answers more than ${most} bytes`);
    }
    parts.push(Uint8Array.from(step.value));
  }
}

/** @param {unknown} error */
function reason(error) {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return `no answer within ${PATIENCE / 1000} seconds`;
  }
  // A browser does not tell a page why: no network, no name, no certificate, or a server
  // that does not let other pages read its answers.
  return (
    "the browser could not get it: no such server, a redirect, or one that does not let" +
    " pages of other sites read it (Access-Control-Allow-Origin)"
  );
}
