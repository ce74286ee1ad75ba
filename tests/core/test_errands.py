"""What each kind of errand can come to, and what it needs."""

from __future__ import annotations

import pytest

from bulkstreams.core.errands import COUNTED, OPPOSITE, SCOPES, STATUS, Fate, Kind


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_fates_and_scopes(kind: Kind) -> None:
    """What can be asked for can be counted, and a person can be told what it takes."""
    assert Fate.FAILED in COUNTED[kind]
    assert Fate.PENDING not in COUNTED[kind]
    assert all(scope.partition(":")[0] in {"read", "update", "delete"} for scope in SCOPES[kind])


def test_a_switch_has_an_opposite_with_the_other_status() -> None:
    """On and off are each other's, and nothing else has one."""
    assert {kind: OPPOSITE[OPPOSITE[kind]] for kind in OPPOSITE} == {kind: kind for kind in STATUS}
    assert {STATUS[kind] for kind in OPPOSITE} == {"enabled", "disabled"}
