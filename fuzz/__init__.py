"""Fuzzing of the parsers of outside bytes, with atheris: `python -m fuzz TARGET`.

`targets` says what may become of any bytes at all: a refusal of the family that the
parser names, or a value whose spelling is these bytes. `corpus/` holds where to begin,
written by our own encoders (`seeds`). `tests/hostile/test_fuzz.py` runs the corpus
through the targets in every run of the tests, and atheris for a moment where it is
installed (`requirements/fuzz.txt`).
"""
