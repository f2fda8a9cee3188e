# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_prune, on real backups."""

from __future__ import annotations

import datetime
import os
import shutil

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.appstate.backup.plugins.module_utils.monitor.status import FAILED, Status
from ansible_collections.appstate.backup.plugins.modules import backup_prune


@pytest.fixture
def ids(host):
    """An application with three backups; their ids, newest first."""
    host.fill()
    # The module's own clock is the real one, and what is from its future stays.
    host.time = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    made = []
    for unused in range(3):
        made.insert(0, host.backup().backup.id)
        host.time += datetime.timedelta(days=1)
    return made


RULES = {"keep_last": 1}


def left(host):
    return sorted({name.split(".")[0] for name in os.listdir(host.app().directory)}, reverse=True)


def test_check_mode_predicts_what_the_run_does_and_a_second_run_changes_nothing(host, ids, run):
    app = host.described(retention=RULES)
    predicted = run.ok(app=app, check=True, diff=True)
    assert predicted["changed"] and predicted["removed"] == ids[1:] and left(host) == ids
    done = run.ok(app=app, diff=True)
    assert left(host) == ids[:1] and done == predicted
    assert done["decisions"][0] == {"id": ids[0], "kept": True, "reasons": ["the newest verified", "last"]}
    assert done["diff"] == {"before": "".join(id + "\n" for id in ids), "after": ids[0] + "\n"}
    for check in (True, False):
        again = run.ok(app=app, check=check)
        assert again["changed"] is False and again["removed"] == [] and again["asides"] == []
        assert "diff" not in again


def test_it_fails_after_a_run_that_failed(host, ids, run):
    Status(host.state, "notes").write(state=FAILED, problem="disk full")
    result = run.failed(app=host.described(retention=RULES))
    assert "disk full" in result["msg"] and result["exit_code"] == 1
    assert left(host) == ids


def test_a_rule_that_is_none_is_refused_by_name(host, ids, run):
    result = run.failed(app=host.described(retention={"keep_dayly": 1}))
    assert result["exit_code"] == 78 and "Did you mean 'keep_daily'?" in result["msg"]


SECRET = "https://hc.example/5ecre7"


@pytest.mark.parametrize("monitoring", [{"ping": {"url": SECRET}}, {"ping": SECRET}, {"ping": {"url": [SECRET]}}])
def test_the_url_of_a_ping_is_shown_to_nobody(host, ids, capsys, monitoring):
    """Nor in the arguments of the task, which Ansible tells with every result."""
    told = {"app": host.described(retention=RULES, monitoring=monitoring), "state_directory": host.state, "lock_directory": host.locks}
    with patch_module_args(told), pytest.raises(SystemExit):
        backup_prune.main()
    said = capsys.readouterr()
    assert "decisions" in said.out or "failed" in said.out
    assert "5ecre7" not in said.out + said.err


def test_a_remote(host, ids, run, tree):
    shutil.copytree(host.app().directory, host.place("remote", "web1", "notes"))
    app = host.described(retention=RULES, remotes=[{"name": "offsite", "remote": host.place("remote"), "host": "web1", "retention": {"keep_last": 2}}])

    def there():
        return sorted({name.split(".")[0] for name in os.listdir(host.place("remote", "web1", "notes"))}, reverse=True)
    predicted = run.ok(app=app, remote="offsite", check=True)
    assert predicted["changed"] and predicted["removed"] == ids[2:] and there() == ids
    done = run.ok(app=app, remote="offsite")
    assert done["removed"] == ids[2:] and there() == ids[:2] and left(host) == ids
    assert run.ok(app=app, remote="offsite")["changed"] is False
    assert "has no remote 'x'" in run.failed(app=app, remote="x")["msg"]
