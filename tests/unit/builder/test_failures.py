"""Why a command failed: the first error, the known failures, what to do. The outputs are those of real tools."""

from pathlib import Path, PurePosixPath

import pytest

from builder.checkout import Checkout
from builder.failures import Tail, explain, is_error
from builder.known_failures import KNOWN
from builder.letters import find_other_case
from builder.masking import NO_SECRETS, Masker
from builder.protocol.steps import Step
from builder.sandbox import Limits
from builder.splitting import LineSplitter

OUTPUTS = Path(__file__).parents[2] / "fixtures" / "failures"
NAMES = sorted(path.stem for path in OUTPUTS.glob("*.txt"))
HERE = PurePosixPath(".")


def explained(text, folder, code=1, masker=NO_SECRETS):
    tail = Tail(masker)
    splitter = LineSplitter(masker)
    for seq, line in enumerate([*splitter.feed(text.encode()), *splitter.flush()], 1):
        tail.add(line, seq)
    return explain("npm run build", code, Step.BUILD, tail, Limits(memory_bytes=512 * 2**20), Checkout(folder), HERE)


@pytest.mark.parametrize("name", NAMES)
def test_a_known_failure_is_recognised(name, tmp_path):
    error = explained((OUTPUTS / f"{name}.txt").read_text(), tmp_path)
    assert error.failure.kind == name.partition("--")[0]
    assert error.failure.advice in error.sentence
    assert error.failure.line in error.sentence
    assert len(error.reason) <= 2000


def test_every_known_failure_has_an_output():
    assert {known.kind for known in KNOWN} == {name.partition("--")[0] for name in NAMES}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("npm-peer-conflict", 'react-dom@17.0.2 needs react@"17.0.2", but react@18.3.1 is installed.'),
        ("npm-peer-conflict", "legacy-peer-deps=true"),
        ("typescript-errors", "Errors of TypeScript: 3."),
        ("warnings-are-errors", "`CI= npm run build`"),
        ("openssl-of-old-webpack", "NODE_OPTIONS=--openssl-legacy-provider"),
        ("package-not-installed", "The package lodash-es is not installed"),
        ("yarn-engine", "A package wants node 14.x."),
    ],
)
def test_the_advice_names_what_the_output_names(name, words, tmp_path):
    assert words in explained((OUTPUTS / f"{name}.txt").read_text(), tmp_path).failure.advice


def test_usage_hides_no_error(tmp_path):
    error = explained((OUTPUTS / "npm-lock-out-of-step.txt").read_text(), tmp_path)
    assert "npm error Missing: is-odd@3.0.1 from lock file" in error.lines
    assert not [line for line in error.lines if "Usage" in line or "--install-strategy" in line]


def test_errors_come_before_the_last_lines(tmp_path):
    lines = ["fine", "src/a.ts(3,1): error TS2322: No.", *(f"step {number}" for number in range(100)), "bye"]
    error = explained("\n".join(lines), tmp_path)
    assert error.failure.line == lines[1]
    assert error.failure.seq == 2
    assert error.lines == (*lines[2:6], *lines[-20:])


@pytest.mark.parametrize(
    "noise",
    [
        "npm warn deprecated inflight@1.0.6: This module leaks memory.",
        "(node:1) [DEP0040] DeprecationWarning: The `punycode` module is deprecated.",
        "npm error A complete log of this run can be found in: /home/build/home/.npm/_logs/a-debug-0.log",
        "    at Module._compile (node:internal/modules/cjs/loader:1554:14)",
        "Progress: resolved 812, reused 800, downloaded 3, added 0",
        "   Generating static pages (1/4) ",
        "Receiving objects:  50% (1/2)",
        "Node.js v20.20.2",
        "npm notice New major version of npm available!",
        "├──────────┤",
    ],
)
def test_noise_does_not_fill_the_reason(noise, tmp_path):
    error = explained("\n".join(["Error: the cause", *[noise] * 300, "the end"]), tmp_path)
    assert error.failure.line == "Error: the cause"
    assert error.lines == ("the end",)


@pytest.mark.parametrize(
    "line",
    [
        "src/a.ts(3,1): error TS2322: No.",
        "Error: no",
        "TypeError: x is not a function",
        "ERROR in ./src/index.js",
        "npm ERR! code ELIFECYCLE",
        "npm error code E404",
        '✘ [ERROR] Could not resolve "x"',
        "[ERROR] Failed to execute goal",
        "Cannot find module 'x'",
        "fatal: not a git repository",
        "panic: runtime error",
        "ValueError: no such page",
        "  1:7  error  'a' is never used  no-unused-vars",
        "sh: 1: hugo: not found",
        "bash: line 1: hugo: command not found",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "[UNRESOLVED_IMPORT] Could not resolve './a.js' in main.js",
    ],
)
def test_a_line_looks_like_an_error(line):
    assert is_error(line)


@pytest.mark.parametrize(
    "line",
    [
        "dist/assets/error-Bi3lMlXz.js  0.71 kB",
        "✓ built in 5.76s",
        "Found 0 errors. Watching for file changes.",
        "npm warn ERESOLVE overriding peer dependency",
        "warning: Error: is not thrown",
        "transforming (12) src/ErrorPage.tsx",
    ],
)
def test_a_line_does_not_look_like_an_error(line):
    assert not is_error(line)


def test_the_path_above_the_first_error_is_kept(tmp_path):
    error = explained((OUTPUTS / "eslint-errors.txt").read_text(), tmp_path)
    assert error.lines[0] == "/home/build/src/a.js"


def test_exit_code_127_is_a_missing_command_only_if_a_shell_says_so(tmp_path):
    missing = explained("sh: 1: foo: not found", tmp_path, code=127)
    assert missing.sentence.startswith("`npm run build` failed with exit code 127: a command was not found.")
    angular = explained("An unhandled exception occurred: Cannot read properties of undefined", tmp_path, code=127)
    assert angular.sentence.startswith("`npm run build` failed with exit code 127.\n")


def test_the_memory_of_a_tail_is_bounded(tmp_path):
    tail = Tail(NO_SECRETS)
    for number in range(5000):
        tail.add(f"error: {number} " + "y" * 1000)
    assert len(tail.lines()) < 100
    assert all(len(line.text) <= 300 for line in tail.lines())


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("./components/Button.js", "src/components/button.js"),
        ("../components/Button", "src/components/button.js"),
        ("@/Components/button", "src/components/button.js"),
        ("/home/build/src/src/Components/button.js?url", "src/components/button.js"),
        ("./components/button.js", None),
        ("./components/other.js", None),
        ("./Widgets", "src/widgets"),
    ],
)
def test_a_file_in_other_letters_is_found(tmp_path, wanted, found):
    (tmp_path / "src/components").mkdir(parents=True)
    (tmp_path / "src/components/button.js").touch()
    (tmp_path / "src/widgets").mkdir()
    (tmp_path / "node_modules/other/components").mkdir(parents=True)
    (tmp_path / "node_modules/other/components/Other.js").touch()
    assert find_other_case(Checkout(tmp_path), HERE, wanted) == found


def test_the_search_for_a_file_follows_no_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/button.js").touch()
    (tmp_path / "work").mkdir()
    (tmp_path / "work/src").symlink_to(tmp_path / "outside")
    assert find_other_case(Checkout(tmp_path / "work"), PurePosixPath("src"), "./Button.js") is None
    assert find_other_case(Checkout(tmp_path / "work"), HERE, "./Button.js") is None


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (-9, "", "was ended by SIGKILL: most likely it needed more memory than the 512 MiB"),
        (
            137,
            "sandbox: the build reached its limit of memory",
            "needed more memory than the 512 MiB that a build has.",
        ),
        (133, "", "was ended by SIGTRAP: most likely it needed more memory"),
        (-6, "", "was ended by SIGABRT: most likely it needed more memory"),
        (133, "# Fatal process out of memory: SegmentedTable", "ran out of memory: a build has at most 512 MiB."),
        (1, "std::bad_alloc", "ran out of memory"),
        (-25, "", "ran out of disk: a build, and so each of its files, has at most 4096 MiB."),
        (1, "npm error code ENOSPC", "ran out of disk"),
        (1, "Error: EFBIG: file too large, write", "ran out of disk"),
        (134, "FATAL ERROR: JavaScript heap out of memory", "ran out of memory"),
        (127, "", "failed with exit code 127.\n"),
        (-11, "", "SIGSEGV, exit code 139"),
        (2, "", "failed with exit code 2."),
    ],
)
def test_an_end_is_told_in_words(code, text, words, tmp_path):
    assert words in explained(text, tmp_path, code).sentence


def test_the_lines_have_no_colours_and_no_endless_length(tmp_path):
    error = explained("\x1b[31m" + "x" * 10_000 + "\n   \n", tmp_path)
    assert error.lines == ("x" * 300,)


ESCAPES = ["\x1b[31m", "\x1b[0K", "\x1b]8;;http://x\x07", "\x1b]0;title\x1b\\", "\x1bM"]


@pytest.mark.parametrize("padding", ["", "x" * 285])
@pytest.mark.parametrize("escape", ESCAPES)
def test_a_secret_with_an_escape_sequence_in_it_is_masked_before_the_line_is_cut(escape, padding, tmp_path):
    error = explained(f"Error: {padding}a-secret-{escape}with-more", tmp_path, masker=Masker(["a-secret-with-more"]))
    assert error.failure.line == f"Error: {padding}***"
    assert "a-secret" not in error.reason
