"""The program `weldcache`: its commands, and the one place where errors become messages and exit codes."""

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from ..errors import Refusal, WeldcacheError, refusal_of
from ..progress import quieted
from ..wording import visible
from . import (
    audit,
    bench,
    compare,
    config,
    data,
    evaluate,
    exchange,
    extract,
    fuse,
    gc,
    info,
    mirror,
    mistakes,
    new,
    plan,
    recommend,
    runs,
    score,
    split,
    sweep,
    synth,
    train,
    verify,
    weights,
)

app = typer.Typer(
    name="weldcache",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("synth")(synth.synth)
app.command("plan")(plan.plan)
app.command("extract")(extract.extract)
app.command("info")(info.info)
app.command("split")(split.split)
app.command("verify")(verify.verify)
app.command("audit")(audit.audit)
app.command("export")(exchange.export_store)
app.command("import")(exchange.import_store)
app.command("mirror")(mirror.mirror)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("score")(score.score)
app.command("bench")(bench.bench)
app.command("recommend")(recommend.recommend)
app.command("sweep")(sweep.sweep)
app.command("fuse")(fuse.fuse)
app.command("gc")(gc.gc)
app.command("new")(new.new)
app.add_typer(runs.app, name="runs")
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")


_ANYWHERE = {"--debug": "debug", "--quiet": "quiet", "-q": "quiet"}  # options that no command needs to know of


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"weldcache {version('weldcache')}")
        raise typer.Exit


@app.callback()
def weldcache(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; works anywhere.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing on the way but errors; works anywhere.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Cache frozen foundation-model features of any samples once; train and evaluate on them in seconds.

    A first run, without any data of your own:

        weldcache weights add efficientnet-lite0

        weldcache synth demo --size small && cd demo

        weldcache extract && weldcache train --config match && weldcache eval
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit status: 0 done, 1 failed, 2 bad input, 3 not good enough, 130 interrupted, 141
    not read to its end."""
    anywhere = {_ANYWHERE[argument] for argument in arguments if argument in _ANYWHERE}
    debug, rest = "debug" in anywhere, [argument for argument in arguments if argument not in _ANYWHERE]
    command = typer.main.get_command(app)
    try:
        with quieted("quiet" in anywhere):
            result = command.main(rest, prog_name="weldcache", standalone_mode=False)
        if result == 130:  # what typer makes of Ctrl-C, without a word
            raise typer.Abort
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        if sentence := mistakes.sentence_of(error):
            _complain(sentence, debug=debug)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        _complain("Interrupted. What was complete is kept; run the same command again to go on.", debug=debug)
        return 130
    except WeldcacheError as error:
        _complain(f"{error}{mistakes.unsaid(error, arguments)}", debug=debug)
        return error.exit_code
    except SystemExit as end:  # what shell completion ends with, and what typer makes of a pipe that nobody reads
        if isinstance(end.__context__, BrokenPipeError):
            return 128 + signal.SIGPIPE  # as of other tools of which `head` has seen enough
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        fault = f"{type(error).__name__}: {error}\nThis is a fault of weldcache; --debug shows where."
        refusal = refusal_of(error) or Refusal(fault, exit_code=1)
        _complain(refusal.sentence, debug=debug)
        return refusal.exit_code


def main() -> None:
    """Entry point of the console script."""
    # Before torch is loaded: threads that wait by spinning make small models ten times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Registered first it is called last: what libraries then take apart would be ended by the signal itself.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    code = run(sys.argv[1:])
    # All is written by now: who presses Ctrl-C again does not wait for what is tidied up, and the outcome is the same.
    signal.signal(signal.SIGINT, lambda _, __: os._exit(code))
    if any(thread.name == "abandoned decoder" for thread in threading.enumerate()):  # see `DecodeThread`
        # Python that ends under a library's thread may abort, whatever the run's outcome.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _complain(message: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    # Names of files and classes stand in messages, and some hold what a terminal would obey.
    print("weldcache:", visible(message, keep="\n"), file=sys.stderr)
