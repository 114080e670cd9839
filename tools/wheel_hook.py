"""Puts verify.html into the wheel, made of the sources as `tools.verify_page` makes it.

A part of the build (pyproject.toml, hatch), where nothing but hatchling is installed:
so the module that makes the page is loaded by itself, and has no imports of ours.
"""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_MAKER = "log_server/pages/assembly.py"
_PLACE = "log_server/pages/verify.html"


class Hook(BuildHookInterface[Any]):
    """What hatchling calls around the build of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the page, unless the installation reads the sources themselves."""
        if version == "editable":
            return
        root = Path(self.root)
        self._folder = tempfile.TemporaryDirectory(prefix="pcrlog-wheel-")
        page = Path(self._folder.name) / "verify.html"
        page.write_bytes(runpy.run_path(str(root / _MAKER))["assemble"](root))
        build_data["force_include"][str(page)] = _PLACE

    def finalize(
        self, version: str, build_data: dict[str, Any], artifact_path: str
    ) -> None:
        """Clean up."""
        del build_data, artifact_path
        if version != "editable":
            self._folder.cleanup()
