"""Lets ``mlflow.pyfunc.load_model`` read an artefact: MLflow imports the module that the model names as its loader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from airflow_mlops.training.artefact import LoadedModel, load_model, predicted

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

__all__ = ["ArtefactModel"]


class ArtefactModel:
    """An artefact with the one method that MLflow calls."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> npt.NDArray[np.float32]:
        """Predict.

        Parameters
        ----------
        model_input : pandas.DataFrame, shape (n_rows, n_features)
            With at least the model's features as columns.
        params : dict, optional
            Takes none.

        Returns
        -------
        ndarray, shape (n_rows,), float32
        """
        del params
        rows = torch.from_numpy(model_input[list(self._loaded.features)].to_numpy(np.float32, copy=True))
        return predicted(self._loaded.module, rows).numpy()


def _load_pyfunc(path: str) -> ArtefactModel:
    # The name is MLflow's.
    return ArtefactModel(load_model(Path(path)))
