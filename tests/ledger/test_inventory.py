"""Which stream is whose: by the id that the ledger knows, else by name, else by definition; one each, and in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import Inventory, Ledger, Live, Pair, Row
from bulkstreams.model import Settlement, State, TenantName
from tests.ledger import ACME, FILE, in_loop, mark, start

LOCAL = TenantName("local")


async def add(ledger: Ledger, *records: tuple[str, str | None, str], tenant: TenantName = ACME) -> None:
    """Read lines of which each has a key, a name (None: none) and what its digest is made of."""
    if not ledger.reading_id:
        await ledger.begin_reading("source", 10.0)
    id_, input_ = await ledger.tenant(tenant, f"https://{tenant}.test"), await ledger.input(FILE)
    await ledger.ingest(
        [
            Row(id_, key, name, input_, line, line * 100, 99, ledger.reading_id, State.PENDING, mark(its))
            for line, (key, name, its) in enumerate(records, 1)
        ]
    )


async def own(ledger: Ledger, id_: int, stream: str, anchor: State = State.CREATED) -> None:
    """Have a stream stand for a record."""
    await ledger.settle([Settlement(id_, anchor.value, 1, stream, anchor=anchor.value)], Tally())


def live(id_: str, name: str | None, its: str, alias: str | None = None) -> Live:
    """Return a stream with a digest made of a text."""
    return Live(id_, name, mark(its), None if alias is None else mark(alias), id_.encode())


@contextmanager
def inventory(ledger: Ledger, *streams: Live, tenant: TenantName = ACME) -> Iterator[Inventory]:
    """List some streams of a tenant, and pair them."""
    with Inventory(ledger.path.with_name("inventory"), ledger.path) as one:
        one.add(tenant, streams)
        one.listed(tenant)
        one.pair(ledger.reading_id)
        yield one


def found(one: Inventory) -> dict[str | None, tuple[str | None, bool]]:
    """Return by key which stream a record has, and whether it is the same."""
    return {pair.key: (pair.live_id, pair.same) for pair in one.pairs([1])}


def surplus(one: Inventory) -> dict[str, bool]:
    """Return the streams that stand for no record, and whether a record names them."""
    return {each.id: each.is_named for each in one.surplus()}


@in_loop
async def test_a_name_finds_its_stream(path: Path) -> None:
    """Equal, different, missing, and one that nobody asked for."""
    with await start(path) as ledger:
        await add(ledger, ("a", "a", "a"), ("k", "b", "b"), ("c", "c", "c"))
        with inventory(ledger, live("1", "a", "a"), live("2", "b", "other"), live("3", "d", "d")) as one:
            assert found(one) == {"a": ("1", True), "k": ("2", False), "c": (None, False)}
            assert surplus(one) == {"3": False}


@in_loop
async def test_the_id_that_the_ledger_knows_counts_before_the_name(path: Path) -> None:
    """A stream that was renamed is still its record's, and one that took the name is too many."""
    with await start(path) as ledger:
        await add(ledger, ("a", "a", "a"))
        await own(ledger, 1, "1")
        with inventory(ledger, live("2", "a", "a"), live("1", "renamed", "b")) as one:
            assert found(one) == {"a": ("1", False)}
            assert surplus(one) == {"2": True}


@in_loop
async def test_an_id_that_no_anchor_holds_is_no_evidence(path: Path) -> None:
    """The stream that a conflict was about is found by its name alone."""
    with await start(path) as ledger:
        await add(ledger, ("a", "a", "a"))
        await ledger.settle([Settlement(1, State.CONFLICT.value, 1, "1")], Tally())
        with inventory(ledger, live("1", "renamed", "b")) as one:
            assert found(one) == {"a": (None, False)}
            assert surplus(one) == {"1": False}


@in_loop
async def test_several_of_one_name_are_taken_in_turn(path: Path) -> None:
    """Two records of a name take two streams, the equal ones first; a third stream is too many."""
    with await start(path) as ledger:
        await add(ledger, ("k1", "a", "x"), ("k2", "a", "y"))
        with inventory(ledger, live("1", "a", "y"), live("2", "a", "other"), live("3", "a", "other")) as one:
            assert found(one) == {"k1": ("2", False), "k2": ("1", True)}
            assert surplus(one) == {"3": True}


@in_loop
async def test_two_records_may_have_to_share_a_stream(path: Path) -> None:
    """Where the tenant has one of the name, both records are held against it."""
    with await start(path) as ledger:
        await add(ledger, ("k1", "a", "x"), ("k2", "a", "y"))
        with inventory(ledger, live("1", "a", "x")) as one:
            assert found(one) == {"k1": ("1", True), "k2": ("1", False)}
            assert surplus(one) == {}


@in_loop
async def test_nameless_records_take_a_twin_each(path: Path) -> None:
    """Nothing but their number tells nameless streams of one definition apart."""
    with await start(path) as ledger:
        await add(ledger, ("k1", None, "n"), ("k2", None, "n"), ("k3", None, "n"), ("k4", None, "m"))
        await own(ledger, 2, "1")
        with inventory(ledger, *(live(str(i), None, "n") for i in range(1, 5)), live("9", None, "z")) as one:
            assert found(one) == {"k1": ("2", True), "k2": ("1", True), "k3": ("3", True), "k4": (None, False)}
            assert surplus(one) == {"4": True, "9": False}


@in_loop
async def test_a_name_is_no_match_for_a_nameless_record(path: Path) -> None:
    """A stream with a name stands for no record without one, however alike they are."""
    with await start(path) as ledger:
        await add(ledger, ("k1", None, "n"), ("n", "n", "n"))
        with inventory(ledger, live("1", "other", "n"), live("2", None, "n")) as one:
            assert found(one) == {"k1": ("2", True), "n": (None, False)}
            assert surplus(one) == {"1": False}


@in_loop
async def test_the_alias_counts_as_the_digest_does(path: Path) -> None:
    """A line that names an action and a stream that has its id are the same."""
    with await start(path) as ledger:
        await add(ledger, ("a", "a", "by name"), ("k", None, "nameless by name"))
        streams = (live("1", "a", "by id", "by name"), live("2", None, "nameless by id", "nameless by name"))
        with inventory(ledger, *streams) as one:
            assert found(one) == {"a": ("1", True), "k": ("2", True)}


@in_loop
async def test_tenants_are_kept_apart_and_known_apart_whether_they_were_listed(path: Path) -> None:
    """A name at one tenant is nothing at another; what was not seen to its end proves no absence."""
    with await start(path) as ledger:
        await add(ledger, ("a", "a", "a"))
        await add(ledger, ("b", "b", "b"), tenant=LOCAL)
        with inventory(ledger, live("1", "b", "b"), live("1", "again", "b")) as one:
            pairs = {pair.key: pair for pair in one.pairs([1])}
            assert [pairs[key].was_listed for key in "ab"] == [True, False]
            assert [pairs[key].live_id for key in "ab"] == [None, None]
            assert surplus(one) == {"1": False}


@in_loop
async def test_records_come_in_the_order_of_the_input_and_only_those_of_the_reading(path: Path) -> None:
    """Whatever the order in which the ledger met them; a line that is gone, or a duplicate, is none of them."""
    with await start(path) as ledger:
        await add(ledger, ("gone", "gone", "g"), ("b", "b", "b"), ("a", "a", "a"))
        await ledger.begin_reading("next", 12.0)
        await add(ledger, ("a", "a", "a"), ("a", "a", "a"), ("b", "b", "b"))
        with inventory(ledger, live("9", "gone", "g")) as one:
            pairs: list[Pair] = list(one.pairs([1]))
            assert [(pair.key, pair.line, pair.offset) for pair in pairs] == [("a", 1, 100), ("b", 3, 300)]
            assert [pair.key for pair in one.pairs([1], [State.CONFLICT])] == []
            assert surplus(one) == {"9": False}
            assert ledger.path.with_name("inventory").stat().st_mode & 0o077 == 0


@in_loop
async def test_many_are_paired_without_a_walk_for_each(path: Path) -> None:
    """What is looked for has an index: as many records as a large tenant has are paired in one go."""
    with await start(path) as ledger:
        await ledger.begin_reading("source", 10.0)
        tenant, input_ = await ledger.tenant(ACME, "https://acme.test"), await ledger.input(FILE)
        for first in range(0, 20_000, 2_000):
            await ledger.ingest(
                [
                    Row(tenant, f"k{n}", None if n % 2 else f"n{n}", input_, n, n, 9, ledger.reading_id, "pending",
                        mark(str(n)))
                    for n in range(first, first + 2_000)
                ]
            )  # fmt: skip
        streams = [live(f"s{n}", None if n % 2 else f"n{n}", str(n)) for n in reversed(range(20_000))]
        with inventory(ledger, *streams) as one:
            assert sum(pair.same for pair in one.pairs([1])) == 20_000
            assert surplus(one) == {}


@in_loop
async def test_pending_records_of_one_name_are_rivals(path: Path) -> None:
    """All but the first of those whose name is still free; one that has a stream, or no name, is nobody's rival."""
    with await start(path) as ledger:
        await add(ledger, ("k1", "a", "x"), ("k2", "b", "b"), ("k3", "a", "y"), ("k4", "a", "x"), ("k5", None, "x"))
        await add(ledger, ("k1", "a", "x"), tenant=LOCAL)
        with inventory(ledger, live("1", "b", "b")) as one:
            assert [(later.key, first.key) for later, first in one.rivals()] == [("k3", "k1"), ("k4", "k1")]
        path.with_name("inventory").unlink()
        with inventory(ledger, live("1", "a", "x")) as one:
            assert list(one.rivals()) == []
