"""Damage: whatever happens to a ledger's files, it is refused, or reads exactly as before; it never passes for less."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from bulkstreams.core.metrics import Tally
from bulkstreams.errors import ExitCode, LedgerError, LedgerFormatError
from bulkstreams.ledger import Configured, InForce, Ledger, LedgerReader, Setting
from bulkstreams.ledger.in_force import encode
from bulkstreams.ledger.seal import read_seal
from bulkstreams.ledger.tables import VERSION
from bulkstreams.model import State
from tests.ledger import ACME, ADDRESS, good, in_loop, read, results, settled, start, states

RECORDS = 150
SEED = 20_260_101
PAGE = 4096


class Copies:
    """Copies of a ledger's files, each in a folder of its own: what a process that dies leaves behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def take(self, path: Path, *, log: bool = True) -> Path:
        """Copy a ledger and its write-ahead log, if there is one and it is wanted."""
        self._made += 1
        place = self._folder / str(self._made)
        place.mkdir()
        shutil.copy(path, place / path.name)
        if log and log_of(path).exists():
            shutil.copy(log_of(path), log_of(place / path.name))
        return place / path.name


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    """Return where copies are taken to."""
    folder = tmp_path / "copies"
    folder.mkdir()
    return Copies(folder)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """Return a ledger that its run closed in order, with records in several states."""
    path = tmp_path / "in.ledger.db"
    fill(path)
    return path


@in_loop
async def fill(path: Path) -> None:
    """Create some records, refuse some, leave some pending."""
    with await start(path) as ledger:
        await work(ledger)
        await ledger.end_run(30.0, 4, {"acme": "stopped"})


async def work(ledger: Ledger) -> None:
    """Do what a run does, short of ending it."""
    await ledger.bind("https://default.test")
    await read(ledger, [good(f"key-{n:04}") for n in range(RECORDS)])
    for state in (State.CREATED, State.REFUSED, State.IN_DOUBT):
        claims = await ledger.claim(ACME, RECORDS // 4, 20.0)
        await ledger.settle([settled(one, state) for one in claims], Tally(requests=len(claims)))


def log_of(path: Path) -> Path:
    """Return where a ledger's write-ahead log is."""
    return path.with_name(f"{path.name}-wal")


def told(path: Path) -> Any:
    """Return all that a ledger tells."""
    with LedgerReader(path) as reader:
        return list(reader.results()), reader.last_run(), reader.totals(), reader.by_tenant(), reader.addresses()


def refusal(path: Path) -> LedgerFormatError | None:
    """Return how a reader and a writer refuse a ledger, which must be alike and leave its files as they are."""
    before = path.read_bytes()
    try:
        LedgerReader(path).__exit__(None, None, None)
    except LedgerFormatError as error:
        opened(path, refused=True)
        found = error
    else:
        return None
    assert found.exit_code is ExitCode.LEDGER
    assert "--ledger FILE" in found.hint
    assert path.read_bytes() == before
    return found


@in_loop
async def opened(path: Path, *, refused: bool) -> None:
    """Open a ledger for writing and close it again, or see it refused."""
    if refused:
        with pytest.raises(LedgerFormatError):
            Ledger.open(path)
    else:
        Ledger.open(path).close()


def refused_or_harmless(path: Path, whole: Any) -> bool:
    """Return whether a ledger is refused; if it is not, it must tell exactly what it told before."""
    if refusal(path) is not None:
        return True
    assert told(path) == whole
    return False


# -- a ledger that was closed in order --------------------------------------------------------------------------------


def flips(data: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield places, and the data with one bit flipped there: anywhere, and each byte that means most besides."""
    chance = random.Random(SEED)
    places = [chance.randrange(len(data)) for _ in range(count)] + list(range(100))
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << chance.randrange(8)
        yield place, bytes(flipped)


def test_a_bit_that_flips_anywhere_is_told_or_harmless(sealed: Path) -> None:
    """One flipped bit in any page is refused; only where nothing is read (or counted) can it do no harm."""
    whole, data = told(sealed), sealed.read_bytes()
    harmless = []
    for place, flipped in flips(data, 700):
        sealed.write_bytes(flipped)
        if not refused_or_harmless(sealed, whole):
            harmless.append(place)
    with closing(sqlite3.connect(sealed)) as db:
        sealed.write_bytes(data)
        seal = read_seal(db)
    assert seal is not None
    counters = {*range(24, 28), *range(40, 44), *range(92, 100)}
    assert all((place // PAGE) + 1 == seal.page or place in counters for place in harmless)


def test_a_bit_that_flips_in_the_seal_itself_is_told_or_harmless(sealed: Path) -> None:
    """The one page that no checksum covers holds one row, and each of its bits is refused or means nothing."""
    whole, data = told(sealed), sealed.read_bytes()
    with closing(sqlite3.connect(sealed)) as db:
        seal = read_seal(db)
    assert seal is not None
    first = (seal.page - 1) * PAGE
    used = [place for place in range(first, first + PAGE) if data[place]]
    assert 30 < len(used) < 200
    outcomes = set()
    for place in [*used, *range(first, first + 16)]:
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            sealed.write_bytes(flipped)
            outcomes.add(refused_or_harmless(sealed, whole))
    assert outcomes == {True, False}


def test_a_ledger_cut_short_anywhere_is_refused(sealed: Path) -> None:
    """Whether at a page's end or within one, and however little is missing, a shorter file is not the ledger."""
    data = sealed.read_bytes()
    chance = random.Random(SEED)
    lengths = [0, 1, 99, 100, len(data) - 1, *range(PAGE, len(data), PAGE)]
    for length in lengths + [chance.randrange(len(data)) for _ in range(40)]:
        sealed.write_bytes(data[:length])
        assert refusal(sealed) is not None, length


@pytest.mark.parametrize("filling", ["zeros", "noise"])
def test_a_ledger_that_was_overwritten_is_refused(sealed: Path, filling: str) -> None:
    """A sector or a page of zeros or noise, wherever it is written, is refused, and so is more of the file than was."""
    whole, data = told(sealed), sealed.read_bytes()
    with closing(sqlite3.connect(sealed)) as db:
        seal = read_seal(db)
    page = 0 if seal is None else seal.page  # no checksum covers it, and most of it means nothing
    chance = random.Random(SEED)
    for length in (512, PAGE):
        junk = bytes(length) if filling == "zeros" else chance.randbytes(length)
        for place in range(0, len(data), 2 * PAGE + 512):
            sealed.write_bytes(data[:place] + junk + data[place + length :])
            refused = refused_or_harmless(sealed, whole)
            harmless = place // PAGE + 1 == page or filling == "zeros"
            assert refused or sealed.read_bytes()[: len(data)] == data or harmless, place
    sealed.write_bytes(data + bytes(PAGE))
    assert refusal(sealed) is not None


def test_two_pages_that_changed_places_are_refused(sealed: Path) -> None:
    """What a disk wrote to the wrong place is whole in itself, and refused all the same."""
    data = sealed.read_bytes()
    pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    pages[-1], pages[-2] = pages[-2], pages[-1]
    sealed.write_bytes(b"".join(pages))
    assert refusal(sealed) is not None


CHANGES = {
    "a record is edited": "UPDATE record SET state = 'pending' WHERE id = 1",
    "records are deleted": "DELETE FROM record WHERE state = 'created'",
    "it is packed": "VACUUM",
    "an index is taken away": "DROP INDEX record_pending",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_ledger_that_another_program_changed_is_refused(sealed: Path, change: str) -> None:
    """No difference is made between damage and somebody's edit: the error names both, and how to look at it."""
    with closing(sqlite3.connect(sealed, isolation_level=None)) as db:
        db.execute(CHANGES[change])
    error = refusal(sealed)
    assert error is not None
    assert "changed by another program or is damaged" in error.message
    assert error.hint.startswith("Keep the file")
    assert f"sqlite3 -readonly {sealed} 'PRAGMA integrity_check'" in error.hint


def test_an_edit_can_be_owned_up_to(sealed: Path) -> None:
    """Who takes the checksum away by hand gets the check that a run's death brings, and the ledger opens."""
    with closing(sqlite3.connect(sealed, isolation_level=None)) as db:
        db.execute("UPDATE record SET state = 'pending' WHERE id = 1")
        db.execute("UPDATE seal SET sum = NULL")
    assert refusal(sealed) is None
    assert states(sealed)["key-0000"] == "pending"


def test_a_faithful_copy_is_as_good(sealed: Path, copies: Copies) -> None:
    """A copy of the file, and one by SQLite's own means, open and tell the same; so does the original, looked at."""
    whole = told(sealed)
    assert told(copies.take(sealed)) == whole
    backup = sealed.with_name("backup.db")
    with closing(sqlite3.connect(sealed)) as db, closing(sqlite3.connect(backup)) as to:
        db.backup(to)
    assert refusal(backup) is None
    assert told(backup) == told(sealed) == whole


def test_opening_and_closing_leaves_the_seal(sealed: Path) -> None:
    """A run that comes no further than opening the ledger changes not a byte of it."""
    before = sealed.read_bytes()
    opened(sealed, refused=False)
    assert sealed.read_bytes() == before


@in_loop
async def test_the_next_run_breaks_the_seal_and_renews_it(sealed: Path) -> None:
    """While a run goes on there is no seal; at its end there is one again, and what it did is under it."""
    with await start(sealed, 40.0) as ledger, closing(sqlite3.connect(sealed)) as db:
        open_ = read_seal(db)
        await read(ledger, [good("another")], source="other")
        size = db.execute("PRAGMA page_count").fetchone()[0] * PAGE
    with closing(sqlite3.connect(sealed)) as db:
        again = read_seal(db)
    assert open_ is not None
    assert again is not None
    assert open_.sum is None
    assert again.bytes == size
    assert refusal(sealed) is None
    assert states(sealed) == {"another": "pending"}


# -- a ledger whose run died ------------------------------------------------------------------------------------------


@pytest.fixture
def crashed(tmp_path: Path, copies: Copies) -> Path:
    """Return what a run left that died in the midst of its work: the file, and a log with many commits."""
    path = tmp_path / "in.ledger.db"
    return die(path, copies)


def die(path: Path, copies: Copies, *, log: bool = True) -> Path:
    """Begin a run, do its work, and return a copy of the files as they are then."""
    found: list[Path] = []

    @in_loop
    async def run() -> None:
        with await start(path, 50.0) as ledger:
            await work(ledger)
            found.append(copies.take(path, log=log))

    run()
    return found[0]


def test_a_ledger_whose_run_died_opens(crashed: Path) -> None:
    """The file and its log together are whole, for a reader and for the next run."""
    assert refusal(crashed) is None
    assert sum(one.state == "created" for one in results(crashed).values()) == RECORDS // 4
    opened(crashed, refused=False)
    assert sum(one.state == "created" for one in results(crashed).values()) == RECORDS // 4


def test_any_tool_may_fold_the_log_while_a_run_goes_on(tmp_path: Path, copies: Copies) -> None:
    """The run then begins another log, without the page that tells whose it is; if it dies, that is no foreign one."""
    path, found = tmp_path / "in.ledger.db", []

    @in_loop
    async def run() -> None:
        with await start(path, 50.0) as ledger:
            await read(ledger, [good(f"k{n}") for n in range(100)])
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA wal_checkpoint").fetchone()
            await ledger.claim(ACME, 5, 60.0)
            found.append(copies.take(path))

    run()
    assert refusal(found[0]) is None
    assert sum(one.state == "in_flight" for one in results(found[0]).values()) == 5


def test_any_tool_may_fold_the_log_of_a_run_that_died(crashed: Path) -> None:
    """SQLite's shell folds the log into the file and takes it away when it leaves; nothing is missing then."""
    whole = told(crashed)
    with closing(sqlite3.connect(crashed)) as db:
        db.execute("SELECT count(*) FROM record").fetchone()
    assert not log_of(crashed).exists()
    assert refusal(crashed) is None
    assert told(crashed) == whole


def test_a_log_that_vanished_is_missed(crashed: Path) -> None:
    """Where the log is gone, or is emptied, or is junk from its start, its commits are gone: refused, and again."""
    data = log_of(crashed).read_bytes()
    for left in (None, b"", data[:20], bytes(len(data)), random.Random(SEED).randbytes(len(data))):
        log_of(crashed).unlink(missing_ok=True)
        if left is not None:
            log_of(crashed).write_bytes(left)
        for _ in range(2):
            error = refusal(crashed)
            assert error is not None
            assert "is missing or was overwritten" in error.message
    log_of(crashed).write_bytes(data)
    assert refusal(crashed) is None


def test_a_log_that_vanished_is_missed_in_a_later_run_too(sealed: Path, copies: Copies) -> None:
    """The same holds for the run after one that ended in order: what was sealed does not pass for all there is."""
    error = refusal(die(sealed, copies, log=False))
    assert error is not None
    assert "is missing" in error.message


@pytest.mark.parametrize("watched", [False, True])
def test_a_log_is_missed_whenever_it_was_last_folded(
    tmp_path: Path, copies: Copies, monkeypatch: pytest.MonkeyPatch, watched: bool
) -> None:
    """A run that folds its log all the time can die after any commit; so can one whose log a reader holds up."""
    for name in ("_FIRST", "_LEAST", "LOG_PAGES"):
        monkeypatch.setattr(f"bulkstreams.ledger.seal.{name}", 1)
    path = tmp_path / "in.ledger.db"
    left: list[tuple[Path, Path]] = []

    @in_loop
    async def run() -> None:
        with await start(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as tool:
            await read(ledger, [good(f"key-{n:04}") for n in range(RECORDS)])
            if watched:
                tool.execute("BEGIN")
                tool.execute("SELECT * FROM record").fetchone()
            for _ in range(8):
                (claim,) = await ledger.claim(ACME, 1, 20.0)
                await ledger.settle([settled(claim, State.CREATED)], Tally(requests=1))
                left.append((copies.take(path), copies.take(path, log=False)))

    run()
    for done, (whole, bare) in enumerate(left, 1):
        assert sum(state == "created" for state in states(whole).values()) == done
        assert watched or refusal(bare) is not None


def test_the_log_of_another_ledger_is_refused(crashed: Path, sealed: Path, copies: Copies, tmp_path: Path) -> None:
    """SQLite would fold any sound log into any file; a ledger knows its own, whether its run died or ended."""
    other = die(tmp_path / "other" / "in.ledger.db" if (tmp_path / "other").mkdir() is None else sealed, copies)
    for path in (crashed, copies.take(sealed)):
        shutil.copy(log_of(other), log_of(path))
        error = refusal(path)
        assert error is not None
        assert "belongs to another file" in error.message


def test_the_log_of_another_program_is_refused(sealed: Path, tmp_path: Path) -> None:
    """A sound log that no ledger wrote is refused, whatever its pages hold."""
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (zeroblob(100000))")
        shutil.copy(log_of(foreign), log_of(sealed))
    assert refusal(sealed) is not None


def test_an_older_log_of_the_same_ledger_is_refused(tmp_path: Path, copies: Copies) -> None:
    """A file of today with its log of yesterday is not whole."""
    path = tmp_path / "in.ledger.db"
    older, newer = die(path, copies), die(path, copies)
    shutil.copy(log_of(older), log_of(newer))
    error = refusal(newer)
    assert error is not None
    assert "or to an older one" in error.message


def commits(log: bytes) -> list[int]:
    """Return where each commit of a log ends, in bytes; the first entry is the end of the log's header."""
    frames = range(32, len(log), 24 + PAGE)
    ends = [32, *(at + 24 + PAGE for at in frames if any(log[at + 4 : at + 8]))]
    assert ends[-1] == len(log)
    return ends


def test_a_flip_within_the_log_is_told(crashed: Path) -> None:
    """SQLite drops all commits from a flip on, in silence; we see that what comes after it was durable, and refuse."""
    log = log_of(crashed).read_bytes()
    ends = commits(log)
    assert len(ends) > 8
    chance = random.Random(SEED)
    places = [chance.randrange(ends[-3]) for _ in range(150)] + list(range(0, 32, 3))
    for place in places:
        flipped = bytearray(log)
        flipped[place] ^= 1 << chance.randrange(8)
        log_of(crashed).write_bytes(flipped)
        assert refusal(crashed) is not None, place


def test_a_torn_commit_is_as_if_it_had_never_begun(crashed: Path, copies: Copies) -> None:
    """Wherever the last commit is cut off or overwritten, the ledger opens, with every commit before it."""
    log = log_of(crashed).read_bytes()
    *_, before, end = commits(log)
    log_of(crashed).write_bytes(log[:before])
    whole = told(copies.take(crashed))
    chance = random.Random(SEED)
    torn: list[Callable[[int], bytes]] = [
        lambda at: log[:at],
        lambda at: log[:at] + bytes(end - at),
        lambda at: log[:at] + chance.randbytes(end - at),
        lambda at: log[:before] + chance.randbytes(at - before) + log[at:],
    ]
    for at in [before + 1, end - 1, *(chance.randrange(before + 1, end) for _ in range(12))]:
        for tear in torn:
            if (left := tear(at)) == log[:end]:
                continue  # what was put there stood there already
            one = copies.take(crashed, log=False)
            log_of(one).write_bytes(left)
            assert refusal(one) is None, at
            assert told(one) == whole, at


def test_damage_to_the_file_of_a_run_that_died_ends_in_our_own_words(sealed: Path, copies: Copies) -> None:
    """Without a seal SQLite's check and ours stand in: whatever a flip does, nobody meets anything but our error."""
    crashed = die(sealed, copies)
    data = crashed.read_bytes()
    refusals = 0
    for _, flipped in flips(data, 400):
        crashed.write_bytes(flipped)
        if refusal(crashed) is not None:
            refusals += 1
        else:
            with suppress(LedgerFormatError):
                told(crashed)
    assert refusals > 50  # most pages stand in the log, too, and count from there


ODD = {
    "a state that is none": "UPDATE record SET state = 'creatpd' WHERE id = 7",
    "a reading that never was": "UPDATE record SET reading = 9 WHERE id = 7",
    "a tenant that never was": "UPDATE record SET tenant = 9 WHERE id = 7",
    "an instant beyond time": "UPDATE record SET settled_at = 1e300 WHERE id = 7",
    "a key that is gone": "UPDATE record SET key = NULL WHERE id = 7",
    "a reason that is no JSON": "UPDATE run SET stopped = '{' WHERE id = 1",
}


_ERRAND = """
    INSERT INTO errand (record, tenant, kind, remote_id, state, run)
    SELECT id, tenant, 'undo', 'est_1', 'pending', 1 FROM record WHERE id = 7"""

ODD_ERRANDS = {
    "a kind that is none": "UPDATE errand SET kind = 'redo'",
    "a fate that is none": "UPDATE errand SET state = 'lost'",
    "a record that never was": "UPDATE errand SET record = 999999",
    "a tenant that never was": "UPDATE errand SET tenant = 9",
    "a run that never was": "UPDATE errand SET run = 9",
    "an instant beyond time": "UPDATE errand SET intent_at = 1e300",
}


@pytest.mark.parametrize("odd", ODD_ERRANDS)
def test_an_errand_that_no_run_has_written_is_refused(crashed: Path, odd: str) -> None:
    """What is done to streams is as much to be trusted as what was created; one in order is."""
    with closing(sqlite3.connect(crashed, isolation_level=None)) as db:
        db.execute(_ERRAND)
    assert refusal(crashed) is None
    with closing(sqlite3.connect(crashed, isolation_level=None)) as db:
        db.execute(ODD_ERRANDS[odd])
    error = refusal(crashed)
    assert error is not None
    assert "an errand in it" in error.message


_COURSE = (
    "INSERT INTO course VALUES (1, 100.0, 1.0, 5, 0, 0, 0, NULL)",
    "INSERT INTO pause VALUES (1, 1, 'throttled', 100.0, 101.0, 1.0, 1, '429')",
)

ODD_COURSES = {
    "a run that never was": "UPDATE course SET run = 9",
    "an instant beyond time": "UPDATE course SET began_at = 1e300",
    "a count that is none": "UPDATE course SET requests = 'many'",
    "a rate that is none": "UPDATE course SET allowed = 'x'",
    "a pause of no tenant": "UPDATE pause SET tenant = 9",
    "a pause of no run": "UPDATE pause SET run = 9",
    "a pause of a kind that is none": "UPDATE pause SET kind = 'lunch'",
    "a pause for no text": "UPDATE pause SET reason = x'ff00'",
    "a pause beyond time": "UPDATE pause SET ended_at = 1e300",
}


@pytest.mark.parametrize("odd", ODD_COURSES)
def test_the_course_of_a_run_that_no_run_has_written_is_refused(crashed: Path, odd: str) -> None:
    """Nor is a picture drawn of what cannot have been; a course in order is taken."""
    with closing(sqlite3.connect(crashed, isolation_level=None)) as db:
        for statement in _COURSE:
            db.execute(statement)
    assert refusal(crashed) is None
    with closing(sqlite3.connect(crashed, isolation_level=None)) as db:
        db.execute(ODD_COURSES[odd])
    error = refusal(crashed)
    assert error is not None
    assert "the course of a run in it" in error.message


ODD_IN_FORCE = {
    "a command that is no text": "UPDATE run SET command = x'00ff'",
    "no JSON": "UPDATE run SET settings = '{'",
    "no object": "UPDATE run SET settings = '[]'",
    "a part that is not there": "UPDATE run SET settings = json_remove(settings, '$.tenants')",
    "a setting that is none": "UPDATE run SET settings = json_set(settings, '$.settings.rate', 16)",
    "a value that is none": "UPDATE run SET settings = json_set(settings, '$.settings.rate.value', json('[]'))",
    "a name that is none": "UPDATE run SET settings = json_set(settings, '$.tenants.told[0].name', 7)",
}


@pytest.mark.parametrize("odd", ODD_IN_FORCE)
def test_settings_that_no_run_has_written_are_refused(crashed: Path, odd: str) -> None:
    """Nobody is told of a configuration that was never in force; settings in order are taken."""
    told = InForce(
        settings={"rate": Setting(16.0, "auto", "--rate")}, tenants=[Configured(ACME, ADDRESS, True, {}, None)]
    )
    with closing(sqlite3.connect(crashed, isolation_level=None)) as db:
        db.execute("UPDATE run SET command = 'run', settings = ?", (encode(told),))
    assert refusal(crashed) is None
    with closing(sqlite3.connect(crashed, isolation_level=None)) as db:
        db.execute(ODD_IN_FORCE[odd])
    error = refusal(crashed)
    assert error is not None
    assert "what was in force in a run in it" in error.message


@pytest.mark.parametrize("odd", ODD)
def test_what_no_run_has_written_is_refused(crashed: Path, odd: str) -> None:
    """A row that SQLite finds in order, but that no run can have written, is damage."""
    with closing(sqlite3.connect(crashed, isolation_level=None)) as db:
        db.execute(ODD[odd])
    error = refusal(crashed)
    assert error is not None
    assert "is damaged" in error.message


# -- formats ----------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_ledger_of_the_first_format_is_read_and_brought_up_to_date(sealed: Path) -> None:
    """It had no seal: a reader takes it as it is, the next run adds what is missing and loses nothing."""
    with closing(sqlite3.connect(sealed, isolation_level=None)) as db:
        for change in (
            "DROP TABLE seal", "DROP INDEX record_alias", "ALTER TABLE record DROP COLUMN ours_since",
            "ALTER TABLE record DROP COLUMN anchor_name",
            "ALTER TABLE tenant DROP COLUMN surveyed", *_TO_SECOND, "PRAGMA user_version = 1",
        ):  # fmt: skip
            db.execute(change)
    await brought_up(sealed)


_TO_SECOND = (
    "DROP TABLE errand", "ALTER TABLE tenant DROP COLUMN refers", "ALTER TABLE record DROP COLUMN status",
    "ALTER TABLE record DROP COLUMN updated_at", "DROP TABLE course", "DROP TABLE pause",
    "ALTER TABLE run DROP COLUMN command", "ALTER TABLE run DROP COLUMN settings",
)  # fmt: skip
"""What makes a ledger of the third format one of the second."""


@in_loop
async def test_a_ledger_of_the_second_format_is_read_and_brought_up_to_date(sealed: Path) -> None:
    """It knew nothing of what is done to streams after their creation."""
    with closing(sqlite3.connect(sealed, isolation_level=None)) as db:
        for change in ("DROP TABLE seal", _SECOND_SEAL, *_TO_SECOND, "PRAGMA user_version = 2"):
            db.execute(change)
        db.execute("INSERT INTO seal VALUES ('0123456789abcdef', 1, NULL, NULL)")
    await brought_up(sealed)


_SECOND_SEAL = "CREATE TABLE seal (ledger TEXT NOT NULL, turn INTEGER NOT NULL, bytes INTEGER, sum INTEGER)"


async def brought_up(sealed: Path) -> None:
    """See that a reader takes an older ledger as it is, and that a run makes it one of ours with nothing lost."""
    found = told(sealed)[0]
    with await start(sealed, 60.0):
        pass
    with closing(sqlite3.connect(sealed)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert read_seal(db) is not None
    assert told(sealed)[0] == found


def test_a_damaged_ledger_is_no_ledger_of_another_format(sealed: Path) -> None:
    """Where the row is gone that the format promises, that is damage, and not an older format."""
    for change in ("DROP TABLE seal", "PRAGMA user_version = 0"):
        with closing(sqlite3.connect(sealed, isolation_level=None)) as db:
            db.execute(change)
        with pytest.raises(LedgerError, match="damaged"):
            LedgerReader(sealed)
