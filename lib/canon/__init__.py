"""The canon of supervised deep learning in JAX: its networks, and the experiments that established them."""

__version__ = "0.1.0"
