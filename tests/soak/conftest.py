"""The modules of the soak import one another as a script does; only its judge is tested here."""

collect_ignore = ["crew.py", "ehr.py", "peers.py", "run.py"]
