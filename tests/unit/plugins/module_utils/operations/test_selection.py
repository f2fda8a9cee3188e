# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import os
import shutil

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.operations.selection import describe, select
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    ArchiveError, ConfigurationError, SourceError)


def test_the_newest_an_id_a_time_and_a_path(host):
    host.fill()
    first, second = host.backup().backup, host.backup().backup
    for words, chosen in (({}, second), ({"which": first.id}, first), ({"before": first.manifest.content["created"]}, first),
                          ({"archive": first.path}, first)):
        with select(host.app(), **words) as selected:
            assert (selected.id, selected.path, selected.bare) == (chosen.id, chosen.path, None)
            assert selected.manifest.to_bytes() == chosen.manifest.to_bytes()
            assert selected.to_dict(host.time)["digest"] == chosen.manifest.archive["digest"]


@pytest.mark.parametrize("words", [{"which": "x", "before": "y"}, {"which": "x", "archive": "/z"}, {"before": "y", "archive": "/z"}])
def test_one_way_to_choose_at_a_time(host, words):
    with pytest.raises(ConfigurationError, match="app notes: .*exclude one another. Give one of them"):
        select(host.app(), **words)
    with pytest.raises(ConfigurationError, match="^'which', 'before' and 'archive' exclude"):
        select(None, **words)


def test_a_path_needs_no_app(host):
    host.fill()
    backup = host.backup().backup
    with select(None, archive=backup.path) as selected:
        assert selected.id == backup.id
    told = describe(backup.path, host.time)
    assert told["good"] is True and told["verified"]["level"] == "content"


def test_an_archive_without_its_manifest(host):
    host.fill()
    backup = host.backup().backup
    alone = host.place("alone.tar.zst")
    shutil.copy(backup.path, alone)
    os.utime(alone, (0, 0))
    told = describe(alone, host.time)
    assert (told["id"], told["good"], told["problem"], told["verified"]) == ("alone.tar.zst", None, None, None)
    assert told["size"] == os.path.getsize(alone) and told["created"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("squeeze", [False, True])
def test_a_bare_database(host, squeeze):
    host.database(journal="delete")
    path = host.place("copy")
    with open(host.at("data/notes.db"), "rb") as source, (gzip.open if squeeze else open)(path, "wb") as target:
        shutil.copyfileobj(source, target)
    with select(None, archive=path) as selected:
        assert selected.bare == "sqlite"


def test_a_backup_that_is_not_good_is_refused_and_described(host):
    host.fill()
    backup = host.backup().backup
    os.truncate(backup.path, 100)
    with pytest.raises(ArchiveError, match="%s: the backup is not good: the archive has 100 bytes" % backup.path):
        select(None, archive=backup.path)
    with pytest.raises(ArchiveError, match="app notes: .*cannot be restored: the archive has 100 bytes"):
        select(host.app(), backup.id)
    told = describe(backup.path, host.time)
    assert told["good"] is False and "100 bytes" in told["problem"]


def test_what_is_no_file(host):
    os.mkfifo(host.place("fifo"))
    for path, said in ((host.place("none.tgz"), "cannot be opened"), (host.place("none", "x.tgz"), "does not exist"),
                       (host.destination, "is not a regular file"), (host.place("fifo"), "is not a regular file")):
        with pytest.raises(SourceError, match="%s: .*%s" % (path, said)):
            with select(None, archive=path):
                pass
        with pytest.raises(SourceError, match=said):
            describe(path, host.time)


def test_damage_at_the_beginning_is_found_by_reading_and_not_before(host):
    path = host.place("broken.tgz")
    with open(path, "wb") as file:
        file.write(b"\x1f\x8b\x08" + b"\xff" * 60)
    with select(None, archive=path) as selected:
        assert selected.bare is None
    assert describe(path, host.time)["good"] is None


def test_a_manifest_that_tells_of_another_backup(host):
    host.fill()
    first, second = host.backup().backup, host.backup().backup
    shutil.copy(first.path, second.path)
    # Sizes may be the same by chance; where they are not, the listing has seen it already.
    if os.path.getsize(first.path) != second.manifest.archive["size"]:
        with pytest.raises(ArchiveError):
            select(host.app(), second.id)
    else:
        with select(host.app(), second.id) as selected:
            contents = selected.read(host.path)
            contents.lines.close()
        problems = [item["problem"] for item in contents.problems]
        assert any("digest differs" in problem for problem in problems)
        assert any("tell of different backups" in problem for problem in problems)
