"""The settings of a run: typed and checked (`config`, `parse`), and how Hydra's config becomes them (`compose`)."""
