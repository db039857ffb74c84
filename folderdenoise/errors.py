"""One exception class per way to fail, each with its exit code.

Messages follow one form: which file or option, what is wrong, what to do next. The command line prints the
message and leaves with ``exit_code``; inside a batch the message becomes the ``notes`` of a failed row.
"""

from __future__ import annotations


class FolderDenoiseError(Exception):
    """Base of every error the tool raises on purpose. ``exit_code`` 1: some files failed, the rest is done."""

    exit_code = 1


class UnreadableImageError(FolderDenoiseError):
    """A file that cannot be read, or decodes only in part."""


class UnsupportedImageError(FolderDenoiseError):
    """An intact file of a kind that the tool does not denoise."""


class SuspectResultError(FolderDenoiseError):
    """The network's answer cannot be a denoised version of its input, so it is not published."""


class ReferenceImageError(FolderDenoiseError):
    """A clean reference that is missing, unreadable or of another size than the image."""


class ImageInputError(FolderDenoiseError, ValueError):
    """An array that is no image: wrong shape, dtype or values."""


class UsageError(FolderDenoiseError):
    """Wrong usage: options or paths that cannot work together."""

    exit_code = 2


class ResultTakenError(UsageError):
    """A result would replace that of a file of another name."""


class OutputError(FolderDenoiseError):
    """The output folder cannot be written to, or its disk is full."""

    exit_code = 4


class OutputBusyError(OutputError):
    """Another run is writing into the output folder."""


class AbandonedError(OutputError):
    """A result that came too late: its run was interrupted."""


class ModelError(FolderDenoiseError):
    """A model that is missing, damaged or of an unknown form."""

    exit_code = 5


class ClusterError(FolderDenoiseError):
    """The cluster that does the work is lost, or cannot do it."""

    exit_code = 6
