"""What a start of the gateway imports."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("gateway.app", {"aiobotocore", "aiokafka", "asynch", "aiodocker"}),
        ("builder.__main__", {"aiokafka"}),
        ("gateway.commands.cli", {"aiohttp", "asyncpg", "marshmallow"}),
    ],
)
def test_a_start_imports_no_driver_of_an_engine_that_is_not_configured(module, unused):
    program = f"import sys, {module}; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert not unused & set(imported.split())
