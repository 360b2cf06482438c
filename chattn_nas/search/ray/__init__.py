"""Ray as the engine that places the trainings of a search on a cluster."""
