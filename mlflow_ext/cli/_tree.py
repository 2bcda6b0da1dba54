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
            an underscore are no commands, and a sub-package is a group of its own.
        settings: What `click.Group` takes.
    """

    def __init__(self, package: str, **settings: Any) -> None:
        super().__init__(no_args_is_help=True, **settings)
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, without importing one."""
        modules = iter_modules(sys.modules[self.package].__path__)
        return sorted(m.name.replace("_", "-") for m in modules if not m.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called *cmd_name*, or None when there is no such module."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"{self.package}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command
