"""A model's graph on the ONNX Runtime, for the devices that OpenVINO does not reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .runtime import check_outputs, check_ports, failure, last_line
from .tiles import Floats
from .zoo import ModelCard, read_graph

if TYPE_CHECKING:
    import onnxruntime


class OnnxGraph:
    """A graph loaded for ``provider``, an execution provider's name. Several threads may run it.

    It computes in float32. Raises ModelError when the graph is missing or damaged, is not of the form its card states,
    or the provider cannot be started.
    """

    precision = "f32"

    def __init__(self, card: ModelCard, provider: str, threads: int | None = None) -> None:
        import onnxruntime

        self.card = card
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0: as many as cores
        options.log_severity_level = 3  # errors; warnings would go to the terminal, past our own messages
        data = read_graph(card)
        try:
            self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(data, options, [provider])
        # The classes of its errors are of its C++ half and have no common base but this.
        except Exception as error:
            raise failure(card, f"cannot be loaded ({last_line(error)})") from error
        # Without the provider's libraries the session quietly computes on the processor.
        if provider not in self._session.get_providers():
            raise failure(card, f"cannot be loaded for {provider}: its libraries or its driver do not start")
        check_ports(
            card,
            [[port.name] for port in self._session.get_inputs()],
            [[port.name] for port in self._session.get_outputs()],
        )

    def infer(self, feed: dict[str, Floats]) -> dict[str, Floats]:
        """Run the graph once: its outputs by name. ModelError when it fails."""
        try:
            answers = self._session.run(self.card.outputs, feed)
        except Exception as error:
            raise failure(self.card, f"fails on {feed['image'].shape} ({last_line(error)})") from error
        outputs = {name: np.asarray(answer) for name, answer in zip(self.card.outputs, answers, strict=True)}
        check_outputs(self.card, feed, outputs)
        return outputs
