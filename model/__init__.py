"""What is needed to serve a model: alphabet, networks, latents, decoding, sampler, artifact.

Nothing here imports ``training`` or ``service``, and nothing that serving on a CPU needs imports torch.
"""
