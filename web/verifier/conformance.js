/**
 * A program that answers the conformance vectors: JSON in, JSON out, a line each.
 *
 *     pcrlog conformance run node web/verifier/conformance.js
 *
 * Node only; answering.js, which it asks, runs in browsers too.
 */

import { createInterface } from "node:readline";
import { answer } from "./answering.js";
import { readAsk, writeAnswer } from "./ask.js";

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${writeAnswer(await answer(readAsk(line)))}\n`);
}
