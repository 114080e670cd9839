/**
 * What is given to the page: files that are chosen or dropped, and the form's fields.
 *
 * Files are read here and stay here. A file that is dropped anywhere says itself what it
 * is; what it is worth, the verifier says.
 */

import { encodeText, encodeHex, formatTime } from "../verifier/encoding.js";
import { PcrlogError, UsageError } from "../verifier/errors.js";
import { Policy } from "../verifier/policy.js";
import { choose, element, named } from "./elements.js";
import { contentOf, startOf } from "./files.js";
import { joined } from "./words.js";

/** @import { Bytes } from "../verifier/encoding.js" */
/** @import { Product, Quorum } from "../verifier/policy.js" */

const NONCE = 32;
const ANY = "/*";
const POLICY_NAME = /\.toml$/i;
/** What the maker of a machine publishes of it: JSON, with its word on what is up to date. */
const COLLATERAL = /^\s*\{[^]*"tcb_info"\s*:/;

/** What was given so far. */
export const given = {
  /** @type {Bytes | undefined} */ document: undefined,
  /** @type {Policy | undefined} */ policy: undefined,
  /** @type {Bytes | undefined} */ bundle: undefined,
  /** @type {Bytes | undefined} */ collateral: undefined,
};

export const form = named("form", HTMLFormElement);
const pasted = named("document-text", HTMLTextAreaElement);
export const address = named("document-url", HTMLInputElement);
const product = named("product", HTMLSelectElement);
const productName = named("product-name", HTMLInputElement);
export const logUrl = named("log-url", HTMLSelectElement);
export const nonce = named("nonce", HTMLInputElement);
export const at = named("at", HTMLInputElement);
export const have = named("have", HTMLInputElement);

/**
 * Say what was taken, or what was wrong with it.
 * @param {"document" | "policy" | "bundle" | "collateral"} what
 * @param {string} words
 * @param {boolean} [wrong]
 */
function say(what, words, wrong = false) {
  const line = named(`${what}-given`, HTMLElement);
  const taken = element("span", { class: wrong ? "wrong" : "taken" }, words);
  line.replaceChildren(...(words === "" ? [] : [taken]));
}

/** Reading takes a while: what was found meanwhile is about what was given before. */
function changed() {
  form.dispatchEvent(new Event("input"));
}

/**
 * @param {string} name
 * @param {Bytes} data
 */
export function takeDocument(name, data) {
  given.document = data;
  pasted.value = "";
  say("document", `${name}, ${data.length} bytes`);
  changed();
}

/** Forget the document: another one is on its way. */
export function dropDocument() {
  given.document = undefined;
  say("document", "");
}

/**
 * @param {string} name
 * @param {Bytes} data
 */
function takeBundle(name, data) {
  given.bundle = data;
  have.checked = true;
  say("bundle", `${name}, ${data.length} bytes`);
  changed();
}

/**
 * @param {string} name
 * @param {Bytes} data
 */
function takeCollateral(name, data) {
  given.collateral = data;
  say("collateral", `${name}, ${data.length} bytes: the maker's collateral`);
  changed();
}

/**
 * @param {string} name
 * @param {Bytes} data
 */
async function takePolicy(name, data) {
  try {
    const policy = await Policy.parse(data);
    given.policy = policy;
    const until = formatTime(policy.validUntil).slice(0, 10);
    const digest = policy.sha256.slice(0, 12);
    say("policy", `${name}, SHA-256 ${digest}…, valid until ${until}`);
    choose(product, [...policy.products.keys()]);
    choose(
      logUrl,
      [...policy.logs.values()].map((log) => log.url),
    );
    offerProduct();
  } catch (error) {
    forgetPolicy();
    say("policy", messageOf(error), true);
  }
  changed();
}

function forgetPolicy() {
  given.policy = undefined;
  choose(product, []);
  choose(logUrl, []);
  offerProduct();
}

/**
 * What the policy demands of the product that is chosen. A table for all products of a
 * provider asks for the name of one.
 */
function offerProduct() {
  const any = product.value.endsWith(ANY);
  named("any", HTMLElement).hidden = !any;
  productName.value = any ? product.value.slice(0, -1) : product.value;
  const rules = given.policy?.findProduct(product.value);
  const rows = given.policy && rules ? demands(given.policy, rules) : [];
  named("demands", HTMLElement).replaceChildren(
    ...rows.flatMap(([name, value]) => [
      element("dt", {}, name),
      element("dd", {}, value),
    ]),
  );
}

/**
 * @param {Policy} policy
 * @param {Product} rules
 * @returns {[name: string, value: string][]}
 */
function demands({ logs }, { links, auditors, lowestVersion, channel }) {
  const log = [...logs.values()].find(({ url }) => url === logUrl.value);
  /** @param {Quorum | undefined} quorum */
  const some = (quorum) =>
    quorum === undefined ? "waived" : `${quorum.least} of ${quorum.keys.length}`;
  return [
    ["Links", joined(links.map(String))],
    ["Auditors", joined(auditors.map(({ name }) => name)) || "none count"],
    ["Witnesses", some(log?.witnesses)],
    ["Index monitors", some(log?.indexMonitors)],
    ["Lowest version", lowestVersion === undefined ? "any" : `${lowestVersion}`],
    ["Channel", channel],
  ];
}

/**
 * Whatever was dropped: each file says itself what it is. But a policy that is called
 * something else, a bundle say, may come from who is to be checked, and is not taken.
 * @param {Iterable<File>} files
 * @throws {UsageError} some could not be read; the others are taken
 */
export async function takeAny(files) {
  const unread = [];
  for (const file of files) {
    let data;
    try {
      data = await contentOf(file);
    } catch (error) {
      unread.push(messageOf(error));
      continue;
    }
    const start = startOf(data);
    if (start.startsWith('{"answers"')) takeBundle(file.name, data);
    else if (COLLATERAL.test(start)) takeCollateral(file.name, data);
    else if (start.includes("pcrlog-policy/v1")) await takeDropped(file.name, data);
    else takeDocument(file.name, data);
  }
  if (unread.length > 0) throw new UsageError(unread.join("; "));
}

/**
 * @param {string} name
 * @param {Bytes} data
 */
async function takeDropped(name, data) {
  if (POLICY_NAME.test(name)) return takePolicy(name, data);
  const words = `${name} holds a policy: if it is yours, choose it here or call it .toml`;
  say("policy", words, true);
}

/**
 * @param {unknown} error
 * @returns {string}
 * @throws anything that is a mistake of ours
 */
export function messageOf(error) {
  if (error instanceof PcrlogError) return error.message;
  throw error;
}

/**
 * A member of the form, read or refused.
 * @template T
 * @param {HTMLInputElement} input
 * @param {(text: string) => T} read
 * @returns {T | undefined}
 */
export function readField(input, read) {
  const text = input.value.trim();
  input.removeAttribute("aria-invalid");
  if (text === "") return undefined;
  try {
    return read(text);
  } catch (error) {
    input.setAttribute("aria-invalid", "true");
    throw new UsageError(
      `${input.labels?.[0]?.textContent ?? ""}: ${messageOf(error)}`,
    );
  }
}

/**
 * The document, the policy and the product of a run.
 * @returns {{ data: Bytes, policy: Policy, name: string }}
 * @throws {UsageError} one of them was not given
 */
export function wanted() {
  const text = pasted.value.trim();
  const data = text === "" ? given.document : encodeText(text);
  const { policy } = given;
  if (data === undefined) throw new UsageError("give a document first (step 1)");
  if (policy === undefined) throw new UsageError("give your policy first (step 2)");
  const name = productName.value.trim();
  policy.product(name);
  return { data, policy, name };
}

/** A nonce that nobody had before; it stands in its field, and is returned. */
export function newNonce() {
  nonce.value = encodeHex(crypto.getRandomValues(new Uint8Array(NONCE)));
  return nonce.value;
}

/** Listen to the fields that take something. */
export function listenToAll() {
  listen("document", takeDocument);
  listen("policy", takePolicy);
  listen("bundle", takeBundle);
  pasted.addEventListener("input", dropDocument);
  product.addEventListener("change", offerProduct);
  logUrl.addEventListener("change", offerProduct);
  named("nonce-new", HTMLButtonElement).addEventListener("click", () => {
    newNonce();
    nonce.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

/**
 * @param {"document" | "policy" | "bundle"} what
 * @param {(name: string, data: Bytes) => unknown} take
 */
function listen(what, take) {
  const input = named(`${what}-file`, HTMLInputElement);
  input.addEventListener("change", async () => {
    const [file] = input.files ?? [];
    try {
      if (file !== undefined) await take(file.name, await contentOf(file));
    } catch (error) {
      refuse(what, messageOf(error));
    }
    input.value = ""; // the same file may be given again
  });
}

/**
 * Whoever chose another file does not want what was there before.
 * @param {"document" | "policy" | "bundle"} what
 * @param {string} words
 */
function refuse(what, words) {
  given[what] = undefined;
  if (what === "document") pasted.value = "";
  if (what === "policy") forgetPolicy();
  // Whoever has chosen a bundle does not want the log to be asked.
  if (what === "bundle") have.checked = true;
  say(what, words, true);
  changed();
}
