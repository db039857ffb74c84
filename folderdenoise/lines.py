"""Lines that any terminal, pipe and log can take. Light: the command line imports it at once."""

from __future__ import annotations

import io
import os
import sys

import click

from .errors import OutputError


def shown(value: object) -> str:
    """A path, or a message with paths in it, on one line: undecodable bytes and control characters escaped."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escape_what_streams_lack() -> None:
    """Have standard output and error escape the characters that their encoding lacks.

    Else a Japanese file name would end a run whose output goes into a pipe or a file on a Western Windows.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str, *, err: bool = False) -> None:
    """Print ``line`` to standard output, or error.

    Raises :class:`OutputError` where nobody reads it any more (``| head``) or its disk is full. What is printed there
    afterwards is lost in silence.
    """
    try:
        click.echo(line, err=err)
    except OSError as error:
        stream = sys.stderr if err else sys.stdout
        # What could not be written would be tried again when the program ends, with a complaint of Python's own.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        name = "standard error" if err else "standard output"
        raise OutputError(
            f"{name}: cannot be written ({error.strerror}). What is finished is kept; run again to go on."
        ) from error
