# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The workflows that the documentation has for CI servers, run step by step on this machine, which is a plain runner.

The runner has a clone of an operator's repository: the inventory of the page on drills, and the workflow file. The backup lies in a
real S3 endpoint, encrypted.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import time
from xml.etree import ElementTree

import pytest
import yaml
from hosts.collection import collections_path
from hosts.packages import require
from hosts.runner_store import RunnerStore
from offsite import Pair

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
INVENTORY = re.compile(r"^```yaml\n# inventory.yml\n(.*?)^```", re.MULTILINE | re.DOTALL)
MOST_SECONDS = 180
OUTSIDE = ("ANSIBLE_", "AWS_", "PYTHON")


class Runner:
    """A CI server's runner with a clone of the operator's repository, and the steps of its workflow."""

    def __init__(self, folder, name):
        self.folder = folder
        self.clone = folder / "clone"
        self.pair = Pair()
        self.store = RunnerStore(folder / "store")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
        self.environment.update(self.store.environment(), BACKUP_IDENTITY=self.pair.identity, LC_ALL="C.UTF-8", HOME=str(folder))
        self._make_repository(name)

    def _make_repository(self, name):
        """What an operator would have: three files, in git; and the collection, which comes out of git, too."""
        collection = self.folder / "collection"
        shutil.copytree(os.path.join(collections_path(str(self.folder / "made")), "ansible_collections", "appstate", "backup"), collection,
                        ignore=shutil.ignore_patterns("build", ".venv", "__pycache__"))
        repository = self.folder / "repository"
        repository.mkdir()
        (repository / "inventory.yml").write_text(INVENTORY.search((DOCS / "drills.md").read_text(encoding="utf-8")).group(1), encoding="utf-8")
        (repository / "requirements.yml").write_text("collections:\n  - {name: 'git+file://%s', type: git}\n" % collection, encoding="utf-8")
        shutil.copy(DOCS / "ci" / name, repository)
        # A runner goes away with all that it has; this machine stays.
        (repository / "host_vars").mkdir()
        places = {"appstate_state_directory": str(self.folder / "state"), "appstate_lock_directory": str(self.folder / "locks")}
        (repository / "host_vars" / "runner.yml").write_text(json.dumps(places), encoding="utf-8")
        for place in (collection, repository):
            for words in (["init", "--quiet"], ["add", "--force", "--all"], ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "all"]):
                self.run(["git"] + words, place)
        self.run(["git", "clone", "--quiet", str(repository), str(self.clone)], self.folder)

    def run(self, command, folder=None, environment=None, check=True):
        done = subprocess.run(command, cwd=folder or self.clone, env=dict(self.environment, **(environment or {})), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert not check or done.returncode == 0, "%s\n%s" % (command, done.stdout)
        return done

    def back_up(self):
        """What the host web1 does every night."""
        app = yaml.safe_load((self.clone / "inventory.yml").read_text(encoding="utf-8"))["all"]["hosts"]["runner"]["appstate_apps"][0]
        root = self.folder / "web1"
        (root / "pictures").mkdir(parents=True)
        (root / "pictures" / "a.png").write_bytes(b"a" * 5000)
        (self.folder / "backups").mkdir()
        self.run(["sqlite3", str(root / "wiki.db"), "CREATE TABLE pages (title); INSERT INTO pages VALUES ('one')"])
        app.update(root=str(root), destination=str(self.folder / "backups"), encryption={"recipients": [self.pair.recipient]},
                   allow_network_destination=True)
        (self.folder / "app.json").write_text(json.dumps({"appstate_apps": [app]}), encoding="utf-8")
        self.run([".drill/bin/ansible-playbook", "-i", "inventory.yml", "appstate.backup.backup", "-e", "@" + str(self.folder / "app.json")],
                 environment={"ANSIBLE_COLLECTIONS_PATH": "collections"})

    def suite(self):
        (suite,) = ElementTree.parse(self.clone / "reports" / "junit.xml").getroot()
        return suite


def github_steps():
    job = yaml.safe_load((DOCS / "ci" / "github-actions.yml").read_text(encoding="utf-8"))["jobs"]["drill"]
    return [(step["run"], step.get("env") or {}) for step in job["steps"] if "run" in step]


def gitlab_steps():
    """GitLab runs all lines of a job in one shell."""
    job = yaml.safe_load((DOCS / "ci" / "gitlab-ci.yml").read_text(encoding="utf-8"))["restore-drill"]
    return [("\n".join(job["before_script"]), job["variables"]), ("\n".join(job["script"]), job["variables"])]


@pytest.mark.parametrize("name, steps", [("github-actions.yml", github_steps()), ("gitlab-ci.yml", gitlab_steps())])
def test_the_workflow_of_the_page_drills_in_a_clean_clone(tmp_path, name, steps):
    require({"/usr/bin/rclone": "rclone", "/usr/bin/age": "age", "sqlite3": "sqlite3", "git": "git", "zstd": "zstd"})
    runner = Runner(tmp_path, name)
    with runner.store:
        install, drill = [(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], environment) for script, environment in steps]
        begun = time.monotonic()
        runner.run(install[0], environment=install[1])
        seconds = time.monotonic() - begun
        runner.back_up()
        begun = time.monotonic()
        said = runner.run(drill[0], environment=drill[1]).stdout
        seconds += time.monotonic() - begun
        print("installed and drilled in %.0f s" % seconds)
        assert "checks passed" in said and seconds < MOST_SECONDS
        suite = runner.suite()
        assert (suite.get("name"), suite.get("failures"), int(suite.get("tests")) >= 8) == ("wiki@runner", "0", True)
        assert not os.path.exists("/srv/wiki") and not os.path.exists("/var/lib/appstate-backup/drills/wiki.json")
        assert not [entry for entry in os.listdir("/var/tmp") if entry.startswith(".appstate-wiki")]

        runner.store.damage(".tar.")
        done = runner.run(drill[0], environment=drill[1], check=False)
        assert done.returncode != 0 and runner.pair.secret not in done.stdout
        assert [case.get("name") for case in runner.suite().iter("testcase") if case.find("failure") is not None] == ["checksum", "rto"]
        runner.store.drop(".json")
        assert runner.run(drill[0], environment=drill[1], check=False).returncode != 0
        assert "choose" in [case.get("name") for case in runner.suite().iter("testcase") if case.find("failure") is not None]
        for inventory, said in (("all: {hosts: {}}", "the inventory has no host that is called all"),
                                ("all: {hosts: {runner: {appstate_apps: [], ansible_connection: local}}}", "none of these hosts has an app: runner")):
            (runner.clone / "inventory.yml").write_text(inventory, encoding="utf-8")
            done = runner.run(drill[0], environment=drill[1], check=False)
            assert done.returncode != 0 and said in " ".join(done.stdout.split()), done.stdout
