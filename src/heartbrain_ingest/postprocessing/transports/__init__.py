"""Ways to a computing centre. Each carries the same jobs; the exchange knows none of them by name."""
