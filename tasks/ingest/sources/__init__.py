"""One file a data source; the file's name is its name in the configuration."""
