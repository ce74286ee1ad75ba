"""Room for connections: what the system lets a process open, raised and shared out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ASK = """
import json, resource
from bulkstreams.commands.room import KEPT, connections, make_room
before = [connections(), connections(server_inside=True)]
make_room()
print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE), KEPT, before, connections()]))
"""


@pytest.mark.parametrize(("soft", "hard"), [(128, 128), (100, 200), (64, 1024), (20, 20)])
def test_the_limit_is_raised_and_some_of_it_is_kept(soft: int, hard: int) -> None:
    """The soft limit goes up to the hard one; a process keeps descriptors for everything that is no connection."""
    limited = ["sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"', "sh"]
    ended = subprocess.run([*limited, sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    (now, hard_now), kept, (alone, inside), after = json.loads(ended.stdout)
    assert (now, hard_now) == (hard, hard)
    assert 1 <= alone <= max(1, soft - kept)
    assert inside == alone // 2
    assert 1 <= after <= max(1, hard - kept)
    assert after - alone in {hard - soft, after - 1}
