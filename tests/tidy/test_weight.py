"""What a program imports it carries as long as it runs: heavy things stay out of an agent.

Memory itself is measured by ``bench/idle.py``; this holds the reasons why it is small.
"""

import subprocess
import sys

# Module or package -> why an agent that has only pods to run has no use for it.
NOT_IN_AN_AGENT = {
    "numpy": "the scheduler's",
    "sqlite3": "the store's",
    "unittest": "for tests",
    "pyroute2": "9 MB for the few requests of `core.netlink`",
    "jsonschema": "checks of schemas are the API server's",
    "kubernetes_validate": "the published definitions are the API server's",
    "sagong.api.cel": "expressions are evaluated by the API server and the scheduler",
    "sagong.controllers": "part of the control plane",
    "sagong.scheduler": "part of the control plane",
    "sagong.server": "part of the control plane",
    "sagong.sim": "a rehearsal",
    "sagong.store": "part of the control plane",
    "sagong.testing": "a rehearsal",
}


def test_an_agent_does_not_import_what_it_has_no_use_for() -> None:
    program = "import sys, sagong.cli.main, sagong.cli.verbs.agent; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    imported = done.stdout.split()
    assert "sagong.cmd.agent" in imported
    heavy = {
        name: why
        for name, why in NOT_IN_AN_AGENT.items()
        if any(module == name or module.startswith(f"{name}.") for module in imported)
    }
    assert heavy == {}
