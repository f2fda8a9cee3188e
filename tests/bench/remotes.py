# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that are sent to an S3 endpoint and restored from it, beside rclone alone; and what encryption takes.

The endpoint is rclone's own server on this machine, over a directory on the same disk; the same rclone sends for both.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import engine
import recipes
from application import Application, checked, renew
from machine import NotReady, find_interpreters, make_environment
from measure import Figures, measure
from sources import Comparison

PROGRAMS = ("age", "rclone")
BUCKET = "bench"
ENVIRONMENT = "python-3.13"
HOST = "bench"
START_SECONDS = 20


@dataclass
class Sent(Comparison):
    """A comparison per byte of the archive that was sent.

    Attributes:
        our_bytes, their_bytes: sizes of the archives.
    """

    our_bytes: int = 0
    their_bytes: int = 0

    @property
    def ratio(self) -> float:
        """Our time for a byte by the other's in the same round, the median of all rounds."""
        return super().ratio * self.their_bytes / self.our_bytes

    def to_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return dict(super().to_dict(), our_bytes=self.our_bytes, their_bytes=self.their_bytes)


@dataclass
class Remotes:
    """What was found.

    Attributes:
        upload: backup and copy to the endpoint, beside a recipe with ``rclone copyto``.
        encryption: a backup that is encrypted, beside one that is not.
        restore: from the endpoint, beside ``rclone copyto`` of the archive and a restore of that.
    """

    upload: Sent = field(default_factory=lambda: Sent("backup + upload / sqlite3 .backup, tar czf, rclone copyto; by byte", 1.3))
    encryption: Comparison = field(default_factory=lambda: Comparison("backup with encryption / without", 1.25))
    restore: Comparison = field(default_factory=lambda: Comparison("restore from the remote / rclone copyto + local restore", 0))

    @property
    def scratch(self) -> int:
        """Disk space that a restore from the endpoint took beside the state, archives included, bytes; the highest."""
        return max(figures.scratch for figures in self.restore.ours)

    @property
    def their_scratch(self) -> int:
        """The same of the other way."""
        return max(figures.scratch for figures in self.restore.theirs)

    @property
    def comparisons(self) -> list[Comparison]:
        """All of them."""
        return [self.upload, self.encryption, self.restore]

    def to_dict(self) -> dict[str, object]:
        """Return them for JSON."""
        return {"comparisons": [each.to_dict() for each in self.comparisons], "restore_scratch": self.scratch,
                "other_restore_scratch": self.their_scratch}


def measure_remotes(application: Application, rounds: int, say: Callable[[str], None]) -> Remotes:
    """Return all comparisons for an application."""
    with Endpoint(application.place / "objects") as endpoint:
        bench = _Bench(application, endpoint)
        for number in range(rounds):
            bench.run(lambda what, number=number: say("remote, round %d: %s" % (number + 1, what)))
        return bench.found


class Endpoint:
    """rclone's S3 server; a context manager.

    Args:
        directory: to be made; each directory in it is a bucket.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key_id = "AKIA" + secrets.token_hex(8).upper()
        self.secret = secrets.token_hex(20)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Endpoint:
        shutil.rmtree(self.directory, ignore_errors=True)
        (self.directory / BUCKET).mkdir(parents=True)
        # Without the hash for the ETag, since it would read all objects of a directory anew at each look; an object store
        # notes it down when an object arrives.
        self._process = subprocess.Popen(
            [str(_server()), "serve", "s3", str(self.directory), "--addr", "127.0.0.1:%d" % self.port, "--vfs-cache-mode=off",
             "--dir-cache-time=0s", "--etag-hash=", "--config=/dev/null", "--auth-key", "%s,%s" % (self.key_id, self.secret)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > until or self._process.poll() is not None:
                self.__exit__()
                raise NotReady("rclone serve s3 does not come up")
            time.sleep(0.05)
        return self

    def __exit__(self, *_problem: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def renew(self) -> None:
        """Go on as a server that was just started, with nothing in the bucket: what it still does for what was is on nobody's clock."""
        self.__exit__()
        self.__enter__()

    def options(self) -> dict[str, object]:
        """Return what rclone has to know of it."""
        return {"type": "s3", "provider": "Other", "endpoint": "http://127.0.0.1:%d" % self.port, "access_key_id": self.key_id,
                "secret_access_key": self.secret, "force_path_style": True}

    def write_configuration(self, path: Path) -> None:
        """Write rclone's configuration for the recipe: the remote is called ``there``."""
        lines = ["%s = %s" % (name, str(value).lower() if isinstance(value, bool) else value)
                 for name, value in dict(self.options(), no_check_bucket=True).items()]
        path.write_text("[there]\n" + "\n".join(lines) + "\n", encoding="utf-8")


class _Bench:
    """The application, the endpoint, and what was found so far."""

    def __init__(self, application: Application, endpoint: Endpoint) -> None:
        self.found = Remotes()
        self._application = application
        self._endpoint = endpoint
        self._place = application.place / "remote"
        self._destination = self._place / "backups"
        self._recipe = self._place / "recipe"
        self._restored = self._place / "restored"
        self._state = self._place / "state"
        for directory in (self._place, self._state):
            directory.mkdir()
        self._configuration = self._place / "rclone.conf"
        endpoint.write_configuration(self._configuration)
        told = dict(application.describe(), destination=str(self._destination), monitoring={"syslog": False})
        self._plain = self._write("plain", told)
        self._sealed = self._write("sealed", dict(told, encryption={"recipients": [_recipient()]}))
        self._sent = self._write("sent", dict(told, remotes=[
            {"name": "there", "remote": "s3:" + BUCKET, "options": endpoint.options(), "host": HOST}]))

    def _write(self, name: str, told: dict[str, object]) -> Path:
        path = self._place / (name + ".json")
        path.write_text(json.dumps(told), encoding="utf-8")
        return path

    def run(self, say: Callable[[str], None]) -> None:
        """Take one round; each step leaves nothing behind but what the next one needs."""
        found = self.found
        say("backup")
        found.encryption.theirs.append(self._measure(engine.backup_command(self._plain, self._state), self._destination))
        say("backup with encryption")
        found.encryption.ours.append(self._measure(engine.backup_command(self._sealed, self._state), self._destination))
        say("recipe and rclone copyto")
        found.upload.theirs.append(self._measure(self._recipe_command(), self._recipe))
        found.upload.their_bytes = (self._recipe / "backup.tgz").stat().st_size
        shutil.rmtree(self._recipe)
        self._endpoint.renew()
        say("backup and upload")
        found.upload.ours.append(self._measure(engine.run_command(self._sent, self._state), self._destination))
        found.upload.our_bytes = int(json.loads(found.upload.ours[-1].output)["size"])
        shutil.rmtree(self._destination)
        say("restore from the remote")
        found.restore.ours.append(self._measure(
            engine.restore_command(self._sent, self._state, self._restored, remote="there"), self._restored, True))
        checked(self._restored, self._application.root)
        say("rclone copyto and restore of that")
        found.restore.theirs.append(self._measure(self._download_command(), self._restored, True))
        checked(self._restored / "state", self._application.root)
        shutil.rmtree(self._restored)
        self._endpoint.renew()

    def _measure(self, command: list[str], directory: Path, archives: bool = False) -> Figures:
        renew(directory)
        return measure(command, self._application.temporary, directory, archives=archives)

    def _recipe_command(self) -> list[str]:
        archive = self._recipe / "backup.tgz"
        take = recipes.backup_and_gzip(self._application.root, self._recipe / "scratch", archive, self._application.paths)
        return recipes.then(take, recipes.rclone_copy(self._configuration, str(archive), "there:%s/backup.tgz" % BUCKET))

    def _download_command(self) -> list[str]:
        (stored,) = (self._endpoint.directory / BUCKET / HOST).rglob("*.tar.*")
        name = str(stored.relative_to(self._endpoint.directory))
        archive, state = self._restored / stored.name, self._restored / "state"
        state.mkdir()
        manifest = name.partition(".tar.")[0] + ".json"
        return recipes.then(
            recipes.rclone_copy(self._configuration, "there:" + name, str(archive)),
            recipes.rclone_copy(self._configuration, "there:" + manifest, str(self._restored / Path(manifest).name)),
            engine.restore_command(self._plain, self._state, state, archive=archive),
            ["rm", str(archive)])


def _server() -> Path:
    """Return the rclone that can serve S3 (from 1.65 on): that of an environment of the tests, which is made where it is missing."""
    make_environment(ENVIRONMENT, find_interpreters())
    return engine.CHECKOUT / ".venv" / ENVIRONMENT / "bin" / "rclone"


def _recipient() -> str:
    """Return the public key of a new pair, whose secret one nobody keeps."""
    made = subprocess.run(["age-keygen"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return next(line.split()[-1] for line in made.splitlines() if line.startswith("# public key: "))


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
