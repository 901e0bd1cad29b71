"""The graph of a network: its layers with sizes and parameters, as rows of a table and as a drawing."""
