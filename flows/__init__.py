"""The DAG: one flow a file; a flow only wires tasks."""
