"""CleanVision on the same photos, run in an environment of its own; prints its photos per second as JSON.

Takes paths of photos, one a line, on standard input. All its checks of single photos, on as many processes as it takes
by itself. What comes before its work, such as importing it, does not count.
"""

import contextlib
import json
import sys
import time

KINDS = ("dark", "light", "odd_aspect_ratio", "odd_size", "low_information", "blurry", "grayscale")

if __name__ == "__main__":
    from cleanvision import Imagelab

    paths = [line.strip() for line in sys.stdin if line.strip()]
    with contextlib.redirect_stdout(sys.stderr):
        lab = Imagelab(filepaths=paths, verbose=False)
        began = time.perf_counter()
        lab.find_issues({kind: {} for kind in KINDS}, verbose=False)
        seconds = time.perf_counter() - began
    print(json.dumps({"per_second": len(paths) / seconds}))
