/**
 * Where this page came from, and its own SHA-256.
 *
 * Whoever served a page can serve another one to the next reader, and a hash that it
 * computes of itself is its own word. A file on disk stays what it was when it was hashed.
 */

import { encodeHex, sha256 } from "../verifier/encoding.js";
import { PcrlogError } from "../verifier/errors.js";
import { download, element, hash, named } from "./elements.js";

const NAME = "verify.html";
/** Bytes of a page that can still be this one. */
const MOST = 4 << 20;

/** @import { Asker } from "./fetching.js" */

/**
 * Fill the section "About this page".
 * @param {Asker} asker
 * @param {boolean} remembers whether the browser lets the page remember
 */
export async function describe(asker, remembers) {
  const whence = named("whence", HTMLElement);
  const facts = named("itself", HTMLElement);
  if (location.protocol === "file:") {
    whence.textContent =
      "You opened it from your disk: nobody else chooses what it does. Check once that" +
      " it is the file that was released:";
    row(facts, "Its SHA-256", element("code", {}, `sha256sum ${NAME}`));
  } else {
    whence.textContent =
      `It came from ${location.host}, which could have sent you another page than` +
      " others get. Save it, compare its SHA-256 with the one that was released, and" +
      " open it from disk: then nobody can exchange it.";
    const name = named("name", HTMLElement);
    name.replaceChildren(element("a", { class: "name", href: "./" }, location.host));
    await describeServed(asker, facts);
  }
  row(
    facts,
    "Memory",
    remembers ? memoryWords() : "This browser lets it keep nothing.",
  );
}

/**
 * @param {Asker} asker
 * @param {HTMLElement} facts
 */
async function describeServed(asker, facts) {
  try {
    const address = location.href.split("#", 1)[0] ?? "";
    const bytes = await asker.get(address, MOST, "force-cache");
    const digest = encodeHex(await sha256(bytes));
    row(facts, "Its SHA-256", hash(digest));
    row(facts, "To keep", download(`Save ${NAME}`, NAME, bytes, "text/html"));
    const href = `./component/${digest}`;
    row(
      facts,
      "Its release",
      element("a", { href }, "What this log says of that hash"),
    );
  } catch (error) {
    if (!(error instanceof PcrlogError)) throw error;
    row(facts, "Its SHA-256", "The browser would not read the page once more.");
  }
}

function memoryWords() {
  const kept = "The newest checkpoint of each log, in this browser's own storage";
  return location.protocol === "file:"
    ? `${kept}. Of pages on disk some browsers forget it when they are closed.`
    : `${kept}.`;
}

/**
 * @param {HTMLElement} facts
 * @param {string} name
 * @param {Node | string} content
 */
function row(facts, name, content) {
  facts.append(element("dt", {}, name), element("dd", {}, content));
}
