"""Explains why a command failed: the lines that look like errors, the known failures, what it ran out of."""

from __future__ import annotations

import collections
import dataclasses
import re
import signal
from collections.abc import Sequence
from pathlib import PurePath

from builder.checkout import Checkout
from builder.errors import BuildFailed
from builder.known_failures import KNOWN, WRONG_CASE, WRONG_CASE_ADVICE
from builder.letters import find_other_case
from builder.masking import Masker
from builder.protocol.calls import Failure
from builder.protocol.steps import Step
from builder.sandbox import Limits
from builder.sandbox.inside.plan import OUT_OF_MEMORY as GROUP_OUT_OF_MEMORY
from builder.splitting import strip_ansi

LAST = 200
"""How many of the last lines are kept, with noise."""
LINES = 20
"""How many of them are shown, without noise."""
LINE_LETTERS = 300
COMMAND_LETTERS = 200
REASON_LETTERS = 2000
"""The gateway cuts a longer reason off."""
ERRORS = 12
"""How many of the first errors are kept, and how many of the last."""
CONTEXT = 4
"""How many lines after each of the first errors are kept: a code frame, a path."""
OUT_OF_MEMORY = (
    *("heap out of memory", "process out of memory", "Fatal JavaScript out of memory", "Cannot allocate memory"),
    *("MemoryError", "bad_alloc", "ENOMEM", "Failed to reserve virtual memory", "Out of memory"),
)
MEMORY_SIGNALS = (signal.SIGKILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGILL)
"""SIGKILL from the kernel, and the signals by which V8 ends itself without more memory."""
OUT_OF_DISK = (
    *("No space left on device", "ENOSPC", "File too large", "EFBIG", "File size limit exceeded"),
    *("Disk quota exceeded", "EDQUOT", f"died of signal {signal.SIGXFSZ:d}"),
)
UNKNOWN, NO_MEMORY, NO_DISK = "unknown", "out-of-memory", "out-of-disk"
NOT_FOUND = 127
"""The exit code by which a shell says that a command was not found. Other programs use it too."""


def _any(*patterns: str) -> re.Pattern[str]:
    """No pattern has a repetition inside a repetition, because the text is a build's."""
    return re.compile("|".join(patterns), re.IGNORECASE)


_NPM = "^npm (?:ERR!|error)"
_ERROR_WORDS = (
    *("cannot find module", "cannot find package", "module not found", "could not resolve", "could not be resolved"),
    *("failed to resolve", "failed to load", "failed to compile", "failed to parse", "is not exported by"),
    *(
        "command not found",
        "no such file or directory",
        "is not recognized",
        "panicked at",
        "unable to",
        "treating warnings as errors",
        "err_pnpm_",
        "[err_",
    ),
    *("✘ ", "⨯ ", "✖ ", "✗ ", "× ", "yn0001", "yn0009", "yn0018", "yn0020", "yn0022", "yn0027", "yn0028", "yn0035"),
    *("yn0041", "yn0080", "yn0081", "yn0082"),
    *(word.lower() for word in (*OUT_OF_MEMORY, *OUT_OF_DISK, GROUP_OUT_OF_MEMORY)),
)
"""Words, because a search for one costs a tenth of a pattern, and each line of a build is looked at."""
_ERROR_START = _any(
    r"\W*(?:\d[\d:]{3,10}\W+)?(?:error|fatal|panic|failure|uncaught|failed|err!?|exception)(?:[:\]! ]|$)",
    r"(?-i:\[[A-Z]\w{4,60}\]) ",  # [UNRESOLVED_IMPORT], [NoAdapterInstalled]
    r"npm ERR!",
)
_ERROR_INSIDE = _any(
    r"(?:error|exception)(?:: | \[|\W{0,3}$)|\berror:? ?(?:TS|NG|CS)?\d{1,5}\b|\berror\[|\berror  |\): error\b"
    r"|^npm error"
)
_WARNING = _any(r"\W*(?:npm |\(node:\d{1,9}\) )?(?:\[?warn(?:ing)?\b|\w{0,40}Warning:)")
_NONE_FOUND = _any(r"\b(?:0|no|without(?: any)?) errors?\b")
_NOISE = _any(
    r"^\W*$",
    # Stack frames, and what Node and package managers print around them.
    r"^\s*at (?:async |new )?\S.{0,280}(?:[:)\]]|\d)$|^\s*at <|^node:internal/|^Node\.js v\d",
    r"^\s*(?:code|requireStack): .{0,80}[,\]]$|^\s*throw (?:err|error|new Error).{0,80}$|^\(Use `node --trace",
    rf"DeprecationWarning|deprecated\b|^npm (?:notice|warn) |{_NPM}\s*$|{_NPM} (?:For a full report|\d{{3}}$)",
    r"A complete log of this run|_logs/.{1,120}(?:debug-\d|eresolve-report)|^info Visit https://yarnpkg|^[$>] ",
    # Progress.
    r"^\s*[-\\|/⠁-⣿] |^\s*\[?\d{1,6}/\d{1,6}\]?|\(\d{1,6}/\d{1,6}\)|\b\d{1,3}(?:\.\d{1,2})?\s?%|^Progress: ",
    r"^\s*✓ |^\s*(?:transforming|rendering chunks|computing gzip|Collecting |Generating |Linting )",
)
_ANNOUNCEMENT = _any(
    # An error follows, or has been named: the line itself does not say which.
    r"^\W*(?:failed to compile\.?|error during build:?|build (?:failed|error occurred).{0,40}|error|failed|errors?:?)$",
    r"^\W*(?:error command failed.{0,80}|ELIFECYCLE.{0,80}|found \d{1,6} errors?.{0,80}|error reference:)$",
    rf"{_NPM} (?:code|errno|syscall|path|command|cwd|dest|signal|lifecycle|workspace|location)\b",
)
_USAGE = _any(r"^(?:npm (?:ERR!|error) )?\s*(?:Usage:|Clean install a project$)")
_IN_USAGE = _any(r"^(?:npm (?:ERR!|error)|\s|-|Options:|Commands:|Alias|Flags:|Arguments:|Examples:)")
_PLACE = re.compile(r"^[\w@./+-]{1,200}\.\w{1,10}(?::\d{1,7}){0,2}$")
_NOT_FOUND = _any(
    r"\bcommand not found",
    r"^(?:\S{0,40}/)?(?:sh|dash|bash|zsh|env): (?:.{0,200}: )?not found$",
    r"^(?:\S{0,40}/)?env: .{1,200}: No such file",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A line of the tail. `place` counts all lines; `seq` is its number in the log, 0 if it has none."""

    place: int
    text: str
    seq: int


class Tail:
    """The lines that explain a failure, of both streams in the order of their arrival. Its memory is bounded."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self.type_errors = 0
        """How many errors of TypeScript there were."""
        self._count = 0
        self._before: Kept | None = None
        self._first: list[Kept] = []
        self._frames: list[Kept] = []
        self._newest: collections.deque[Kept] = collections.deque(maxlen=ERRORS)
        self._last: collections.deque[Kept] = collections.deque(maxlen=LAST)
        self._context = 0
        self._is_usage = False

    def add(self, text: str, seq: int = 0) -> None:
        plain = strip_ansi(text)
        # Removing an escape sequence can join the halves of a secret. It is masked before a cut can halve it again.
        shown = (plain if plain == text else self._masker.mask_text(plain)).rstrip()[:LINE_LETTERS]
        if not shown:
            return
        self._count += 1
        self._is_usage = bool(_USAGE.match(shown) or (self._is_usage and _IN_USAGE.match(shown)))
        if self._is_usage:
            return
        line = Kept(self._count, shown, seq)
        self._last.append(line)
        if is_error(shown) and (len(self._first) == ERRORS or not _is_noise(line)):
            self._add_error(line)
        elif self._context:
            self._context -= 1
            self._frames.append(line)
        self._before = line

    def has_errors(self) -> bool:
        return bool(self._first)

    def lines(self) -> list[Kept]:
        """All lines that are kept: from the first error on, if there was one. Noise only if there is nothing else."""
        last = [line for line in self._last if not _is_noise(line)][-LINES:]
        others = [line for line in (*self._frames, *self._newest) if not _is_noise(line)]
        kept = {line.place: line for line in (*self._first, *others, *last)}
        start = self._first[0].place if self._first else 0
        return [kept[place] for place in sorted(kept) if place >= start] or list(self._last)[-LINES:]

    def text(self) -> str:
        return "\n".join(line.text for line in self.lines())

    def _add_error(self, line: Kept) -> None:
        self.type_errors += "error TS" in line.text
        self._newest.append(line)
        if len(self._first) == ERRORS:
            return
        if not self._first and self._before is not None and _PLACE.match(self._before.text):
            self._first.append(self._before)  # ESLint and Next print the path of a file above its errors
        self._first.append(line)
        self._context = CONTEXT


def explain(
    shown: str, code: int, step: Step, tail: Tail, limits: Limits, checkout: Checkout, folder: PurePath
) -> BuildFailed:
    """The end of a command that failed. `folder`, in the checkout, is where it ran.

    The reason is a sentence, the first error, what to do, and then the other lines that explain it.
    """
    lines = tail.lines()
    lack = _find_lack(plain_code(code), tail.text(), limits)
    kind, headline, advice = _recognise(lines, tail.type_errors, checkout, folder)
    if headline is None:
        headline = _first_error(lines)
    failure = Failure(
        kind=kind or (lack[0] if lack else UNKNOWN),
        step=step,
        line=headline.text.strip() if headline else None,
        seq=(headline.seq or None) if headline else None,
        advice=advice,
    )
    words = [f"`{shown[:COMMAND_LETTERS]}` {lack[1] if lack else _why(plain_code(code), tail)}", *_words(failure)]
    sentence = "\n".join(words)
    others = _fitting([line.text for line in lines if line is not headline], sentence, is_first_kept=tail.has_errors())
    return BuildFailed(sentence, exit_code=plain_code(code), lines=others, failure=failure)


def find_lack(code: int, tail: str, limits: Limits) -> str | None:
    """What a command ran out of, by its exit code and its last lines. None if these do not show it."""
    lack = _find_lack(code, tail, limits)
    return lack[1] if lack else None


def plain_code(code: int) -> int:
    """As in a shell: 128 and the signal's number."""
    return 128 - code if code < 0 else code


def is_error(text: str) -> bool:
    small = text.lower()
    is_one = (
        any(word in small for word in _ERROR_WORDS)
        or small.endswith(": not found")
        or _ERROR_START.match(text)
        or (("error" in small or "exception" in small) and _ERROR_INSIDE.search(text))
    )
    return bool(is_one) and not _WARNING.match(text) and not _NONE_FOUND.search(text)


def _is_noise(line: Kept) -> bool:
    return _NOISE.search(line.text) is not None


def _recognise(
    lines: Sequence[Kept], errors: int, checkout: Checkout, folder: PurePath
) -> tuple[str | None, Kept | None, str | None]:
    """The kind of a known failure, its line, and what to do."""
    text = "\n".join(line.text for line in lines)
    for known in KNOWN:
        found = known.pattern.search(text)
        if found is None:
            continue
        line = lines[text.count("\n", 0, found.start())]
        names = {name.rstrip("0123456789"): value for name, value in found.groupdict().items() if value}
        other = find_other_case(checkout, folder, names["module"]) if "module" in names else None
        if other is not None:
            return WRONG_CASE, line, WRONG_CASE_ADVICE.format(module=names["module"], file=other)
        return known.kind, line, known.advice.format_map(_Names(names, count=errors))
    return None, None, None


class _Names(dict[str, object]):
    """A name that the output does not hold becomes "it"."""

    def __missing__(self, name: str) -> str:
        return "it"


def _first_error(lines: Sequence[Kept]) -> Kept | None:
    """The first line that names an error. If there is none, one that announces it."""
    errors = [line for line in lines if is_error(line.text)]
    return next((line for line in errors if not _ANNOUNCEMENT.match(line.text)), errors[0] if errors else None)


def _words(failure: Failure) -> list[str]:
    known = "" if failure.kind == UNKNOWN else f", {failure.kind}"
    words = [f"In step {failure.step}{known}" + (f": {failure.line}" if failure.line else ".")]
    return [*words, f"What to do: {failure.advice}"] if failure.advice else words


def _fitting(lines: Sequence[str], sentence: str, *, is_first_kept: bool) -> list[str]:
    """The first or the last lines, as many as a reason has room for."""
    room = REASON_LETTERS - len(sentence)
    kept: list[str] = []
    for line in lines if is_first_kept else reversed(lines):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return kept if is_first_kept else kept[::-1]


def _why(code: int, tail: Tail) -> str:
    if code == NOT_FOUND and any(_NOT_FOUND.search(line.text) for line in tail.lines()):
        return f"failed with exit code {code}: a command was not found."
    if 128 < code < 128 + signal.NSIG:
        return f"was ended by a signal ({_signal_name(code - 128)}, exit code {code})."
    return f"failed with exit code {code}."


def _find_lack(code: int, tail: str, limits: Limits) -> tuple[str, str] | None:
    """Its kind and its words."""
    memory = f"{limits.memory_bytes // 2**20} MiB"
    if GROUP_OUT_OF_MEMORY in tail:
        return NO_MEMORY, f"needed more memory than the {memory} that a build has."
    if _holds(tail, OUT_OF_MEMORY):
        return NO_MEMORY, f"ran out of memory: a build has at most {memory}."
    if code == 128 + signal.SIGXFSZ or _holds(tail, OUT_OF_DISK):
        disk = f"{limits.disk_bytes // 2**20} MiB"
        return NO_DISK, f"ran out of disk: a build, and so each of its files, has at most {disk}."
    if code - 128 in MEMORY_SIGNALS:
        name = _signal_name(code - 128)
        return NO_MEMORY, f"was ended by {name}: most likely it needed more memory than the {memory} that a build has."
    return None


def _holds(tail: str, words: Sequence[str]) -> bool:
    return any(word in tail for word in words)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
