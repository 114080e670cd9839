"""Processes that are forked from one that has imported what they need, for kill tests.

Python has one such server a process, and what it imports beforehand is asked for once:
whoever asks last would have it alone, and the others would import everything in each of
hundreds of children. So each module that is a child's home says so here, when it is
imported; the tests begin after that.

    CONTEXT = forking(__name__)
    CONTEXT.Process(target=...)
"""

from multiprocessing import get_context
from multiprocessing.context import ForkServerContext

_modules: list[str] = []


def forking(*modules: str) -> ForkServerContext:
    """The context whose children have `modules` imported from the start."""
    _modules.extend(name for name in modules if name not in _modules)
    context = get_context("forkserver")
    context.set_forkserver_preload(_modules)
    return context
