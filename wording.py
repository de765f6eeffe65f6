"""How names, paths and numbers of things are written wherever a person, a terminal or a spreadsheet reads them."""

import difflib
import re
import reprlib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

# Characters that a terminal or a page acts on instead of showing: controls, line and paragraph separators, marks that
# turn the direction of writing, and halves of a pair that stand alone (bytes of a file's name that are not UTF-8).
_ACTED_ON = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
_JOINERS = "\u200c\u200d"  # part of how Persian, Hindi and others are written
_LONGEST_NAME, _LONGEST_PATH = 255, 4096  # bytes, on all common systems
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_ABBREVIATIONS = {"auroc": "AUROC", "ap": "AP", "f1": "F1", "fpr": "FPR", "tpr": "TPR"}


def visible(text: str, *, keep: str = "") -> str:
    """`text` with every character that would act on a terminal or a page shown as its escape (`\\x1b`, `\\u202e`).

    `keep` are characters that stay, such as the line breaks of a message of several lines.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character in keep or character in _JOINERS or unicodedata.category(character) not in _ACTED_ON
        else character.encode("unicode_escape").decode()
        for character in text
    )


def spreadsheet_cell(text: str) -> str:
    """A name as a CSV cell that no spreadsheet takes for a formula: one that begins like one gets an apostrophe."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_FORMULA_STARTS) else shown


def brief(value: object) -> str:
    """A value that somebody wrote, as Python shows it, but never much more than a line of it."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = 120
    shortener.maxlevel = 2
    return shortener.repr(value)


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things: `1 sample`, `2,361 samples`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def is_are(number: int) -> str:
    """The verb of a number of things: `1 of 5 is`, `3 of 5 are`."""
    return "is" if number == 1 else "are"


def listed(names: Iterable[str], *, last: str = "and") -> str:
    """Names in a sentence: `video, audio and image`."""
    *others, final = names
    return f"{', '.join(others)} {last} {final}" if others else final


def shortened(names: Sequence[str], *, most: int) -> str:
    """The first of many names: `a, b, c and 12 more`."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def first_of(lines: Sequence[str], *, most: int, rest: str = "") -> list[str]:
    """The first of many lines, and one that says how many more there are; `rest` says where to find these."""
    return [*lines[:most], f"... and {len(lines) - most:,} more{rest}"] if len(lines) > most else list(lines)


def lined_up(lines: Sequence[str], *, most: int = 10) -> str:
    """The first of many lines, indented, each below the other, and how many more there are."""
    return "\n".join(f"  {line}" for line in first_of(lines, most=most))


def in_words(name: str) -> str:
    """A figure's name for people: `val_macro_f1` as `val macro F1`."""
    return " ".join(_ABBREVIATIONS.get(word, word) for word in name.split("_"))


def format_seconds(seconds: float) -> str:
    """Seconds as a person says them: `8.1 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def format_size(number: int | float, unit: str = "B") -> str:
    """A number with its unit as a person says it: `512 B`, `7.5 MB`, `1.66 TFLOP`."""
    for prefix in ("", "k", "M", "G", "T"):
        if number < 999.5:
            return f"{number:.3g} {prefix}{unit}"
        number /= 1000
    return f"{number:,.0f} P{unit}"


def from_to(low: float, high: float, form: str = ".3f") -> str:
    """An interval: `0.861 to 0.903`; `form` is how each end is written, such as `+.3f` or `.1%`."""
    return f"{low:{form}} to {high:{form}}"


def under_home(path: Path | str) -> str:
    """A path as it may be shared: below the user's home as `~/...`, else as it is."""
    try:
        return str(Path("~", Path(path).relative_to(Path.home())))
    except (ValueError, RuntimeError):
        return str(path)


def written_path(text: str) -> Path:
    """The path that a person wrote where no shell reads it: `~` is the home folder.

    Raises:
        ValueError: if no folder can be of that name, or it is only one once a shell has read it.
    """
    if not text or "\0" in text:
        raise ValueError("a path is at least one character, and none of them is NUL")
    if text.startswith("$"):
        raise ValueError("variables are not replaced here; write the path out")
    try:
        if len(text.encode()) >= _LONGEST_PATH or any(len(name.encode()) > _LONGEST_NAME for name in text.split("/")):
            raise ValueError("it is longer than a file system takes")
        return Path(text).expanduser()
    except UnicodeEncodeError:
        raise ValueError(f"the name {text!a} is not UTF-8; rename the folder") from None
    except RuntimeError:
        raise ValueError("there is no user of that name whose home folder ~ could be") from None


def homes_hidden(text: str) -> str:
    """A text as it may be shared: paths in the user's home, wherever they stand in it, begin with `~`."""
    home = re.escape(str(Path.home()))
    return re.sub(rf"(?<![\w.~/-]){home}(?=/|$|[\s'\",:;])", "~", text) if home != "/" else text


def homes_restored(text: str) -> str:
    """What `homes_hidden` made of a text, as paths on this machine."""
    return re.sub(r"(?<![\w.~/-])~(?=/|$|[\s'\",:;])", lambda _: str(Path.home()), text)


def with_extra(name: str) -> str:
    """How an extra of weldcache is installed: from the clone, as the name on a public index may be a stranger's."""
    return f"`pip install -e '.[{name}]'` in the folder of weldcache's clone"


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """A question after the known name that `name` may be a slip of; empty where none is like it."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]}?" if matches else ""
