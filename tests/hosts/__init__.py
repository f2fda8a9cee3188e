# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real hosts for tests: own file system, processes, address and sshd, made of Linux namespaces in no time.

    with Fleet(5) as fleet:
        fleet.write_inventory({"appstate_apps": [...]})
        fleet.playbook("appstate.backup.backup")
        fleet["host1"].run(["id"])

What holds everything up is one process, the keeper (keeper.py): it is the first process of a process and network
namespace in which all hosts live. When it ends, the kernel ends every process of every host, and with them go
their mounts, memory and network devices. It ends when the test closes its standard input, which also happens when
the test is killed. Nothing of the outer machine is changed.
"""
