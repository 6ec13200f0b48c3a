"""The models: diffusion features, matching, prompts, instances, retrieval, evaluation.

Importing this package loads no torch. `engine.api` is the door for the layers above.
"""
