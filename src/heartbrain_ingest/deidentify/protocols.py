"""Scanner protocols that images carry as text: the ASCCONV part of Siemens' and the packed block of GE's."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from typing import Final

from heartbrain_ingest.deidentify.cleaning import TextCleaner

#: dcm2niix skips the first byte of a protocol that is no CSA header.
_TITLE: Final = b"<XProtocol>"
_BEGIN: Final = b"### ASCCONV BEGIN"
_END: Final = b"### ASCCONV END ###"
_NUMBER: Final = re.compile(rb"[-+0-9.eEx a-fA-F]*")
_QUOTED: Final = re.compile(rb'(?P<quote>"+)(?P<value>[^"\n]*)(?P=quote)\s*')
#: N4_VE11C_LATEST_20160120, 63010001
_VERSION: Final = re.compile(rb"N4_V[A-Z]\d+[A-Z]_\w+_20\d{6}|\d{8}")
#: Shorter numbers are counts and sizes.
_SHORTEST_ID: Final = 6
_INDEX: Final = re.compile(rb"\[\d*\]")
_LENGTH: Final = struct.Struct("<I")
_GE_LINE: Final = re.compile(r'(?P<key>[^\s"]+)(?P<gap>\s+")(?P<value>[^"\n]*)(?P<end>"\s*)')
_NUMERIC_TEXT: Final = re.compile(r"[-+0-9.eE;, ]*")
#: More than any scanner's protocol; a packed block that grows beyond it is no protocol.
_LARGEST: Final = 4 * 1024 * 1024


def clean_ascconv(data: bytes, strings: frozenset[bytes], versions: frozenset[bytes], cleaner: TextCleaner) -> bytes:
    """Keep the ASCCONV part of a Siemens protocol: its numbers, and the strings on a list, cleaned.

    All before and after it (the XProtocol with its patient and study parameters) goes; dcm2niix and BIDS read nothing
    there. Without an ASCCONV part nothing is left.

    Parameters
    ----------
    data
        The protocol as in `MrPhoenixProtocol` or (0021,xx19).
    strings
        Keys, or their last parts, whose strings stay, such as `tSequenceFileName`.
    versions
        The same for strings that name a software version; they hold a date of their own and stay if they look like one.
    cleaner
        Cleans one string; a number that is an identifier of the session goes.
    """
    begin = data.find(_BEGIN)
    if begin < 0:
        return b""
    end = data.find(_END, begin)
    lines = data[begin : end if end >= 0 else len(data)].split(b"\n")
    kept = [_TITLE, _head(lines[0])]
    for line in lines[1:]:
        key, equals, value = line.partition(b"=")
        value = value.strip()
        if not equals:
            continue
        if _NUMBER.fullmatch(value):
            if len(value) < _SHORTEST_ID or not cleaner.identifies(value):
                kept.append(line)
        elif (quoted := _QUOTED.fullmatch(value)) is not None:
            cleaned = _string(_INDEX.sub(b"", key.strip()), quoted["value"], strings, versions, cleaner)
            kept.append(key + equals + b" \t" + quoted["quote"] + cleaned + quoted["quote"])
    return b"\n".join((*kept, _END, b""))


def _string(
    name: bytes, value: bytes, strings: frozenset[bytes], versions: frozenset[bytes], cleaner: TextCleaner
) -> bytes:
    last = name.rpartition(b".")[2]
    if last in versions and _VERSION.fullmatch(value):
        return value
    return cleaner.clean(value) if name in strings or last in strings or last in versions else b""


def _head(line: bytes) -> bytes:
    # `### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 converter=... ###`
    version = re.search(rb"version=\d+", line)
    return _BEGIN + (b" object=MrProtDataImpl@MrProtocolData " + version.group() if version else b"") + b" ###"


def clean_ge_protocol(data: bytes, drop: frozenset[str], text: Callable[[str], str]) -> bytes:
    """Unpack a GE protocol data block (0025,xx1B), clean its values and pack it again, without name and time.

    The new block is stored, not deflated: what a compressor writes depends on its version. One that can't be unpacked
    is left empty.
    """
    packed = data[_LENGTH.size :]
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(packed, _LARGEST).decode("latin-1")
    except zlib.error:
        return b""
    lines = [_ge_line(line, drop, text) for line in content.split("\n")]
    stored = gzip.compress("\n".join(lines).encode("latin-1", "replace"), compresslevel=0, mtime=0)
    return _LENGTH.pack(len(stored)) + stored


def _ge_line(line: str, drop: frozenset[str], text: Callable[[str], str]) -> str:
    found = _GE_LINE.fullmatch(line)
    if found is None:
        return text(line)
    if found["key"] in drop:
        return f"{found['key']}{found['gap']}{found['end']}"
    if _NUMERIC_TEXT.fullmatch(found["value"]):
        return line
    return f"{found['key']}{found['gap']}{text(found['value'])}{found['end']}"
