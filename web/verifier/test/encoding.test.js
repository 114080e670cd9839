/** What the conformance vectors cannot ask: each decoder takes one spelling alone. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  LATEST,
  decodeBase64,
  decodeHex,
  decodeJson,
  decodeText,
  encodeBase64,
  encodeHex,
  encodeText,
  encodeU64,
  formatTime,
  jsonText,
  parseDecimal,
  parseJson,
  parseTime,
  printable,
  readInteger,
  shown,
} from "../encoding.js";
import { MalformedError } from "../errors.js";

/** @param {string} json */
const canonical = (json) => decodeJson(encodeText(json), { asciiOnly: false });

test("base64 decodes what it encodes, of any length", () => {
  for (let length = 0; length < 70; length += 1) {
    const data = Uint8Array.from({ length }, (_, at) => (at * 37 + length) & 255);
    assert.deepEqual(decodeBase64(encodeBase64(data)), data);
  }
});

test("base64 in another spelling is refused", () => {
  for (const text of ["AQI", "AQI=\n", " AQI=", "AQJ=", "A_-=", "AQI==", "=", "é"]) {
    assert.throws(() => decodeBase64(text), MalformedError, text);
  }
});

test("hex in another spelling is refused", () => {
  assert.deepEqual(decodeHex("00ff"), Uint8Array.of(0, 255));
  for (const text of ["0", "0F", "0x", "00\n", "zz"]) {
    assert.throws(() => decodeHex(text), MalformedError, text);
  }
  assert.throws(() => decodeHex("00", 2), /expected 4 hex digits, found 2/);
  assert.equal(encodeHex(Uint8Array.of(0, 10, 255)), "000aff");
});

test("decimals reach 2^63-1 and no further", () => {
  assert.equal(parseDecimal("9223372036854775807"), 2n ** 63n - 1n);
  for (const text of ["9223372036854775808", "01", "+1", "-1", "1_0", "", "1\n", "١"]) {
    assert.throws(() => parseDecimal(text), MalformedError, text);
  }
});

test("times are seconds that exist, from 1970 on", () => {
  assert.equal(parseTime("1970-01-01T00:00:00Z"), 0);
  assert.equal(parseTime("9999-12-31T23:59:59Z"), LATEST);
  assert.equal(formatTime(parseTime("2024-02-29T12:00:00Z")), "2024-02-29T12:00:00Z");
  const others = [
    "2023-02-29T12:00:00Z",
    "2023-02-30T12:00:00Z",
    "2026-11-23T24:00:00Z",
    "2026-11-23T07:00:60Z",
    "1969-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "2026-11-23 07:00:00Z",
    "2026-11-23T07:00:00.0Z",
    "2026-11-23T07:00:00+00:00",
    "2026-W48-1T07:00:00Z",
  ];
  for (const text of others) assert.throws(() => parseTime(text), MalformedError, text);
});

test("UTF-8 is strict, and a byte order mark is a character", () => {
  assert.equal(decodeText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
  for (const bytes of [[0xc0, 0x80], [0xed, 0xa0, 0x80], [0xff], [0xe2, 0x82]]) {
    assert.throws(() => decodeText(Uint8Array.from(bytes)), MalformedError);
  }
});

test("integers of bytes are big-endian", () => {
  assert.deepEqual(encodeU64(258n), Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2));
  assert.equal(readInteger(encodeU64(2n ** 64n - 1n)), 2n ** 64n - 1n);
  assert.equal(readInteger(new Uint8Array(0)), 0n);
});

test("names of members sort by UTF-16 code units, as RFC 8785 says", () => {
  const sorted = '{"\\r":1,"1":2,"a":3,"é":4,"😀":5,"﬩":6}';
  assert.equal(jsonText(canonical(sorted)), sorted);
  assert.throws(() => canonical('{"﬩":6,"😀":5}'), MalformedError);
});

test("names that look like numbers do not come first", () => {
  assert.equal(jsonText(parseJson('{"b":1,"10":2,"9":3}')), '{"10":2,"9":3,"b":1}');
});

test("a member named __proto__ is a member, and nothing is inherited", () => {
  const value = canonical('{"__proto__":{"log":1},"a":2}');
  assert.deepEqual(Object.keys(/** @type {object} */ (value)), ["__proto__", "a"]);
  assert.ok(!("log" in /** @type {object} */ (value)));
  assert.ok(!("toString" in /** @type {object} */ (parseJson("{}"))));
});

test("JSON in another spelling is refused", () => {
  const others = [
    '{"a":1,"a":1}',
    '{"a":1,"a":2}',
    '{"b":1,"a":2}',
    '{"a": 1}',
    "[1.0]",
    "[1e0]",
    "[-0]",
    "[9007199254740993]",
    '["\\u0061"]',
    '["\\/"]',
    '["\\u000A"]',
    "[1]\n",
    "",
  ];
  for (const json of others) assert.throws(() => canonical(json), MalformedError, json);
});

test("half a surrogate pair is no JSON, wherever it stands", () => {
  for (const json of ['["\\ud800"]', '{"\\udc00":1}', '["\\ud800a"]']) {
    assert.throws(() => parseJson(json), MalformedError, json);
  }
  assert.equal(jsonText(parseJson('["\\ud83d\\ude00"]')), '["😀"]');
});

test("nesting without end is refused, not a crash", () => {
  for (const depth of [1_025, 100_000]) {
    const json = "[".repeat(depth) + "]".repeat(depth);
    assert.throws(() => parseJson(json), MalformedError);
  }
  parseJson("[".repeat(1_024) + "]".repeat(1_024));
});

test("numbers inside strings are not numbers", () => {
  const json = `["1e999","\\"1e999\\\\",${"9".repeat(4_300)}]`;
  assert.ok(Array.isArray(parseJson(json)));
  assert.throws(() => parseJson("[1e999]"), MalformedError);
  assert.throws(() => parseJson(`[-${"9".repeat(4_301)}]`), MalformedError);
});

test("messages quote hostile text harmlessly and briefly", () => {
  assert.equal(shown('a\u202e"\u0007'), '"a\\u202e\\"\\u0007"');
  assert.equal(shown("x".repeat(81)), `"${"x".repeat(80)}"...`);
  assert.equal(printable("ok\u001b[31m\u202e"), "ok?[31m?");
});
