"""Groups whose commands are the modules of a folder, imported only when they are asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import click


class TreeGroup(click.Group):
    """A group that finds the command ``some-thing`` in the module ``some_thing`` of its package.

    Args:
        package: Import path of the package whose modules are the commands; names that start with
            an underscore are no commands, and a sub-package is a group of its own. A command
            whose name Python keeps for itself is a module with an underscore behind it.
        settings: What `click.Group` takes.
    """

    def __init__(self, package: str, **settings: Any) -> None:
        super().__init__(no_args_is_help=True, **settings)
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, without importing one."""
        return sorted(self._modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called *cmd_name*, or None when there is no such module."""
        name = self._modules().get(cmd_name)
        if name is None:
            return None
        command: click.Command = import_module(f"{self.package}.{name}").command
        return command

    def _modules(self) -> dict[str, str]:
        """Command -> module."""
        names = (module.name for module in iter_modules(sys.modules[self.package].__path__))
        return {n.rstrip("_").replace("_", "-"): n for n in names if not n.startswith("_")}
