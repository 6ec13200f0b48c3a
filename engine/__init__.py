"""The models: diffusion features, matching, prompts, instances, retrieval, evaluation.

Importing this package loads no torch. `kinmark.engine.api` is the door for the layers above.
"""

import os

# Idle OpenMP threads sleep instead of spinning. Measured on 2 busy cores: the same sweep takes 11 s of processor time
# instead of 82 s, and the window's own thread gets its share. Must be set before torch loads its OpenMP library.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
