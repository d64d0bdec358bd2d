"""What a model project's one function is given."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

__all__ = ["TrainingContext"]


@dataclass(frozen=True)
class TrainingContext:
    """Numbers to learn from: no paths, no credentials, nothing of Airflow.

    Parameters
    ----------
    features : torch.Tensor, shape (n_rows, n_features), float32
        Rows in the order of their nights.
    target : torch.Tensor, shape (n_rows,), float32
        What is to be predicted.
    feature_names : tuple of str
        Names of the columns of ``features``.
    seed : int
        Every generator (random, numpy, torch) is already seeded with it.

    Examples
    --------
    >>> context = TrainingContext(torch.zeros(2, 1), torch.zeros(2), ("hr",), seed=7)
    >>> context.log("loss", 0.25)
    loss = 0.25
    >>> context.metrics
    {'loss': 0.25}
    """

    features: torch.Tensor
    target: torch.Tensor
    feature_names: tuple[str, ...]
    seed: int
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the tensors lie, and where the model belongs."""
        return self.features.device

    def log(self, name: str, value: float) -> None:
        """Show a number in the task's log; the last value of each name becomes a metric of the run."""
        self.metrics[name] = float(value)
        print(f"{name} = {self.metrics[name]:.6g}", flush=True)  # noqa: T201 - the parent reads this process's output
