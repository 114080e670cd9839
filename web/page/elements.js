/**
 * Builds what the page shows, of text: no module here ever reads HTML.
 *
 * Whatever comes out of a document, a bundle, a policy or an answer is hostile text. It
 * becomes a text node or an attribute, after the characters that do not show (controls,
 * overrides of direction) were replaced; addresses are shown, and never made links.
 */

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * @param {string} text
 * @returns {string}
 */
export function visible(text) {
  return text.replace(/(?![\n\u202f])[\p{C}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Readonly<Record<string, string | boolean>>} attributes
 * @param {readonly Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  fill(made, attributes, children);
  return made;
}

/**
 * @param {string} tag
 * @param {Readonly<Record<string, string | boolean>>} attributes
 * @param {readonly Child[]} children
 * @returns {SVGElement}
 */
export function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(made, attributes, children);
  return /** @type {SVGElement} */ (made);
}

/**
 * @param {Element} made
 * @param {Readonly<Record<string, string | boolean>>} attributes
 * @param {readonly Child[]} children
 */
function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false) continue;
    made.setAttribute(name, value === true ? "" : visible(value));
  }
  for (const child of children) {
    if (typeof child === "string") made.append(visible(child));
    else if (child) made.append(child);
  }
}

/**
 * An element that verify.html has.
 * @template {Element} Kind
 * @param {string} id
 * @param {new () => Kind} kind
 * @returns {Kind}
 */
export function named(id, kind) {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`verify.html has no ${kind.name} called ${id}`);
}

/**
 * A file that the page made itself, to be kept.
 * @param {string} words
 * @param {string} name
 * @param {BlobPart} content
 * @param {string} [type]
 */
export function download(words, name, content, type = "application/octet-stream") {
  const href = URL.createObjectURL(new Blob([content], { type }));
  return element("a", { href, download: name }, words);
}

/**
 * A long hash: shown short, copied whole.
 * @param {string} value
 */
export function hash(value) {
  return element("code", { class: "hash", title: value }, value);
}

/**
 * A number in groups of three digits.
 * @param {number | bigint} value
 */
export function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/**
 * Offer a choice; of nothing, while no policy was given.
 * @param {HTMLSelectElement} select
 * @param {readonly string[]} values
 */
export function choose(select, values) {
  const options = values.map((value) => element("option", { value }, value));
  const none = element("option", { value: "" }, "Give a policy first");
  select.replaceChildren(...(options.length > 0 ? options : [none]));
  select.disabled = options.length === 0;
}
