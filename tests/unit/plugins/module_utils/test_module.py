# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml

from ansible_collections.appstate.backup.plugins.doc_fragments.app import ModuleDocFragment
from ansible_collections.appstate.backup.plugins.module_utils import module as face
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError, LockedError


class Ended(Exception):
    """How a module ended."""


class Ending:
    """The part of AnsibleModule that ``run`` uses; keeps what it is told."""

    def __init__(self, params=None):
        self.params = params or {}
        self.no_log_values = set()
        self.warnings = []
        self.result = None
        self.failed = None

    def warn(self, text):
        self.warnings.append(text)

    def exit_json(self, **result):
        self.result, self.failed = result, False
        raise Ended

    def fail_json(self, **result):
        self.result, self.failed = result, True
        raise Ended


def ended(work, params=None):
    ending = Ending(params)
    with pytest.raises(Ended):
        face.run(ending, work)
    return ending


def test_a_result_is_the_result():
    ending = ended(lambda module, params: {"changed": True, "seen": params["x"]}, {"x": 1})
    assert (ending.failed, ending.result, ending.warnings) == (False, {"changed": True, "seen": 1}, [])


def test_warnings_are_said_once():
    ending = ended(lambda module, params: {"changed": False, "warnings": ["one", "two"]})
    assert ending.warnings == ["one", "two"] and ending.result == {"changed": False}


def test_secrets_are_known_when_the_arguments_are_logged():
    class Logging(Ending):
        def __init__(self, params):
            super().__init__(params)
            self.known = None
            self._log_invocation()

        def _log_invocation(self):
            self.known = set(self.no_log_values)

    assert face.discreet(Logging)({"app": {"sources": [{"password": "pg-secret"}]}}).known == {"pg-secret"}


def test_what_an_app_of_a_drill_is_given_is_hidden_whatever_it_is_called():
    app = {"drill": {"boot": {"environment": {"SMTP_PASS": "sekret-smtp", "MODE": "off", "PORT": 8080}}}}
    assert ended(lambda module, params: {}, {"app": app}).no_log_values == {"sekret-smtp"}


def test_secrets_of_many_apps_are_hidden():
    apps = [{"name": "x", "sources": [{"type": "postgresql", "password": "pg-secret"}]}]
    assert ended(lambda module, params: {}, {"apps": apps}).no_log_values == {"pg-secret"}


def test_secrets_are_hidden_wherever_they_stand_in_an_app():
    app = {"name": "x", "sources": [
        {"type": "postgresql", "database": "club", "password": "pg-secret", "password_file": "/etc/pw"},
        {"type": "http", "url": "https://x/", "headers": {"Authorization": "Bearer abc", "X-Api-Key": "k3y", "Accept": "text/html"},
         "body": "posted"}], "monitoring": {"ping": ["https://x/wrong"]}}
    ending = ended(lambda module, params: {"changed": False}, {"app": app})
    assert ending.no_log_values == {"pg-secret", "Bearer abc", "k3y", "posted", "https://x/wrong"}


def test_what_is_secret_in_the_url_of_an_endpoint_is_hidden():
    app = {"sources": [{"type": "http", "url": "https://owner:pass@x/backup?key=k3y"}, {"type": "http", "url": "https://x/a@b"}],
           "health": {"url": "https://x/health?format=json"}}
    assert ended(lambda module, params: {}, {"app": app}).no_log_values == {"owner:pass", "key=k3y"}


def test_the_url_of_a_ping_is_hidden():
    ending = ended(lambda module, params: {"changed": False}, {"app": {"monitoring": {"ping": {"url": "https://x/secret"}}}})
    assert ending.no_log_values == {"https://x/secret"}


def test_warnings_of_a_failure_are_said_too():
    ending = ended(lambda module, params: {"failed": True, "msg": "why", "warnings": ["one"]})
    assert (ending.failed, ending.warnings, ending.result) == (True, ["one"], {"msg": "why"})


def test_a_result_can_be_a_failure():
    ending = ended(lambda module, params: {"failed": True, "msg": "why", "problems": [1]})
    assert (ending.failed, ending.result) == (True, {"msg": "why", "problems": [1]})


def test_an_error_of_the_engine_is_a_failure_with_all_it_knows():
    def work(module, params):
        raise LockedError("another run holds the lock", app="notes", path="/run/x", remedy="Wait")
    ending = ended(work)
    assert ending.failed and ending.result == {
        "msg": "app notes: /run/x: another run holds the lock. Wait.", "exit_code": 75,
        "error": {"class": "LockedError", "message": "another run holds the lock", "app": "notes", "path": "/run/x",
                  "remedy": "Wait"}}


def test_what_the_system_refused_is_a_failure_that_says_where():
    def work(module, params):
        raise PermissionError(13, "Permission denied", "/run/x")
    assert ended(work).result["msg"] == "/run/x: failed: Permission denied."


def test_any_other_error_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        face.run(Ending(), lambda module, params: 1 // 0)


def test_an_app_or_an_archive():
    app = {"name": "notes", "root": "/a", "sources": [{"type": "files", "path": "x"}]}
    assert face.app_or_archive({"app": app, "archive": "/x"}).name == "notes"
    assert face.app_or_archive({"app": None, "archive": "/x"}) is None
    with pytest.raises(ConfigurationError, match="app notes: .*destination"):
        face.app_or_archive({"app": app, "archive": None})
    with pytest.raises(ConfigurationError, match="neither"):
        face.app_or_archive({"app": None})
    assert face.app_of({"app": app}, need_destination=False).destination is None
    with pytest.raises(ConfigurationError):
        face.app_of({"app": app})


def test_places_of_the_machine():
    machine = face.machine_of({"state_directory": "/s", "lock_directory": "/l"})
    assert (machine.state_directory, machine.lock_directory) == ("/s", "/l")
    assert machine.now().utcoffset().total_seconds() == 0
    assert face.machine_of({}).state_directory.endswith("appstate-backup")


@pytest.mark.parametrize("fragment, specification", [("PLACES", face.PLACES), ("REMOTE", face.REMOTE), ("SELECTION", face.SELECTION),
                                                     ("IDENTITY", face.IDENTITY)])
def test_the_fragments_tell_of_the_same_options(fragment, specification):
    options = yaml.safe_load(getattr(ModuleDocFragment, fragment))["options"]
    assert {name: option["type"] for name, option in options.items()} == {name: spec["type"] for name, spec in specification.items()}
    assert {name: option.get("default") for name, option in options.items()} == \
        {name: spec.get("default") for name, spec in specification.items()}


STORE = {"type": "s3", "provider": "Minio", "region": "eu-central-1", "endpoint": "https://s3.example", "access_key_id": "AKIACANARY",
         "secret_access_key": "canary/secret", "force_path_style": True, "session_token": "short"}


@pytest.mark.parametrize("remotes", [
    [{"name": "offsite", "remote": "s3:bucket", "options": STORE}], {"name": "offsite", "remote": "s3:bucket", "options": STORE},
    [{"name": "offsite", "options": STORE}]])
def test_secrets_in_the_options_of_a_remote_are_hidden_and_the_rest_is_not(remotes):
    hidden = ended(lambda module, params: {"changed": False}, {"app": {"remotes": remotes}}).no_log_values
    assert hidden == {"AKIACANARY", "canary/secret", "short"}


def test_the_password_of_a_remote_is_hidden_by_whatever_name():
    app = {"remotes": [{"options": {"type": "sftp", "host": "nas.example", "user": "backup", "pass": "obscured", "key_pem": "canary-pem"}}]}
    assert ended(lambda module, params: {"changed": False}, {"app": app}).no_log_values == {"obscured", "canary-pem"}


def test_which_catalog_and_which_identity(host, tmp_path):
    app = host.app(remotes=[{"name": "offsite", "remote": host.path, "host": "web1"}])
    assert face.catalog_of({"remote": None, "remote_host": None}, app) is None
    assert face.catalog_of({"remote": "offsite"}, app).place == host.path + "/web1/notes"
    assert face.catalog_of({"remote": "offsite", "remote_host": "web2"}, app).place == host.path + "/web2/notes"
    for params, told in (({"remote_host": "web1"}, app), ({"remote": "offsite"}, None), ({"remote": "x"}, app)):
        with pytest.raises(ConfigurationError):
            face.catalog_of(params, told)
    (tmp_path / "key").write_text("AGE-SECRET-KEY-1X", encoding="ascii")
    assert face.identity_of({"identity": "x"}) == "x" and face.identity_of({}) is None
    assert face.identity_of({"identity_file": str(tmp_path / "key")}) == "AGE-SECRET-KEY-1X"
    with pytest.raises(ConfigurationError, match="exclude one another"):
        face.identity_of({"identity": "x", "identity_file": "/x"})
    assert face.IDENTITY["identity"]["no_log"] is True
