"""The converters print progress bars, glog lines and deprecations; none of it is for the person exporting."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from wayside.export.errors import ConversionError, ExportError

# Read by the libraries at their own import, therefore set before it.
os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_LOUD = ("torch", "torch.onnx", "onnxscript", "onnx_ir", "torchao", "root")


@contextlib.contextmanager
def converting(what: str) -> Iterator[None]:
    """Whatever torch, onnx, litert or the quantizers raise, as an error of ours; its cause is kept.

    Args:
        what: the beginning of the sentence, such as "the model does not convert to ONNX".

    Raises:
        ConversionError: the library refused.
        ExportError: no room for its temporary files.
    """
    try:
        yield
    except ExportError:
        raise
    except OSError as exc:
        raise ExportError(
            f"the converter's temporary files cannot be written: {exc}; TMPDIR names another folder"
        ) from exc
    except Exception as exc:  # their sources raise two dozen kinds, AssertionError and KeyError among them
        why = next(iter(str(exc).splitlines()), "") or type(exc).__name__
        raise ConversionError(f"{what}: {why}") from exc


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Python's and C++'s chatter on the standard streams. Exceptions pass."""
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.stdout.flush()
    sys.stderr.flush()
    null, out, err = os.open(os.devnull, os.O_WRONLY), os.dup(1), os.dup(2)
    try:
        os.dup2(null, 1)
        os.dup2(null, 2)
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(out, 1)
        os.dup2(err, 2)
        for fd in (null, out, err):
            os.close(fd)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
