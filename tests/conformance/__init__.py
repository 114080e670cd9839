"""Makes tests/vectors: `python -m tests.conformance` writes them, `--check` compares.

A case is a question, the answer that docs/protocol.md gives, and why. The point of the
answer (the error, the verdict, the links, the checks that did not pass) is written by
hand beside the question; the rest of it, which no reader would type without a mistake,
is filled in by pcrlog. Where the two differ, nothing is written: one of them is wrong.

Everything follows from seeds, so that the same code makes the same bytes.
"""
