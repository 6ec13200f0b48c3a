"""Which diffusion model and how to run it: typed specs, loading, device and dtype, memory ladder, attention taps."""
