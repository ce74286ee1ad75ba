"""JSON Lines as bytes → lines with their offsets, and each line again by its offset."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkstreams.errors import ExitCode, InputChangedError, InputError
from bulkstreams.model import Line
from bulkstreams.source import MAX_LINE, Cutter, Input, Spool, open_input

LINES = b'{"name": "one"}\n\n  \t\r\n{"name": "two"}\r\n{"name": "three"}'
NOW = 4_000_000_000.0  # long after any file of these tests


def lines(one: Input) -> list[Line]:
    """Return all lines of an input."""
    return [line for batch in one.batches() for line in batch]


def cut(*blocks: bytes) -> list[Line]:
    """Return the lines of a text that comes in these blocks."""
    cutter = Cutter()
    found = [line for block in blocks for line in cutter.cut(block)]
    return found + cutter.finish()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Input]]:
    """Open inputs that are closed when the test ends."""
    inputs: list[Input] = []

    def open_(path: Path | str, stdin: BinaryIO | None = None) -> Input:
        inputs.append(open_input(str(path), tmp_path, stdin))
        return inputs[-1]

    yield open_
    for one in inputs:
        one.close()


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Return a plain file with LINES in it."""
    path = tmp_path / "streams.jsonl"
    path.write_bytes(LINES)
    return path


# -- cutting ----------------------------------------------------------------------------------------------------------


def test_lines_have_numbers_offsets_and_no_ends() -> None:
    """Blank lines are counted and left out; a carriage return belongs to the line's end; the last needs none."""
    assert cut(LINES) == [
        Line(1, 0, 15, b'{"name": "one"}'),
        Line(4, 22, 15, b'{"name": "two"}'),
        Line(5, 39, 17, b'{"name": "three"}'),
    ]


@pytest.mark.parametrize("text", [b"", b"\n", b"\r\n\r\n", b"  \n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_an_input_of_nothing_has_no_lines(text: bytes) -> None:
    """Nothing, white space, or a byte-order mark alone."""
    assert cut(text) == []


def test_a_byte_order_mark_is_passed_over_at_the_start_alone() -> None:
    """Offsets count it; in the middle it is a part of its line."""
    assert cut(b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n") == [Line(1, 3, 2, b"{}"), Line(2, 6, 5, b"\xef\xbb\xbf{}")]


@pytest.mark.parametrize("text", [b"\xef", b"\xef\xbb", b"\xef\xbb\n"])
def test_half_a_byte_order_mark_is_a_line(text: bytes) -> None:
    """It is no mark, and must not vanish."""
    assert cut(*(bytes([byte]) for byte in text)) == [Line(1, 0, len(text.rstrip()), text.rstrip())]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_of_the_longest_length_is_whole_and_one_byte_more_is_too_long(end: bytes) -> None:
    """The line's end does not count; a line that is too long has its length and no data."""
    longest, too_long = b"x" * MAX_LINE, b"x" * (MAX_LINE + 1)
    assert cut(longest + end) == [Line(1, 0, MAX_LINE, longest)]
    (found,) = cut(too_long + end)
    assert found.data is None
    assert found.length == MAX_LINE + 1 + end.count(b"\r")


def test_the_line_after_one_that_is_too_long_is_found_where_it_stands() -> None:
    """However long the line before it."""
    blocks = [b"{}\n", *[b"x" * MAX_LINE] * 5, b"yy\n{}\n"]
    assert cut(*blocks) == [
        Line(1, 0, 2, b"{}"),
        Line(2, 3, 5 * MAX_LINE + 2, None),
        Line(3, 5 * MAX_LINE + 6, 2, b"{}"),
    ]


def test_a_line_that_never_ends_is_not_held() -> None:
    """A hundred megabytes without a line end cost a few."""
    block = b"x" * MAX_LINE
    tracemalloc.start()
    (found,) = cut(*[block] * 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == Line(1, 0, 100 * MAX_LINE, None)
    assert peak < 8 * MAX_LINE


TEXTS = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b"\xef\xbb\xbf", b"\xef", b"\xbb", b'{"a":1}', b"\x00", b"x"]),
    max_size=30,
).map(b"".join)


@given(TEXTS, st.lists(st.integers(0, 80), max_size=8))
def test_it_does_not_matter_where_the_blocks_end(text: bytes, cuts: list[int]) -> None:
    """The same text in any blocks has the same lines, each of which stands where its offset says."""
    places = [0, *sorted(min(place, len(text)) for place in cuts), len(text)]
    found = cut(*(text[start:end] for start, end in pairwise(places)))
    assert found == cut(text)
    for line in found:
        assert line.data is not None
        assert text[line.offset : line.offset + line.length] == line.data
        assert text[: line.offset].count(b"\n") == line.number - 1


# -- reading again ----------------------------------------------------------------------------------------------------


def packed(path: Path, text: bytes = LINES) -> Path:
    """Write a text, packed, beside a path and return where."""
    target = path.with_suffix(".gz")
    target.write_bytes(gzip.compress(text))
    return target


@pytest.mark.parametrize("kind", ["plain", "gz", "gz without its ending", "stdin", "packed stdin", "pipe"])
def test_a_line_is_found_again_by_its_offset(
    kind: str, plain: Path, tmp_path: Path, opened: Callable[..., Input]
) -> None:
    """Whatever the input is, in any order, and as often as one likes."""
    if kind == "plain":
        one = opened(plain)
    elif kind == "gz":
        one = opened(packed(plain))
    elif kind == "gz without its ending":
        one = opened(packed(plain).rename(tmp_path / "packed"))
    elif kind == "pipe":
        read, write = os.pipe()
        os.write(write, LINES)
        os.close(write)
        one = opened(f"/dev/fd/{read}")
        os.close(read)
    else:
        data = gzip.compress(LINES) if kind == "packed stdin" else LINES
        one = opened("-", io.BufferedReader(io.BytesIO(data)))
    found = lines(one)
    assert found == cut(LINES)
    for line in [*reversed(found), *found]:
        assert one.read_at(line.offset, line.length) == line.data


def test_a_plain_file_can_be_read_through_twice(plain: Path, opened: Callable[..., Input]) -> None:
    """The second time brings the same lines."""
    one = opened(plain)
    assert lines(one) == lines(one)


def test_what_was_spooled_is_there_although_nobody_asked_for_its_lines(
    plain: Path, opened: Callable[..., Input]
) -> None:
    """An unchanged input is not read line by line a second time, but its records may still be wanted."""
    one = opened(packed(plain))
    assert one.read_at(22, 15) == b'{"name": "two"}'


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=70), max_size=8), st.integers(0, 560), st.integers(0, 560))
def test_a_spool_gives_back_any_stretch(tmp_path: Path, blocks: list[bytes], start: int, end: int) -> None:
    """Wherever it begins, in whatever pieces it was written."""
    text = b"".join(blocks)
    start = min(start, len(text))
    with closing(Spool(tmp_path)) as spool:
        for block in blocks:
            spool.write(block)
        assert spool.read_at(start, max(0, end - start)) == text[start:end]


def test_a_spool_has_no_name_and_nothing_to_read(tmp_path: Path) -> None:
    """No secret of an input lies on a disk in the clear, nor under a name."""
    secret = b"dummy-secret" * 1000
    spool = Spool(tmp_path)
    spool.write(secret)
    assert list(tmp_path.iterdir()) == []
    on_disk = os.pread(spool._file.fileno(), len(secret), 0)
    assert len(on_disk) == len(secret)
    assert b"dummy" not in on_disk
    assert len(zlib.compress(on_disk)) > len(secret) // 2
    spool.close()


def test_each_spool_has_a_key_of_its_own(tmp_path: Path) -> None:
    """Equal inputs do not look equal."""
    spools = [Spool(tmp_path), Spool(tmp_path)]
    for spool in spools:
        spool.write(b"the same text")
    assert len({os.pread(spool._file.fileno(), 100, 0) for spool in spools}) == 2
    for spool in spools:
        spool.close()


# -- changes ----------------------------------------------------------------------------------------------------------


def test_a_file_that_nobody_touched_is_unchanged_and_known_by_its_fingerprint(
    plain: Path, opened: Callable[..., Input]
) -> None:
    """Opened again, it has the same fingerprint, which tells nothing of what is in it."""
    one, again = opened(plain), opened(plain)
    assert one.unchanged()
    assert one.fingerprint(NOW) == again.fingerprint(NOW)
    assert one.trusted
    assert "name" not in str(one.fingerprint(NOW))


@pytest.mark.parametrize("change", ["append", "rewrite", "truncate", "replace", "remove"])
def test_a_changed_file_is_noticed(change: str, plain: Path, opened: Callable[..., Input]) -> None:
    """Appended to, rewritten in place, cut, replaced by another, removed: nothing of it is read any more."""
    # As if written long ago: the clock of a file system may tick slower than this test runs.
    os.utime(plain, (1, 1))
    one = opened(plain)
    if change == "append":
        with plain.open("ab") as file:
            file.write(b"\n{}")
    elif change == "rewrite":
        plain.write_bytes(LINES.replace(b"two", b"TWO"))
    elif change == "truncate":
        os.truncate(plain, 5)
    elif change == "replace":
        other = plain.with_suffix(".new")
        other.write_bytes(LINES)
        other.replace(plain)
    else:
        plain.unlink()
    assert not one.unchanged()
    with pytest.raises(InputChangedError, match="changed after it was read") as caught:
        one.read_at(22, 15)
    assert "again" in caught.value.hint
    assert caught.value.exit_code is ExitCode.STOPPED
    if plain.exists():
        assert opened(plain).fingerprint(NOW) != one.fingerprint(NOW)


def test_a_stretch_beyond_the_end_is_no_line(plain: Path, opened: Callable[..., Input]) -> None:
    """A ledger that points past the file was not made from this file."""
    with pytest.raises(InputChangedError):
        opened(plain).read_at(len(LINES) - 5, 6)


@pytest.mark.parametrize(
    ("ctime_ns", "age_s", "trusted"),
    [
        (1_000_000_000_500_000_000, 0.01, False),
        (1_000_000_000_500_000_000, 0.03, True),
        (1_000_000_000_000_000_000, 1.9, False),
        (1_000_000_000_000_000_000, 2.1, True),
        (1_000_000_000_500_000_000, -60.0, False),
    ],
)
def test_a_file_that_changed_just_now_has_no_fingerprint(
    ctime_ns: int, age_s: float, trusted: bool, plain: Path, tmp_path: Path
) -> None:
    """A second change in the same tick of the file system's clock would not show; some tick once a second."""
    stream = plain.open("rb")
    real = os.fstat(stream.fileno())
    fields = list(real)
    fields[9] = ctime_ns // 1_000_000_000
    extra = {"st_ctime": ctime_ns / 1e9, "st_ctime_ns": ctime_ns, "st_mtime_ns": real.st_mtime_ns}
    one = Input("x", stream, None, packed=False, at_opening=os.stat_result(fields, extra))
    assert (one.fingerprint(ctime_ns / 1e9 + age_s) is not None) is trusted
    assert one.trusted is trusted
    one.close()


def test_a_packed_file_has_a_fingerprint_and_a_stream_has_none(plain: Path, opened: Callable[..., Input]) -> None:
    """A stream cannot be told from another one; what was spooled of it cannot change."""
    assert opened(packed(plain)).fingerprint(NOW) is not None
    for stdin in (LINES, gzip.compress(LINES)):
        stream = opened("-", io.BufferedReader(io.BytesIO(stdin)))
        assert stream.fingerprint(NOW) is None
        assert stream.unchanged()
        assert stream.trusted
    with plain.open("rb") as file:
        assert opened("-", file).fingerprint(NOW) is None


# -- what cannot be opened or read ------------------------------------------------------------------------------------


def test_a_missing_file_is_named_with_the_one_that_was_meant(plain: Path, opened: Callable[..., Input]) -> None:
    """A slip of the finger gets its remedy."""
    with pytest.raises(
        InputError, match=r"there is no file .*stream\.jsonl \(did you mean .*streams\.jsonl\?\)"
    ) as caught:
        opened(plain.with_name("stream.jsonl"))
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_file_in_a_missing_folder_is_named(tmp_path: Path, opened: Callable[..., Input]) -> None:
    """There is nothing near it to name."""
    with pytest.raises(InputError, match=r"there is no file .*/nowhere/x\.jsonl\."):
        opened(tmp_path / "nowhere" / "x.jsonl")


def test_a_folder_is_no_input(tmp_path: Path, opened: Callable[..., Input]) -> None:
    """The remedy is to name the files in it."""
    with pytest.raises(InputError, match="is a folder") as caught:
        opened(tmp_path)
    assert "*.jsonl" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(plain: Path, opened: Callable[..., Input]) -> None:
    """The system's own reason is given."""
    plain.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        opened(plain)


def test_a_file_where_a_folder_should_be_says_so(plain: Path, opened: Callable[..., Input]) -> None:
    """Whatever the system's reason, it is one sentence."""
    with pytest.raises(InputError, match="Not a directory"):
        opened(plain / "x.jsonl")


def test_a_folder_that_cannot_be_spooled_in_is_named(plain: Path, tmp_path: Path) -> None:
    """Only what cannot be read twice needs one."""
    nowhere = tmp_path / "nowhere"
    open_input(str(plain), nowhere).close()
    with pytest.raises(InputError, match="nowhere") as caught:
        open_input(str(packed(plain)), nowhere)
    assert caught.value.hint


def test_a_full_disk_under_the_spool_is_one_sentence(tmp_path: Path) -> None:
    """The remedy is room, or a plain file, which is not copied."""
    spool = Spool(tmp_path)
    spool._file.close()
    spool._file = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
    with pytest.raises(InputError, match="No space left on device") as caught:
        spool.write(b"x" * 100_000)
    assert caught.value.hint
    spool.close()


MANY = b"".join(b'{"name": "stream %d"}\n' % i for i in range(20_000))


@pytest.mark.parametrize("damage", ["cut", "flipped", "trailing"])
def test_a_damaged_gzip_is_named_after_the_lines_before_the_damage(
    damage: str, tmp_path: Path, opened: Callable[..., Input]
) -> None:
    """Cut short, corrupted, or with something behind it: what came before counts, then the damage is told.

    Between a corrupted byte and the checksum that tells of it there may be nonsense: the error voids the reading.
    """
    data = gzip.compress(MANY)
    path = tmp_path / "streams.jsonl.gz"
    middle = len(data) // 2
    path.write_bytes(
        {
            "cut": data[:middle],
            "flipped": data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 40]) + data[middle + 40 :],
            "trailing": data + b"no gzip",
        }[damage]
    )
    found: list[Line] = []
    with pytest.raises(InputError, match=r"streams\.jsonl\.gz is damaged or cut short") as caught:
        found.extend(line for batch in opened(path).batches() for line in batch)
    assert "gzip -dc" in caught.value.hint
    assert [line.data for line in found[:5000]] == MANY.splitlines()[:5000]


def test_a_gzip_of_several_parts_is_one_text(tmp_path: Path, opened: Callable[..., Input]) -> None:
    """As `cat a.gz b.gz` makes them."""
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"{}\n{") + gzip.compress(b"}\n"))
    assert [line.data for line in lines(opened(path))] == [b"{}", b"{}"]


def test_memory_does_not_grow_with_the_input(tmp_path: Path, opened: Callable[..., Input]) -> None:
    """Neither of a large plain file nor of a small gzip that unpacks to it."""
    text = (b'{"name": "%s"}\n' % (b"x" * 1000)) * 30_000
    for path, data in ((tmp_path / "a", text), (tmp_path / "b", gzip.compress(text))):
        path.write_bytes(data)
        one = opened(path)
        tracemalloc.start()
        count = sum(len(batch) for batch in one.batches())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == 30_000
        assert peak < 6 * 2**20


def test_standard_input_is_the_process_s_own(tmp_path: Path) -> None:
    """`-` without more is what is piped into the process; messages call it <stdin>; and closing it hurts nobody."""
    code = (
        "import sys, pathlib; from bulkstreams.source import open_input\n"
        "one = open_input('-', pathlib.Path(sys.argv[1]))\n"
        "print(one.name, [tuple(line) for batch in one.batches() for line in batch])\n"
        "one.close(); print(sys.stdin.closed)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], input=b"{}\n", capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode().splitlines() == ["<stdin> [(1, 0, 2, b'{}')]", "False"]
