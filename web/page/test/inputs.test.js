/** What is taken, and when: with as much of a page as inputs.js asks for. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeText } from "../../verifier/encoding.js";

/** An element that keeps nothing but its listeners. */
class Stub extends EventTarget {
  value = "";
  checked = false;
  /** @type {unknown[]} */
  files = [];
  append() {}
  replaceChildren() {}
  setAttribute() {}
  removeAttribute() {}
}

/** @type {Map<string, Stub>} */
const elements = new Map();

/** @param {string} id */
function stub(id) {
  const found = elements.get(id) ?? new Stub();
  elements.set(id, found);
  return found;
}

Object.assign(globalThis, {
  HTMLElement: Stub,
  HTMLFormElement: Stub,
  HTMLTextAreaElement: Stub,
  HTMLInputElement: Stub,
  HTMLSelectElement: Stub,
  HTMLButtonElement: Stub,
  document: { getElementById: stub, createElement: () => new Stub() },
});

const { form, given, listenToAll, takeAny } = await import("../inputs.js");

/**
 * @param {string} name
 * @param {string} content
 * @param {Promise<void>} [late] when it has been read
 */
function file(name, content, late = Promise.resolve()) {
  const arrayBuffer = () => late.then(() => encodeText(content).buffer);
  return /** @type {File} */ (
    /** @type {unknown} */ ({ name, slice: () => ({ arrayBuffer }) })
  );
}

test("a file that takes its time ends the runs that began without it", async () => {
  listenToAll();
  let changes = 0;
  form.addEventListener("input", () => (changes += 1));
  /** @type {() => void} */
  let read = () => {};
  const late = new Promise((/** @type {(value: void) => void} */ done) => {
    read = done;
  });
  const input = stub("document-file");
  input.files = [file("document.cbor", "other", late)];
  input.dispatchEvent(new Event("change"));
  assert.equal(changes, 0);
  read();
  await new Promise((done) => setTimeout(done, 5));
  assert.equal(given.document?.length, 5);
  assert.equal(changes, 1);
});

test("a policy is taken from a drop only if it is called one", async () => {
  const policy = 'format = "pcrlog-policy/v1"\n';
  const own = /** @type {typeof given.policy} */ (
    /** @type {unknown} */ ({ own: true })
  );
  given.policy = own;
  await takeAny([
    file("answers.pcrbundle", policy),
    file("document.toml.cbor", policy),
  ]);
  assert.equal(given.policy, own);
  await takeAny([file("policy.toml", policy)]);
  assert.equal(given.policy, undefined, "it lacks everything");
});

test("what cannot be read is said, and the rest of a drop is taken", async () => {
  const gone = new DOMException("no such file", "NotFoundError");
  const policy = 'format = "pcrlog-policy/v1"\n';
  given.document = undefined;
  await assert.rejects(
    takeAny([
      file("a-folder", "", Promise.reject(gone)),
      file("document", "abc"),
      file("policy.toml", policy, Promise.reject(gone)),
    ]),
    /a-folder could not be read: expected a file.*policy.toml could not be read/,
  );
  const taken = /** @type {typeof given} */ (given);
  assert.equal(taken.document?.length, 3);
});

test("collateral is told from a bundle and from a document", async () => {
  given.document = given.bundle = undefined;
  await takeAny([file("any", '{\n "tcb_info_signature": "00",\n "tcb_info": "{}"}')]);
  const taken = /** @type {typeof given} */ (given);
  assert.equal(taken.collateral?.length, 49);
  assert.deepEqual([taken.document, taken.bundle], [undefined, undefined]);
});

test("a mistake of ours is not taken for a file that cannot be read", async () => {
  const late = Promise.reject(new TypeError("ours"));
  await assert.rejects(takeAny([file("document", "", late)]), TypeError);
});
