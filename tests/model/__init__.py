"""A naive model of the protocol, written from docs/protocol.md and from nothing else.

It says who may say what, which entries stand under a key of the index, and what a
verification comes to. Statements are the JSON of section 2.1, policies the tables of
section 4.6, bundles are dicts of lists; a signature is a key's name. It knows no
bytes, proofs or caches, and takes whatever time it takes.

`log` holds the log, `authority` the forward pass, `counting` what counts against
what, `run` a verification, `statements` what a statement says of itself.
"""

from tests.model.log import Model
from tests.model.run import Report

__all__ = ["Model", "Report"]
