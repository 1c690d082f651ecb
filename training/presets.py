"""Named settings, from a quick look to the paper's own; docs/training.md says how they were chosen."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # Chosen for 300 processor seconds on one thread: many small, cheap rounds beat fewer large ones.
    "tiny": {
        "model.width": 64,
        "model.depth": 2,
        "model.kernel": 3,
        "n_critic": 1,
        "batch_size": 32,
        "lr_generator": 1e-3,
        "lr_critic": 2e-3,
        "beta1": 0.0,
        "beta2": 0.99,
        "ema": 0.999,
        # A second thread gains little on networks this small and loses much on a busy machine.
        "threads": 1,
        "max_seconds": 300.0,
    },
    "small": {
        "model.width": 64,
        "model.depth": 5,
        "n_critic": 2,
        "batch_size": 64,
        "lr_generator": 5e-4,
        "lr_critic": 1e-3,
        "ema": 0.999,
        "max_seconds": 1800.0,
    },
    "base": {
        "model.width": 128,
        "model.depth": 5,
        "n_critic": 2,
        "batch_size": 128,
        "lr_generator": 5e-4,
        "lr_critic": 1e-3,
        "ema": 0.999,
        "max_seconds": 14400.0,
    },
    # Gulrajani et al. 2017, language model: 5 critic steps, Adam 1e-4 (0.5, 0.9), lambda 10, dim 512, no average.
    "paper": {
        "data.max_length": 32,
        "model.width": 512,
        "model.depth": 5,
        "model.kernel": 5,
        "n_critic": 5,
        "batch_size": 64,
        "lr_generator": 1e-4,
        "lr_critic": 1e-4,
        "beta1": 0.5,
        "beta2": 0.9,
        "penalty": 10.0,
        "ema": 0.0,
        "max_rounds": 200_000,
    },
}
