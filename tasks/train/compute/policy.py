"""The ways in which a network can be computed in its training."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Policy:
    """How a network is computed in its training.

    Attributes:
        dtype: float32, or bfloat16 for what works on feature maps; weights, losses, metrics and softmax are float32.
        fused_batch_normalization: by TensorFlow's one kernel and not by Keras's single operations.
        jit: compiled by XLA.
        threads: of TensorFlow's operations.
        devices: GPUs that share every batch; 1 also where there is none.
        convolved_gradients: weight gradients over small maps are had from convolutions, see `small_maps.py`.
    """

    dtype: str
    fused_batch_normalization: bool
    jit: bool
    threads: int
    devices: int = 1
    convolved_gradients: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """Name -> value, for the run's params."""
        return asdict(self)
