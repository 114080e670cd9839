/** CBOR that no document holds: depth, counts and heads at their bounds. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { DEPTH, decode, encodeArrayHead, encodeString } from "../attestation/cbor.js";
import { decodeHex, encodeHex, joinBytes } from "../encoding.js";
import { MalformedError } from "../errors.js";

/** @param {string} hex */
const read = (hex) => decode(decodeHex(hex));
/** @param {string} hex */
const refused = (hex) => assert.throws(() => read(hex), MalformedError, hex);

test("an example reads as what it is", () => {
  const value = read("bf656e6f6e6365430102036470637273a1004100ff");
  const expected = new Map(
    /** @type {[string, unknown][]} */ ([
      ["nonce", Uint8Array.of(1, 2, 3)],
      ["pcrs", new Map([[0n, Uint8Array.of(0)]])],
    ]),
  );
  assert.deepEqual(value, expected);
});

test("integers keep all their bits", () => {
  assert.equal(read("1bffffffffffffffff"), 2n ** 64n - 1n);
  assert.equal(read("3bffffffffffffffff"), -(2n ** 64n));
  assert.equal(read("1b0000000100000000"), 2n ** 32n);
  assert.equal(read("20"), -1n);
});

test("arrays and maps nest so deep and no deeper", () => {
  for (const [open, close] of [
    ["81", ""],
    ["9f", "ff"],
    ["a100", ""],
    ["bf00", "ff"],
  ]) {
    read(open?.repeat(DEPTH) + "00" + close?.repeat(DEPTH));
    refused(open?.repeat(DEPTH + 1) + "00" + close?.repeat(DEPTH + 1));
  }
  refused("9f".repeat(20_000));
  refused("81".repeat(20_000));
});

test("a count or length that the bytes cannot hold costs nothing", () => {
  for (const head of ["5b", "7b", "9b", "bb"]) {
    refused(`${head}ffffffffffffffff`);
    refused(`${head}7fffffffffffffff00`);
  }
  for (const head of ["5a", "7a", "9a", "ba"]) refused(`${head}7fffffff00`);
});

test("nothing is left over, and nothing is missing", () => {
  for (const hex of [
    "",
    "0000",
    "8100ff",
    "9f",
    "bf",
    "bf00",
    "bf00ff",
    "ff",
    "9f00",
  ]) {
    refused(hex);
  }
});

test("strings of indefinite length, tags, floats and other simple values are refused", () => {
  for (const hex of [
    "5fff",
    "5f4100ff",
    "7fff",
    "c000",
    "f7",
    "f90000",
    "f800",
    "f814",
  ]) {
    refused(hex);
  }
  for (let first = 0xc0; first < 0x100; first += 1) {
    if (first < 0xf4 || first > 0xf6) refused(`${first.toString(16)}0000000000000000`);
  }
});

test("an integer key and a text key of the same digits are two", () => {
  assert.equal(/** @type {Map<unknown, unknown>} */ (read("a20100613100")).size, 2);
  refused("a201000100");
  refused("a2613100613100");
});

test("text is UTF-8, a byte order mark a part of it", () => {
  assert.equal(read("63efbbbf"), "\ufeff");
  for (const hex of ["61ff", "62c080", "63eda080", "64f4908080", "61c3"]) refused(hex);
});

test("what is written is read back, with the shortest head", () => {
  for (const size of [0, 23, 24, 255, 256, 65_535, 65_536]) {
    const data = new Uint8Array(size);
    assert.deepEqual(decode(encodeString(data)), data);
    assert.equal(decode(encodeString("x".repeat(size))), "x".repeat(size));
    const items = decode(joinBytes(encodeArrayHead(size), data));
    assert.equal(/** @type {unknown[]} */ (items).length, size);
  }
  assert.equal(encodeHex(encodeString(new Uint8Array(256)).subarray(0, 3)), "590100");
});
