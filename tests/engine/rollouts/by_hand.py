"""The batch on which the arithmetic is worked by hand: two answers, of four and three tokens.

Log-probabilities when written and under the reference, values, scores 1 and -0.5, beta 0.1, gamma 1, lambda 0.95.
"""

import torch

HUGE = 900.0  # what stands on padding: large enough that a mask forgotten anywhere shows
MASK = torch.tensor([[True, True, True, True], [True, True, True, False]])
LOGP = torch.tensor([[-1.0, -0.5, -2.0, -0.1], [-0.7, -1.5, -0.2, HUGE]])
REF = torch.tensor([[-1.2, -0.4, -1.5, -0.3], [-0.9, -1.5, -0.6, -HUGE]])
VALUES = torch.tensor([[0.5, 0.4, 0.3, 0.2], [0.1, -0.1, 0.0, HUGE]])
SCORES = torch.tensor([1.0, -0.5])
NEW = torch.tensor([[-0.7, -0.9, -2.0, -0.05], [-0.9, -1.2, -0.2, -HUGE]])
NEW_VALUES = torch.tensor([[0.9, 0.35, 0.3, 0.45], [0.0, -0.4, -0.1, -HUGE]])

REWARDS = [[-0.02, 0.01, 0.05, 0.98], [-0.02, 0.0, -0.54, 0.0]]
ADVANTAGES = [[0.418127, 0.566450, 0.691000, 0.780000], [-0.612350, -0.413000, -0.540000, 0.0]]
RETURNS = [[0.918127, 0.966450, 0.991000, 0.980000], [-0.512350, -0.513000, -0.540000, 0.0]]
WHITE = [[0.469369, 0.708645, 0.909571, 1.053148], [-1.193015, -0.871420, -1.076298, 0.0]]


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-6, rtol=0)


def log_ratio():
    return torch.where(MASK, LOGP - REF, 0.0)
