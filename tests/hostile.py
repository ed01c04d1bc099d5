"""Files that promise more than they hold. Start reading at `write_png`."""

import struct
import zlib
from pathlib import Path


def write_png(path: Path, width: int, height: int) -> None:
    """Write some hundred bytes that promise a picture of any size, with transparency."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    body = zlib.compress(bytes(1000))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b""))
