"""The interface of torcheggroll 0.2.0 over germline's engine; what is different says docs/migrating.md."""

from germline.compat.torcheggroll.es import (
    TorchEggrollES,
    compute_es_gradient,
    generate_lora_noise,
    generate_noise_for_shapes,
    generate_standard_noise,
)

__version__ = "0.2.0"

__all__ = [
    "TorchEggrollES",
    "compute_es_gradient",
    "generate_lora_noise",
    "generate_noise_for_shapes",
    "generate_standard_noise",
]
