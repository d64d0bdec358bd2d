"""Hourly bike demand: a small network that predicts how many bikes are rented in an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from airflow_mlops.training.context import TrainingContext

# Wide enough for hour x weekday x weather, small enough to train in seconds on one core.
_WIDTH = 48
_EPOCHS = 100
_BATCH_ROWS = 256
_LEARNING_RATE = 4e-3
# Strong, since a few weeks of one season are little to learn from: weather must bend the daily curve, not draw it.
_WEIGHT_DECAY = 0.5
_HOURS, _WEEKDAYS = 24, 7


class BikeDemand(nn.Module):
    """A daily curve, bent by weekday and weather; answers in bikes an hour.

    Parameters
    ----------
    features : torch.Tensor, shape (n_rows, n_features), float32
        What it will be trained on: scales and ranges are taken from it.
    target : torch.Tensor, shape (n_rows,), float32
        Bikes an hour; its mean is where the network starts.
    names : tuple of str
        Names of the columns of ``features``.
    """

    low: torch.Tensor
    high: torch.Tensor
    centre: torch.Tensor
    scale: torch.Tensor
    log_mean: torch.Tensor

    def __init__(self, features: torch.Tensor, target: torch.Tensor, names: tuple[str, ...]) -> None:
        super().__init__()
        self.hour, self.weekday = names.index("hr"), names.index("weekday")
        self.register_buffer("low", features.amin(0))
        self.register_buffer("high", features.amax(0))
        self.register_buffer("centre", features.mean(0))
        # A column that never varies (a winter has one season) says nothing: divide it by one.
        spread = features.std(0)
        self.register_buffer("scale", torch.where(spread > 0, spread, torch.ones_like(spread)))
        self.register_buffer("log_mean", target.mean().clamp(min=1.0).log())
        self.layers = nn.Sequential(
            nn.Linear(_HOURS + _WEEKDAYS + len(names), _WIDTH),
            nn.SiLU(),
            nn.Linear(_WIDTH, _WIDTH),
            nn.SiLU(),
            nn.Linear(_WIDTH, 1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Predict from rows of shape (n_rows, n_features): bikes an hour, shape (n_rows,)."""
        # Weather beyond what was ever seen counts as the most extreme that was seen: no wild extrapolation.
        seen = features.clamp(self.low, self.high)
        hour = nn.functional.one_hot(seen[:, self.hour].long(), _HOURS)
        weekday = nn.functional.one_hot(seen[:, self.weekday].long(), _WEEKDAYS)
        inputs = torch.cat([hour, weekday, (seen - self.centre) / self.scale], dim=1)
        # Demand is a product (hour x weather x day): the network adds up its logarithm.
        log_demand: torch.Tensor = self.layers(inputs).squeeze(1) + self.log_mean
        return log_demand.exp()


def train(context: TrainingContext) -> nn.Module:
    """Fit the network to the rows of the nights that the loop chose."""
    model = BikeDemand(context.features, context.target, context.feature_names).to(context.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    batches_per_epoch = -(-len(context.target) // _BATCH_ROWS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=_EPOCHS * batches_per_epoch)
    # In units of the mean demand, so that the learning rate means the same in a quiet and in a busy season.
    unit = context.target.mean().clamp(min=1.0)
    for epoch in range(_EPOCHS):
        loss_sum = 0.0
        for rows in torch.split(torch.randperm(len(context.target)), _BATCH_ROWS):
            loss = ((model(context.features[rows]) - context.target[rows]) / unit).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.item() * len(rows)
        if (epoch + 1) % 20 == 0:
            context.log("loss", loss_sum / len(context.target))
    return model
