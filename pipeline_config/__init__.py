"""What an experiment is and where things live."""
