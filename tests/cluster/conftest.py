"""Fixtures of the cluster tests; what they share with the end-to-end tests
comes from there."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
sys.path.insert(0, HERE)

_notes = []


@pytest.fixture
def note(request):
    """Gives a function whose lines stand at the end of the run: figures."""
    return lambda text: _notes.append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter):
    for line in _notes:
        terminalreporter.write_line(line)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the servers of a cluster said, when its test fails."""
    outcome = yield
    if call.when == "call" and call.excinfo is not None:
        import cluster
        for each in cluster.living:
            outcome.get_result().sections.append(
                ("servers' logs", each.logs()))
