# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One source each, beside the tool that it stands on: PostgreSQL, a container's volume, a tree mirrored by rsync.

They are measured on a host made of namespaces, where the server and the containers are nobody else's.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import data
import engine
from measure import Figures, measure
from hosts.containers import BUSYBOX, Containers
from hosts.fleet import Fleet
from hosts.host import Host
from hosts.packages import INTERPRETER
from hosts.postgresql import PostgresqlServer

ENGINE = "/srv/engine"
TABLE = "CREATE TABLE items (id INTEGER PRIMARY KEY, slug TEXT, html TEXT, document TEXT, note TEXT, created INTEGER);\n"
COPY = "COPY items FROM STDIN WITH (FORMAT csv);\n"


@dataclass
class Comparison:
    """Our backup of one source, and the tool's own way, in turn.

    Attributes:
        name: of both.
        limit: the most that our time may be, divided by the other's; 0 where it is told for comparison only.
    """

    name: str
    limit: float
    ours: list[Figures] = field(default_factory=list)
    theirs: list[Figures] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Our time by the tool's in the same round, the median of all rounds."""
        return statistics.median(mine.seconds / other.seconds for mine, other in zip(self.ours, self.theirs))

    @property
    def memory(self) -> int:
        """The highest that our processes took, bytes; servers and containers not counted."""
        return max(figures.memory for figures in self.ours)

    def to_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {"name": self.name, "limit": self.limit, "ratio": round(self.ratio, 4),
                "ours": [figures.to_dict() for figures in self.ours],
                "theirs": [figures.to_dict() for figures in self.theirs]}


def measure_sources(place: Path, size: data.Size, rounds: int, say: Callable[[str], None]) -> list[Comparison]:
    """Return the comparisons of all sources."""
    with Fleet(1) as fleet:
        host = _Bench(fleet.hosts[0], place, rounds, say)
        return [host.postgresql(size), *host.volume(size), host.rsync(size)]


class _Bench:
    """The host that all of it is measured on."""

    def __init__(self, host: Host, place: Path, rounds: int, say: Callable[[str], None]) -> None:
        self._host = host
        self._place = place
        self._rounds = rounds
        self._say = say
        # A host does not see the checkout, and has a Python of its own.
        for part in ("plugins", "tests/bench"):
            shutil.copytree(engine.CHECKOUT / part, host.path(ENGINE + "/" + part))

    def postgresql(self, size: data.Size) -> Comparison:
        """A server's database beside ``pg_dump -Fc``."""
        self._say("filling a PostgreSQL database")
        server = PostgresqlServer(self._host)
        server.sql("CREATE DATABASE bench")
        server.sql(TABLE + COPY + _rows(size.database_bytes // 3) + "\\.\n", database="bench")
        app = self._app("pg", [{"type": "postgresql", "database": "bench", "run_as": "postgres"}])
        found = self._compare("PostgreSQL / pg_dump -Fc", 1.15, app,
                              ["sh", "-c", "exec runuser -u postgres -- pg_dump -Fc bench >/srv/pg.dump"])
        server.stop()
        return found

    def volume(self, size: data.Size) -> list[Comparison]:
        """A volume beside the helper container's tar, compressed as the recipes have it, and plain."""
        self._say("filling a volume")
        containers = Containers(self._host)
        containers.podman("volume", "create", "bench")
        mounted = containers.podman("volume", "inspect", "--format", "{{.Mountpoint}}", "bench").stdout.strip()
        place = Path(self._host.path(mounted))
        data.make_uploads(place / "uploads", size.upload_bytes // 3)
        data.make_small_files(place / "notes", size.small_files // 20)
        app = self._app("volume", [{"type": "volume", "volume": "bench", "engine": "podman", "image": BUSYBOX}])
        helper = ["podman", "run", "--rm", "-v", "bench:/v:ro", "-v", "/srv:/out", BUSYBOX, "tar"]
        return [self._compare("volume / helper's tar czf", 1.2, app, helper + ["czf", "/out/v.tar.gz", "-C", "/v", "."]),
                self._compare("volume / helper's tar cf, nothing compressed", 0, app,
                              helper + ["cf", "/out/v.tar", "-C", "/v", "."])]

    def rsync(self, size: data.Size) -> Comparison:
        """A tree in which nothing changed, beside ``rsync -a`` onto the mirror that is there."""
        self._say("making files for a mirror")
        data.make_small_files(Path(self._host.path("/srv/rsync/blobs")), size.small_files // 3)
        app = self._app("rsync", [{"type": "files", "path": "blobs", "method": "rsync"}])
        command = ["rsync", "-a", "--delete", "/srv/rsync/blobs/", "/srv/mirror/"]
        self._run(self._backup(app))
        self._run(command)
        return self._compare("rsync generation without changes / rsync -a", 1.2, app, command)

    def _app(self, name: str, sources: list[dict[str, object]]) -> str:
        told = {"name": name, "root": "/srv/" + name, "destination": "/srv/backups", "sources": sources,
                "allow_network_destination": True}
        path = "/srv/%s.json" % name
        self._host.run(["mkdir", "-p", "/srv/backups", "/srv/state", "/srv/" + name])
        self._host.write(path, json.dumps(told))
        return path

    def _compare(self, name: str, limit: float, app: str, theirs: list[str]) -> Comparison:
        found = Comparison(name, limit)
        for number in range(self._rounds):
            self._say("%s, round %d" % (name, number + 1))
            found.ours.append(self._run(self._backup(app)))
            found.theirs.append(self._run(theirs))
        return found

    def _backup(self, app: str) -> list[str]:
        return [INTERPRETER, ENGINE + "/tests/bench/engine.py", "backup", app, "/srv/state"]

    def _run(self, command: list[str]) -> Figures:
        return measure(self._host.command_line() + command, self._place)


def _rows(size: int) -> str:
    """Return rows of text as CSV, about ``size`` bytes of it."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    first = 1
    while written.tell() < size:
        # Any process can make any batch; one does here.
        writer.writerows(data.batch(first))
        first += data.ROWS_PER_BATCH
    return written.getvalue()
