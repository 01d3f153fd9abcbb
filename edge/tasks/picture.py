"""Pictures: a frame in, counts out. The frame is looked at inside one ``with`` block; no row has room for pixels.

A source of frames calls :meth:`Picture.look` in a thread of its own and hands over what comes out.
"""

from __future__ import annotations

import numpy as np

from wayside.contracts.fit import misfits
from wayside.contracts.frames import Counts, Frame
from wayside.contracts.passport import Passport
from wayside.contracts.sync import TaskState
from wayside.contracts.task_config import Offer, TaskConfig
from wayside.edge.ledger import Ledger
from wayside.edge.runtimes.runtime import RuntimeRunError
from wayside.edge.tasks.task import NO_MODEL, Model, say_no_model
from wayside.edge.tasks.window import TaskMismatch


class Picture:
    """A task of kind ``classify`` or ``count``."""

    def __init__(self, config: TaskConfig, offer: Offer, ledger: Ledger) -> None:
        self.config, self.name, self.bundle = config, config.name, config.bundle
        self._offer, self._ledger = offer, ledger
        self._model: Model | None = None
        self.why: str | None = NO_MODEL

    def fits(self, passport: Passport) -> None:
        """Raises: TaskMismatch: the model cannot run here; the message says all that keeps it."""
        wrong = misfits(passport, self.config.offered(), self._offer)
        if wrong:
            raise TaskMismatch("; ".join(m.message for m in wrong))

    def set_model(self, model: Model | None, why: str = NO_MODEL, *, waits: bool = False) -> None:
        if model is not None:
            try:
                self.fits(model.passport)
            except TaskMismatch as exc:
                model, why, waits = None, str(exc), False
        self._model, self.why = model, None
        if model is None:
            self.why = why
            say_no_model(self._ledger, self.name, why, waits=waits)
        else:
            self._ledger.end("no_model", self.name)

    def state_of_model(self) -> TaskState:
        version = None if self._model is None else self._model.passport.version
        return TaskState(name=self.name, bundle=self.bundle, model=version, why=self.why and self.why[:512])

    def look(self, frame: Frame) -> Counts | None:
        """What ``frame`` shows, which is forgotten then; None while no model runs. A classifier counts the one class
        that it takes the picture for.

        Raises:
            RuntimeRunError: the model failed, or answered what is not a number.
            RuntimeInputError: the frame has another size than the model's pictures.
        """
        model = self._model
        if model is None:
            frame.forget()
            return None
        spec = model.passport.task
        with frame:
            answer = model.runtime.run(np.ascontiguousarray(frame.pixels[None]))[0]
        if not np.isfinite(answer).all():
            raise RuntimeRunError(f"the model of {self.name} answers what is not a number")
        if spec.kind == "classify":
            counts = {spec.classes[int(answer.argmax())]: 1.0}
        else:
            counts = {name: max(0.0, float(n)) for name, n in zip(spec.classes, answer, strict=True)}
        return Counts(at=frame.at, counts=counts)
