"""A place in the log to go on reading from. Opaque to everybody but the readers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cursor:
    """Before the event `next_seq`. The other fields say where its frame begins; all zero: find it by its seq.

    more: the read that gave it stopped at its `max_bytes`; else it gave all that was there when it began.
    `str(cursor)` is text that `Cursor.parse` takes back, in this process or another.
    """

    next_seq: int = 1
    epoch: int = 0
    number: int = 0
    offset: int = 0
    crc: int = 0
    more: bool = field(default=False, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.next_seq}.{self.epoch}.{self.number}.{self.offset}.{self.crc:08x}"

    @classmethod
    def after(cls, seq: int) -> Cursor:
        """Before the event that comes after `seq`."""
        return cls(next_seq=seq + 1)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises ValueError for text that no cursor gave."""
        parts = text.split(".") if isinstance(text, str) else []
        try:
            next_seq, epoch, number, offset = (int(part) for part in parts[:4])
            (crc,) = (int(part, 16) for part in parts[4:])
        except ValueError:
            raise ValueError(f"not a cursor: {text!r}") from None
        if next_seq < 1 or min(epoch, number, offset, crc) < 0:
            raise ValueError(f"not a cursor: {text!r}")
        return cls(next_seq, epoch, number, offset, crc)
