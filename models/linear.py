"""Linear forecaster: card and two ways to solve it.

Card: volume of the next intervals as a weighted sum of the window's volumes and the encoded calendar, from
standardized features to a standardized target. A floor that a network must beat; 14 parameters for the traffic task.

``least_squares`` solves the normal problem by orthogonal factorization (Golub, "Numerical methods for solving linear
least squares problems", 1965); ``gradient_descent`` walks there with the textbook update (Bishop, "Pattern Recognition
and Machine Learning", §3.1.3, in batch form). Both minimize the same mean squared error and agree.
"""

from __future__ import annotations

from bisect import bisect_left

import torch
from torch import nn

from wayside.contracts.task import TaskSpec
from wayside.models.features import Features


class Linear(nn.Module):
    """(B, T, F) physical units → (B, H), or (B, H, Q), physical units."""

    centre: torch.Tensor  # (P,) mean of the features
    spread: torch.Tensor  # (P,) their standard deviation
    target_mean: torch.Tensor  # (H,)
    target_std: torch.Tensor  # (H,)
    offsets: torch.Tensor  # (H, Q) quantiles of the residuals, standardized

    def __init__(self, task: TaskSpec) -> None:
        super().__init__()
        self.features = Features(task, site=False)
        self.quantiles = task.quantiles
        p = self.features.values_size + self.features.context_size
        self.register_buffer("centre", torch.zeros(p))
        self.register_buffer("spread", torch.ones(p))
        self.register_buffer("target_mean", torch.zeros(task.horizon))
        self.register_buffer("target_std", torch.ones(task.horizon))
        self.register_buffer("offsets", torch.zeros(task.horizon, max(1, len(task.quantiles))))
        self.weights = nn.Linear(p, task.horizon)

    def prepare(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take the constants from training windows (N, T, F) and targets (N, H)."""
        self.features.prepare(x, y)

    def design(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, F) → (B, P): plain values, since a sum of roots is no sum of vehicles, and the calendar."""
        _, context = self.features(x)
        return torch.cat([self.features.values(x), context], dim=1)

    def standardize(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the constants from training windows; return standardized features (N, P) and targets (N, H), float64."""
        self.prepare(x, y)
        design = self.design(x).double()
        y = y.double()
        std = design.std(0)
        self.centre.copy_(design.mean(0))
        self.spread.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))
        self.target_mean.copy_(y.mean(0))
        self.target_std.copy_(y.std(0).clamp_min(1e-6))
        return (design - self.centre) / self.spread, (y - self.target_mean) / self.target_std

    def set_weights(self, weights: torch.Tensor) -> None:
        """``weights`` (P + 1, H), the last row the intercept."""
        with torch.no_grad():
            self.weights.weight.copy_(weights[:-1].T)
            self.weights.bias.copy_(weights[-1])

    def set_quantiles(self, features: torch.Tensor, target: torch.Tensor) -> None:
        """Take the quantiles of the residuals on standardized features (N, P) and targets (N, H)."""
        if self.quantiles:
            residual = target - features @ self.weights.weight.detach().double().T - self.weights.bias.detach()
            levels = torch.tensor(self.quantiles, dtype=residual.dtype)
            self.offsets.copy_(torch.quantile(residual[:: 1 + len(residual) // 100_000], levels, dim=0).T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = (self.design(x) - self.centre) / self.spread  # (B, P)
        standardized = self.weights(z)  # (B, H)
        if self.quantiles:
            standardized = standardized.unsqueeze(2) + self.offsets  # (B, H, Q)
            forecast = self.target_mean.unsqueeze(1) + self.target_std.unsqueeze(1) * standardized
        else:
            forecast = self.target_mean + self.target_std * standardized
        return torch.relu(forecast) if self.features.root else forecast


def least_squares(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Closed form: features (N, P), targets (N, H), float64 → weights (P + 1, H), the last row the intercept."""
    # gelsd (singular values) also takes features that depend on each other; it returns the shortest solution.
    return torch.linalg.lstsq(_with_one(x), y, driver="gelsd").solution


def gradient_descent(
    x: torch.Tensor, y: torch.Tensor, *, steps: int = 20_000, tolerance: float = 1e-7
) -> tuple[torch.Tensor, int]:
    """The textbook update ``w ← w − rate · Xᵀ(Xw − y)/N`` from ``w = 0``, until no gradient exceeds ``tolerance``.

    ``Xᵀ(Xw − y)/N = Aw − b`` with ``A = XᵀX/N`` and ``b = Xᵀy/N``. The rate follows from the data: 1 / the largest
    eigenvalue of ``A``, the gradient's Lipschitz constant. Half of what diverges, and the best that is known without
    the smallest eigenvalue, which is zero where features depend on each other (Nesterov, "Introductory Lectures on
    Convex Optimization", 2004, theorem 2.1.14).

    Along an eigenvector of ``A`` a step shrinks the gradient by ``1 − rate · eigenvalue`` whatever came before, so that
    all steps are taken at once (Goodfellow, Bengio and Courville, "Deep Learning", 2016, §7.8): a loop would take
    minutes for a task with 720 outputs.

    Returns:
        Weights (P + 1, H), the last row the intercept, and the number of steps taken, at most ``steps``.
    """
    one = _with_one(x)
    eigenvalues, axes = torch.linalg.eigh(one.T @ one / len(one))  # ascending; the intercept's 1 makes the last ≥ 1
    slope = axes.T @ (one.T @ y) / len(one)  # (P + 1, H), b along the axes: the first gradient, but for its sign
    rate = 1 / float(eigenvalues[-1])
    shrink = (1 - rate * eigenvalues).clamp(0, 1).unsqueeze(1)  # rounding makes an eigenvalue of zero negative
    largest = slope.abs().amax(dim=1, keepdim=True)
    taken = bisect_left(range(steps), True, key=lambda n: bool((shrink**n * largest).max() < tolerance))
    # 1 + s + s² + … of each axis, s = shrink
    travelled = torch.where(shrink < 1, (1 - shrink**taken) / (1 - shrink), taken)
    return axes @ (rate * travelled * slope), taken


def _with_one(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)  # (N, P + 1)
