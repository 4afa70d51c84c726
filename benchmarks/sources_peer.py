"""Runs img2dataset on a list of addresses: `python sources_peer.py LIST FOLDER PROCESSES THREADS PHOTOS_PER_SHARD`.

Run in an environment of its own. Prints JSON: the seconds without the start of Python, and how many images came.
"""

import json
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    from img2dataset import download  # type: ignore[import-not-found]

    addresses, folder, processes, threads, per_shard = sys.argv[1:]
    started = time.perf_counter()
    download(
        url_list=addresses,
        output_folder=folder,
        output_format="parquet",
        resize_mode="no",
        encode_quality=90,
        processes_count=int(processes),
        thread_count=int(threads),
        number_sample_per_shard=int(per_shard),
    )
    seconds = time.perf_counter() - started
    came = sum(json.loads(path.read_text())["successes"] for path in Path(folder).glob("*_stats.json"))
    print(json.dumps({"seconds": seconds, "images": came}))
