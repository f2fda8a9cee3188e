# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules as Ansible does: arguments in by standard input, the result out as JSON, each in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

NAMES = "ansible_collections.appstate.backup.plugins.modules."


class Run:
    """Runs the module of one test file.

    Calling it gives the result; ``ok`` and ``failed`` also say how it has to end.
    """

    def __init__(self, name, places):
        self._name = name
        self._places = places

    def __call__(self, check=False, diff=False, **arguments):
        arguments = dict(self._places, **arguments)
        arguments.update(_ansible_check_mode=check, _ansible_diff=diff, _ansible_remote_tmp="/tmp", _ansible_keep_remote_files=False)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            self._end(arguments, writer)
        os.close(writer)
        with os.fdopen(reader) as said:
            lines = said.read().strip().split("\n")
        os.waitpid(child, 0)
        result = json.loads(lines[-1])
        result.pop("invocation", None)
        return result

    def _end(self, arguments, writer):
        """The child: what a module prints goes to the parent."""
        try:
            os.dup2(writer, 1)
            sys.stdout = os.fdopen(1, "w")
            with patch_module_args(arguments):
                importlib.import_module(NAMES + self._name).main()
        except SystemExit:
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
        finally:
            os._exit(0)

    def ok(self, **words):
        result = self(**words)
        assert not result.get("failed"), result
        return result

    def failed(self, **words):
        result = self(**words)
        assert result.get("failed") and "Traceback" not in json.dumps(result), result
        return result


@pytest.fixture
def run(request, host):
    """The module that the test file is named after, with this host's places where it takes them."""
    name = request.path.stem[len("test_"):]
    module = importlib.import_module(NAMES + name)
    documented = yaml.safe_load(module.DOCUMENTATION)
    takes_places = any(fragment.endswith(".places") for fragment in documented.get("extends_documentation_fragment", []))
    return Run(name, {"state_directory": host.state, "lock_directory": host.locks} if takes_places else {})


@pytest.fixture
def returned(request):
    """The names that the module's RETURN tells of, each with its type."""
    module = importlib.import_module(NAMES + request.path.stem[len("test_"):])
    return {name: described["type"] for name, described in yaml.safe_load(module.RETURN).items()}
