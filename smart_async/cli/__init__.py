"""
The command line, `smart-async`.

The only room that loads Typer and Rich, and only when a command runs: importing the library costs nothing
of it. It needs `pip install "smart-async[cli]"`.
"""
