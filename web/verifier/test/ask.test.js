/** The driver of the vectors: sizes beyond 2^53 are read and written to the digit. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, integer, list, object, readAsk, text, writeAnswer } from "../ask.js";
import * as errors from "../errors.js";

test("integers keep all their digits, and strings of digits stay strings", () => {
  const line =
    '{"op":"x","size":9223372036854775807,"s":"9223372036854775807 \\" [1]"}';
  const ask = readAsk(line);
  assert.equal(integer(ask, "size"), 2n ** 63n - 1n);
  assert.equal(text(ask, "s"), '9223372036854775807 " [1]');
  const answer = writeAnswer({ ok: { size: 2n ** 63n - 1n, small: 1, none: null } });
  assert.equal(answer, '{"ok":{"size":9223372036854775807,"small":1,"none":null}}');
});

test("a question that lacks a member is a mistake, not an answer", () => {
  const ask = readAsk('{"op":"x"}');
  assert.throws(() => bytes(ask, "leaf"), TypeError);
  assert.throws(() => integer(ask, "size"), TypeError);
  assert.deepEqual(list(ask, "proof"), []);
  assert.deepEqual(object(ask, "memory"), {});
});

test("each error has its word", () => {
  const words = new Map([
    [new errors.MalformedError("m"), "malformed"],
    [new errors.VerificationError("m"), "refused"],
    [
      new errors.InconsistencyError("m", new Uint8Array(0), new Uint8Array(0)),
      "refused",
    ],
    [new errors.UncheckedError("m"), "unchecked"],
    [new errors.UsageError("m"), "usage"],
  ]);
  for (const [error, word] of words) {
    assert.equal(error.word, word);
    assert.ok(error instanceof errors.PcrlogError);
    assert.equal(error.name, error.constructor.name);
  }
});
