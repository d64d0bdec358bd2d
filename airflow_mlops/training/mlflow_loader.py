"""Lets ``mlflow.pyfunc.load_model`` read an artefact: MLflow imports the module that the model names as its loader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from airflow_mlops.training.artefact import LoadedModel, load_model

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

__all__ = ["ArtefactModel"]


class ArtefactModel:
    """An artefact with the one method that MLflow calls."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> npt.NDArray[np.float32] | pd.DataFrame:
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
            The prediction, or the score; of a binary task the probability of class 1.
        pandas.DataFrame, shape (n_rows, n_classes), float32
            Of a multiclass task: a column ``p_<class>`` for each class.
        """
        del params
        rows = torch.from_numpy(model_input[list(self._loaded.features)].to_numpy(np.float32, copy=True))
        answers = self._loaded.predict(rows).numpy()
        if self._loaded.task != "multiclass":
            return answers
        from pandas import DataFrame

        return DataFrame(answers, columns=[f"p_{name}" for name in self._loaded.classes], index=model_input.index)


def _load_pyfunc(path: str) -> ArtefactModel:
    # The name is MLflow's.
    return ArtefactModel(load_model(Path(path)))
