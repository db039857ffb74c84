"""What the packaged program does: double-clicked it opens the window, with files dropped on its icon it denoises them,
and from a terminal it is the full command line."""

from __future__ import annotations

import enum
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import FolderDenoiseError


class Way(enum.Enum):
    """How the program is started."""

    WINDOW = enum.auto()
    DENOISE = enum.auto()
    COMMAND = enum.auto()


def decide(arguments: Sequence[str], commands: Collection[str]) -> Way:
    """What ``arguments`` (without the program's own name) ask for; ``commands`` are the names of the commands."""
    if not arguments:
        return Way.WINDOW
    # Files that are dropped on an icon come with their whole path; a folder called "run" does not stand for itself.
    if arguments[0] in commands or not all(Path(argument).exists() for argument in arguments):
        return Way.COMMAND
    return Way.DENOISE


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of the executable; the exit code."""
    from ..cli import main as command_line

    given = list(sys.argv[1:] if arguments is None else arguments)
    # Older versions of macOS add a process number where the Finder starts a program.
    given = [argument for argument in given if not argument.startswith("-psn_")]
    way = decide(given, command_line.commands)
    if way is Way.COMMAND:
        # click ends the process itself.
        command_line.main(args=given, prog_name="folderdenoise")
        return 0
    from .app import run

    try:
        return run([Path(argument) for argument in given], start=way is Way.DENOISE)
    except FolderDenoiseError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
