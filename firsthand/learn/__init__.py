"""From sealed releases to a model that predicts what a given person does next."""
