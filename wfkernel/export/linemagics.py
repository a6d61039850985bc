"""What a line of IPython's own syntax becomes: nothing, since it only shows or sets up; a statement of Python; or a refusal."""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Callable, Set

from wfkernel.errors import WfkernelError
from wfkernel.export.magicline import DATE, read_line, split_words, unquote
from wfkernel.export.refusals import Refused

__all__ = ["MANAGER", "SCRIPT", "is_magic", "quoted", "start_line", "translate"]

SCRIPT = "script"  # what an exported script calls wfkernel.export.script
MANAGER = "wf"  # what the magics call the manager

_MAGIC_LINE = re.compile(r"\s*(%%?\s*[A-Za-z_]|!|\?)|[^=#'\"]+=\s*(!|%\s*[A-Za-z_])|\s*%{0,2}[\w.*]+\?{1,2}\s*$")
_ASSIGNED = re.compile(r"[^=#'\"]+=\s*%\s*(\w+)")
_SETS_UP = frozenset(
    """aimport alias_magic autoreload colors config doctest_mode gui hist history load_ext lsmagic magic matplotlib pdb pdef pdoc
    pfile pinfo pinfo2 pprint precision psearch psource quickref reload_ext unload_ext who who_ls whos xmode""".split()
)
_ONLY_READS = re.compile(r"(with|select|from|values|table|show|describe|explain|summarize|pivot|unpivot)\b|\(", re.IGNORECASE)
_NO_MEANING = "this has no meaning outside a notebook; write it in Python"


def is_magic(line: str) -> bool:
    """Whether a line at which a statement begins may be IPython's own syntax."""
    return _MAGIC_LINE.match(line) is not None


def translate(text: str, names: Set[str]) -> str | None:
    """The statement that stands for a magic in a script, or None where there is nothing to do.

    Raises:
        Refused: it means nothing outside a notebook.
    """
    text = text.strip()
    if not text.startswith("%") or text.endswith("?"):
        assigned = _ASSIGNED.match(text)
        if assigned is not None:
            raise Refused(f"the answer of %{assigned[1]} is taken here: {_NO_MEANING}")
        what = "`!` runs a shell" if "!" in text else "`?` and the like are for looking"
        raise Refused(f"{what}: {_NO_MEANING}" + (" (subprocess.run), or make it an action" if "!" in text else ""))
    name, _, rest = text[1:].strip().partition(" ")
    rest = rest.strip()
    if name in ("load_ext", "reload_ext") and rest.split("#")[0].split() == ["wfkernel"]:
        return f"{MANAGER} = {SCRIPT}.manager()"
    if name == "wf":
        return _command(rest, names)
    if name in _SETS_UP:
        return None
    raise Refused(f"%{name}: {_NO_MEANING}")


def start_line(workflow: str, words: list[str], run_id: str | None, names: Set[str]) -> str:
    """The statement that ``%%workflow ... --start key=value`` stands for."""
    return f"run = {SCRIPT}.show({_start(workflow, words, run_id, names)})"


def quoted(text: str) -> str:
    """A literal of the text, in double quotes where that is not harder to read."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal


# -- %wf --


def _command(rest: str, names: Set[str]) -> str | None:
    name, _, rest = rest.partition(" ")
    rest = rest.strip()
    if name in ("", "--help", "-h", "help", "list", "show", "timeline", "plan", "export", "nest") or rest in ("--help", "-h"):
        return None
    if name not in _COMMANDS:
        raise Refused(f"%wf knows no command {name!r}")
    try:
        return _COMMANDS[name](rest, names)
    except (WfkernelError, IndexError, ValueError) as exc:
        raise Refused(f"%wf {name}: {exc or type(exc).__name__}; `%wf {name} --help` says how it is written") from None


def _journal(rest: str, names: Set[str]) -> str | None:
    words = [unquote(word) for word in split_words(rest)]
    paths = [word for word in words if word != "--no-auto-resume"]
    options = ", auto_resume=False" if len(paths) < len(words) else ""
    return f"{MANAGER} = {SCRIPT}.manager({quoted(paths[0])}{options})" if paths else None


def _resume(rest: str, names: Set[str]) -> str:
    return f"{MANAGER}.resume({', '.join(_run(word, names) for word in split_words(rest))})"


def _start_command(rest: str, names: Set[str]) -> str:
    said = read_line(f"_() --start {rest}")  # --id, and words with blanks in quotes, as %%workflow has them
    workflow, *words = said.start or []
    return f"{SCRIPT}.show({_start(unquote(workflow), words, said.id, names)})"


def _start(workflow: str, words: list[str], run_id: str | None, names: Set[str]) -> str:
    arguments = [_argument(word, names) for word in words]
    if workflow not in names:
        if run_id is not None:
            raise Refused(f"the notebook defines no {workflow}")
        return f"{MANAGER}.start({', '.join([quoted(workflow), *arguments])})"
    options = f".options(id={quoted(run_id)})" if run_id is not None else ""
    return f"{workflow}{options}.start({', '.join(arguments)})"


def _argument(word: str, names: Set[str]) -> str:
    """``key=value``, the value as keyword_values would take it: an expression, or plain text."""
    key, equals, text = word.partition("=")
    if not equals or not key.isidentifier():
        raise Refused(f"arguments are written key=value, which {word!r} is not")
    return f"{key}={text if _is_expression(text, names) else quoted(text)}"


def _is_expression(text: str, names: Set[str]) -> bool:
    if not text or DATE.fullmatch(text):
        return False
    try:
        body = ast.parse(text, "<argument>", "eval").body
    except (SyntaxError, ValueError):
        return False
    if isinstance(body, ast.Name):
        return body.id in names
    bound = {n.id for n in ast.walk(body) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    used = {n.id for n in ast.walk(body) if isinstance(n, ast.Name)}
    return all(name in names or name in bound or hasattr(builtins, name) for name in used)


def _run(word: str, names: Set[str]) -> str:
    """A run's id, or an expression that holds the run."""
    try:
        used = {n.id for n in ast.walk(ast.parse(word, "<argument>", "eval")) if isinstance(n, ast.Name)}
    except (SyntaxError, ValueError):
        used = set()
    return word if used and used <= names else quoted(unquote(word))


def _cancel(rest: str, names: Set[str]) -> str:
    (run,) = split_words(rest)
    return f"{MANAGER}.cancel({_run(run, names)})"


def _restart(rest: str, names: Set[str]) -> str:
    words = split_words(rest.replace("--from=", "--from "))
    step = None
    if "--from" in words:
        at = words.index("--from")
        step = unquote(words[at + 1])
        del words[at : at + 2]
    (run,) = words
    given = "" if step is None else f", from_step={step if step.removeprefix('-').isdigit() else quoted(step)}"
    return f"{MANAGER}.restart({_run(run, names)}{given})"


def _send(rest: str, names: Set[str]) -> str:
    run, event, *value = rest.split(maxsplit=2)
    decoded = json.loads(value[0]) if value else None
    ast.literal_eval(repr(decoded))  # NaN and the infinities have no literal
    name = event if event in names else quoted(unquote(event))
    text = quoted(decoded) if isinstance(decoded, str) else repr(decoded)
    return f"{MANAGER}.send_event({name}, {text}, run={_run(run, names)})"


def _sql(rest: str, names: Set[str]) -> str | None:
    return None if _ONLY_READS.match(rest) else f"{MANAGER}.db.execute({quoted(rest)})"


_COMMANDS: dict[str, Callable[[str, Set[str]], str | None]] = {
    "cancel": _cancel,
    "journal": _journal,
    "restart": _restart,
    "resume": _resume,
    "send": _send,
    "sql": _sql,
    "start": _start_command,
}
