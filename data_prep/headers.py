"""Headers of a tar archive, read with suspicion: before tarfile acts on what they say."""

from __future__ import annotations

import tarfile

_EXTENDED = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
LONGEST = 1 << 20  # bytes of an extended header, which tarfile reads whole; names have some hundred
MOST = 8  # extended headers before one member; tarfile calls itself for each


def wary_headers() -> type[tarfile.TarInfo]:
    """Return a TarInfo for one archive that raises ReadError for sizes and chains no honest archive has."""

    class Wary(tarfile.TarInfo):
        chain = shared = 0

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Wary:
            """Return the header in a block."""
            header = super().frombuf(buf, encoding, errors)
            if header.size < 0:
                raise tarfile.ReadError(f"{header.name!r} has a negative size")
            Wary.chain = Wary.chain + 1 if header.type in _EXTENDED else 0
            if header.type == tarfile.XGLTYPE:
                Wary.shared += header.size  # what these say is kept for all members
            if Wary.chain > MOST or (Wary.chain and max(header.size, Wary.shared) > LONGEST):
                raise tarfile.ReadError(f"the headers before {header.name!r} are too long")
            return header

    return Wary
