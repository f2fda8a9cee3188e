# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action fleet_report, with what hosts have registered."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleError

from ansible_collections.appstate.backup.plugins.action import fleet_report as plugin
from ansible_collections.appstate.backup.tests.unit.plugins.plugin_utils.answers import app, coverage, standing


class Variables:
    """The variables of hosts, which must not be templated."""

    def __init__(self, hosts):
        self._hosts = hosts

    def __contains__(self, host):
        return host in self._hosts

    def raw_get(self, host):
        return self._hosts[host]


HOSTS = {"web1": {"told": standing(), "found": coverage("/srv/a.db")}, "web2": {"told": standing(app(drills=[])), "found": {"skipped": True}},
         "web3": {"told": {"unreachable": True, "msg": "{{ lookup('pipe', 'id') }}"}}, "web4": {}}


def write(place, check=False, **words):
    arguments = dict({"dest": str(place), "hosts": list(HOSTS), "standing": "told", "coverage": "found"}, **words)
    task = SimpleNamespace(args=arguments, action="fleet_report", check_mode=check, async_val=0, diff=False)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
    action = plugin.ActionModule(task, connection, SimpleNamespace(check_mode=check), None, None)
    return action.run(task_vars={"hostvars": Variables(HOSTS)})


def test_it_writes_a_page_and_json(tmp_path):
    result = write(tmp_path / "new")
    assert result["changed"] is True
    assert result["page"] == str(tmp_path / "new" / "report.html") and result["json"] == str(tmp_path / "new" / "report.json")
    assert sorted(os.listdir(tmp_path / "new")) == ["report.html", "report.json"]
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert [(host["host"], host["state"]) for host in report["hosts"]] == [("web1", "good"), ("web2", "warning"), ("web3", "bad"), ("web4", "bad")]
    assert report["summary"] == result["summary"] == {"good": 1, "warning": 1, "bad": 2, "hosts": 4, "apps": 2, "silent": 2, "uncovered": 1}
    assert report["hosts"][2]["problem"] == "it cannot be reached: {{ lookup('pipe', 'id') }}"
    assert result["told"][0] == "2 bad, 1 warning, 1 good" and len(result["told"]) == 4
    assert (tmp_path / "new" / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_directory_that_it_makes_is_private_and_files_go_by_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
        os.mkdir(tmp_path / "there", 0o750)
        write(tmp_path / "there")
    finally:
        os.umask(before)
    assert [os.stat(tmp_path / name).st_mode & 0o777 for name in ("new", "there")] == [0o700, 0o750]
    assert {os.stat(tmp_path / "there" / name).st_mode & 0o777 for name in ("report.html", "report.json")} == {0o640}


def test_an_older_report_is_replaced_whole(tmp_path):
    for name in ("report.html", "report.json"):
        (tmp_path / name).write_text("old" * 10 ** 6)
    # Somebody reads on what was there.
    with open(tmp_path / "report.json", encoding="utf-8") as reader:
        write(tmp_path)
        assert reader.read() == "old" * 10 ** 6
    assert sorted(os.listdir(tmp_path)) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text())["summary"]["hosts"] == 4


def test_check_mode_writes_nothing(tmp_path):
    result = write(tmp_path / "new", check=True)
    assert result["changed"] is True and result["summary"]["hosts"] == 4 and not (tmp_path / "new").exists()


def test_hosts_are_told_in_the_order_that_is_asked_for(tmp_path):
    write(tmp_path, hosts=["web2", "web1"])
    assert [host["host"] for host in json.loads((tmp_path / "report.json").read_text())["hosts"]] == ["web2", "web1"]


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match="The report cannot be written to .*/file"):
        write(tmp_path / "file")


@pytest.mark.parametrize("words", [{"dest": ""}, {"dest": None}, {"hosts": None}, {"hosts": ["nobody"]}, {"nonsense": 1}])
def test_arguments_are_looked_at(tmp_path, words):
    with pytest.raises(AnsibleError):
        write(tmp_path, **words)
