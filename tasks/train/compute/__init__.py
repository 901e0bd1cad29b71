"""How a network is computed in its training: precision, fused kernels, compilation, threads."""
