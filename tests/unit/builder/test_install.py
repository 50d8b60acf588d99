"""What an install says about scripts that did not run."""

import pytest

from builder.install import InstallOutput

PNPM = "pnpm.onlyBuiltDependencies in package.json (pnpm 11 and later: allowBuilds in pnpm-workspace.yaml)"


@pytest.mark.parametrize(
    ("line", "names", "fix"),
    [
        ("│   Ignored build scripts: vue-demi@0.14.10.                                 │", "vue-demi", PNPM),
        ("Ignored build scripts: @parcel/watcher, esbuild.", "@parcel/watcher, esbuild", PNPM),
        (
            "[ERR_PNPM_IGNORED_BUILDS] Ignored build scripts: esbuild@0.25.0, @parcel/watcher@2.5.1",
            "esbuild, @parcel/watcher",
            PNPM,
        ),
        (
            "➤ YN0004: │ sharp@npm:0.33.5 lists build scripts, but all build scripts have been disabled.",
            "sharp",
            'dependenciesMeta in package.json, with "built": true, and set enableScripts in .yarnrc.yml',
        ),
        (
            "Blocked 2 postinstalls. Run `bun pm untrusted` for details.",
            "some packages, which `bun pm untrusted` lists,",
            "trustedDependencies in package.json",
        ),
    ],
)
def test_scripts_that_did_not_run_are_named_with_the_fix(line, names, fix):
    output = InstallOutput()
    output.hear(f"\x1b[33m{line}\x1b[39m")
    assert output.warning == (
        f"Warning: the install scripts of {names} did not run. If the build needs them, add them to {fix}."
    )


def test_an_install_that_ran_all_scripts_is_not_warned_of():
    output = InstallOutput()
    output.hear("added 3 packages in 1s")
    assert output.warning == ""
