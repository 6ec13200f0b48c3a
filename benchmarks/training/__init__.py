"""The embedded model: procedural scenes, training of a tiny latent-diffusion pipeline, the sample collection.

Nothing in here is needed to *use* the embedded model; it is what made `resources/models/embedded` and
`resources/samples`. Importing this package loads no torch.
"""
