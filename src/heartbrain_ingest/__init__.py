"""Take what a scanner, a physiology monitor and a laboratory leave in a folder and make it findable in LinkAhead."""

__version__ = "0.1.0"
