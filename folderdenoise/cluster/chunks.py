"""How the files of a run are cut into the chunks that workers are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .errand import Piece

MOST_FILES = 32
MOST_BYTES = 16 << 20
"""About three photographs of 12 megapixels, or one uncompressed page: ten seconds or more for one core."""
_PER_SLOT = 4


def cut(pieces: Iterable[Piece], count: int, slots: int) -> Iterator[list[Piece]]:
    """Cut ``count`` pieces into chunks for ``slots`` chunks at once, in their order.

    Large enough that the scheduler's time for a chunk is nothing beside the chunk's; small enough that each slot gets
    several, that the last ones end at about the same time, and that little is done again where a worker dies. Pixels
    would be the right measure, but nobody has read the files yet: their bytes stand in.
    """
    most = max(1, min(MOST_FILES, count // (_PER_SLOT * max(1, slots))))
    chunk: list[Piece] = []
    size = 0
    for piece in pieces:
        if chunk and (len(chunk) >= most or size + piece.item.size > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(piece)
        size += piece.item.size
    if chunk:
        yield chunk
