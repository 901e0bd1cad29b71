"""Evaluated models -> challenger, gates, champion."""
