"""The mixture: experts' predictions joined in log space by a gate that looks at their evidence.

log p is proportional to the sum of w_e log p_e, with w_e linear in how much expert e has to go
by (logistic mixing as in PAQ: Mahoney 2005; Mattern 2013). The gate is fitted on development
steps, then follows the person test-then-train.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PULL = 30.0  # ridge towards the plain average, in nats per squared unit of weight
ITERATIONS = 60
LEAST = 0.01  # share of a plain mixture that is spread evenly
ONLINE_RATE = 0.0002


@dataclass(frozen=True)
class Mixture:
    """Gate weights [2, E] (constant, slope by evidence) and the scale of the evidence [2, E]."""

    names: tuple[str, ...]
    gate: Tensor
    scale: Tensor

    def predict(self, log_p: np.ndarray, evidence: np.ndarray, joint: np.ndarray) -> np.ndarray:
        """Log-probabilities [T, C] from those of the experts [T, E, C], test-then-train: row t
        depends on the truth of the rows before t only."""
        gate = self.gate.clone()
        experts = torch.from_numpy(log_p).double()
        level = ((torch.from_numpy(evidence) - self.scale[0]) / self.scale[1]).double()
        rows = torch.empty(len(experts), experts.shape[2], dtype=torch.float64)
        for t in range(len(experts)):
            weights = gate[0] + gate[1] * level[t]
            rows[t] = (weights[:, None] * experts[t]).sum(0).log_softmax(-1)
            # d(-log p[truth])/dw_e = E_p[log p_e] - log p_e[truth]
            slope = experts[t] @ rows[t].exp() - experts[t][:, int(joint[t])]
            gate = gate - ONLINE_RATE * torch.stack([slope, slope * level[t]])
        return rows.numpy()


def fit_mixture(
    names: tuple[str, ...], log_p: np.ndarray, evidence: np.ndarray, joint: np.ndarray
) -> Mixture:
    """The gate that predicts these steps best: experts [T,E,C], evidence [T,E], joint [T]."""
    experts, truth = torch.from_numpy(log_p).double(), torch.from_numpy(joint)
    level = torch.from_numpy(evidence).double()
    scale = torch.stack([level.mean(0), level.std(0, correction=0).clamp_min(1.0)])
    level = (level - scale[0]) / scale[1]
    start = torch.zeros(2, len(names), dtype=torch.float64)
    start[0] = 1.0 / len(names)
    gate = start.clone().requires_grad_()
    solver = torch.optim.LBFGS([gate], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        weights = gate[0] + gate[1] * level
        scores = (weights[:, :, None] * experts).sum(1).log_softmax(-1)
        value = -scores.gather(1, truth[:, None]).sum() + PULL * ((gate - start) ** 2).sum()
        value.backward()
        return value

    solver.step(loss)
    return Mixture(names, gate.detach(), scale)


def fit_linear_weights(probability: np.ndarray) -> np.ndarray:
    """Weights [E] of the plain mixture sum_e w_e p_e that give the truth most probability.

    `probability` [T, E] holds what each expert gave the truth. Fitted by expectation
    maximisation (Jelinek & Mercer 1980). This is what baselines are mixed with.
    """
    weights = np.full(probability.shape[1], 1.0 / probability.shape[1])
    for _ in range(200):
        share = weights * probability
        share /= share.sum(1, keepdims=True)
        weights = share.mean(0)
    # Nobody is ruled out: a few development steps are no proof that an expert is worthless.
    return (1 - LEAST) * weights + LEAST / len(weights)
