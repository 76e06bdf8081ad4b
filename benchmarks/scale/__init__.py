"""How time and memory grow, a model fitted to it, and what it says of many machines."""
