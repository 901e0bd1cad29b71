"""Search for the settings of one model: space, study, trials, report."""
