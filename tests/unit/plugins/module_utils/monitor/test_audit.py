# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
from datetime import datetime, timezone

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor import audit
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=timezone.utc)


def lines(directory):
    with open(os.path.join(directory, "audit.jsonl"), encoding="ascii") as file:
        return [json.loads(line) for line in file]


def test_a_line_tells_who_did_what_when_and_how_it_went(tmp_path):
    state = str(tmp_path / "state")
    audit.record(state, NOW, "notes", "backup", "ok", backup="notes-1")
    audit.record(state, NOW, "notes", "prune", "disk\nfull \u00e4", removed=["a", "b"])
    first, second = lines(state)
    assert first == {"time": "2026-11-20T12:00:00Z", "app": "notes", "action": "backup", "result": "ok", "backup": "notes-1",
                     "who": audit.who(), "pid": os.getpid()}
    assert (second["result"], second["removed"]) == ("disk\nfull \u00e4", ["a", "b"])
    assert os.stat(os.path.join(state, "audit.jsonl")).st_mode & 0o777 == 0o600


def test_sudo_is_told_with_whoever_asked(monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    alone = audit.who()
    monkeypatch.setenv("SUDO_USER", "eve")
    assert audit.who() == "%s (sudo by eve)" % alone


def test_lines_of_many_processes_stay_whole(tmp_path):
    def work(number):
        for count in range(20):
            audit.record(str(tmp_path), NOW, "notes", "backup", "x" * 9000, number=number, count=count)

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(number,)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    found = lines(str(tmp_path))
    assert sorted((each["number"], each["count"]) for each in found) == [(n, c) for n in range(4) for c in range(20)]


def test_a_full_disk_leaves_no_half_line(tmp_path):
    audit.record(str(tmp_path), NOW, "notes", "backup", "ok")
    size = (tmp_path / "audit.jsonl").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
    try:
        with pytest.raises(AppStateError, match="app notes: .*/audit.jsonl: the audit log cannot be written: File too large"):
            audit.record(str(tmp_path), NOW, "notes", "backup", "x" * 500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    audit.record(str(tmp_path), NOW, "notes", "prune", "ok")
    assert [line["action"] for line in lines(str(tmp_path))] == ["backup", "prune"]


def test_a_link_in_its_place_is_not_followed(tmp_path):
    os.symlink(tmp_path / "target", tmp_path / "audit.jsonl")
    with pytest.raises(AppStateError, match="Too many levels of symbolic links"):
        audit.record(str(tmp_path), NOW, "notes", "backup", "ok")
    assert not (tmp_path / "target").exists()
