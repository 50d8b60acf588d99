"""What the demo shows can be done by hand."""

import json
import shlex

from scripts.demo import API, as_curl


def test_the_command_that_is_shown_makes_the_call_that_is_made():
    body = {"name": "o'clock", "gitUrl": "https://git.example.com/o'clock.git"}
    shown = shlex.split(as_curl("/project", body))
    assert shown[:5] == ["$", "curl", "-X", "POST", f"{API}/project"]
    assert shown[shown.index("-H") + 1] == "Content-Type: application/json"
    assert json.loads(shown[-1]) == body
