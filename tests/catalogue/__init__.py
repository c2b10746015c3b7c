"""What ray.workflow did, item by item: one test or more per number of the catalogue, against real Ray."""
