"""Twin experiments: a model run stands in for nature, so that the truth is known."""
