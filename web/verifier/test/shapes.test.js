/** Shapes: members that are missing, unknown, or named like what objects inherit. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson } from "../encoding.js";
import { MalformedError } from "../errors.js";
import * as shapes from "../shapes.js";

const POINT = shapes.record(
  { x: shapes.integer(9) },
  { name: shapes.text(/^[a-z]+$/), toString: shapes.integer() },
);

/** @param {string} json */
const read = (json) => POINT(parseJson(json), "point");

test("a record has the members that it names, and no others", () => {
  assert.deepEqual(read('{"x":1}'), { x: 1 });
  assert.deepEqual(read('{"x":1,"name":"a"}'), { x: 1, name: "a" });
  assert.throws(() => read("{}"), /point: member x is missing/);
  assert.throws(() => read('{"x":1,"y":2}'), /point: unknown member "y"/);
});

test("nothing inherited is a member", () => {
  assert.ok(!Object.hasOwn(read('{"x":1}'), "toString"));
  for (const name of ["__proto__", "constructor", "hasOwnProperty"]) {
    assert.throws(() => read(`{"x":1,"${name}":{}}`), /unknown member/);
  }
});

test("an optional member is never null", () => {
  assert.throws(() => read('{"x":1,"name":null}'), /point.name: found null/);
});

test("an integer is one, within its bounds", () => {
  for (const value of ["10", "-1", "1.5", '"1"', "true", "null", "[]", "{}"]) {
    assert.throws(() => read(`{"x":${value}}`), MalformedError, value);
  }
});

test("lists, pairs and dictionaries say where they are wrong", () => {
  const list = shapes.list(shapes.integer(), { least: 1, most: 2 });
  assert.throws(() => list([], "l"), /l: 0 items, want 1..2/);
  assert.throws(() => list([1, "a"], "l"), /l\[1\]: found "a"/);
  assert.throws(() => list({}, "l"), /l: found an object, want a list/);
  const pair = shapes.pair(shapes.integer(), shapes.integer());
  assert.throws(() => pair([1], "p"), MalformedError);
  assert.throws(() => pair([1, 2, 3], "p"), MalformedError);
  const table = shapes.dictionary(shapes.text(/^[a-z]+$/), shapes.integer());
  assert.deepEqual([...table(parseJson('{"a":1}'), "d")], [["a", 1]]);
  assert.throws(() => table(parseJson('{"A":1}'), "d"), MalformedError);
  assert.throws(() => table(parseJson('{"a":-1}'), "d"), /d.a: found -1/);
});
