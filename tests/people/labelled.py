"""For tests of labelling: a folder of photos by arithmetic, and labellers who judge them by a known quality."""

from pathlib import Path

from photoqual.labels.desk import Desk, Session
from photoqual.labels.desk_photos import Photos
from photoqual.labels.tournament import Mode, Step
from tests.conftest import encoded, scene


def write_photos(folder: Path, count: int) -> list[str]:
    """Write `count` photos into `folder` and a folder in it; return their paths under it."""
    (folder / "more").mkdir(parents=True, exist_ok=True)
    names = [f"{'more/' if index % 3 == 0 else ''}photo {index:03d}.jpg" for index in range(count)]
    for index, name in enumerate(names):
        (folder / name).write_bytes(encoded(scene(index)))
    return names


def quality(path: str) -> int:
    """Return the number in the name of a photo: what a labeller here goes by."""
    return int(path[-7:-4])


def judge(session: Session, photos: Photos, deals: int, *, best: int = 0) -> None:
    """Judge as many `deals` as there are: a photo advances whose quality is `best` or more, times the round; it has a
    star more for each ten, and is good from `best` on.
    """
    for _ in range(deals):
        session.deal(photos)
        deal = session.progress.deal
        if deal is None:
            return
        for photo in deal.photos:
            worth = quality(photos.paths[photo])
            if session.mode == "tournament" and worth >= best * (deal.round + 1):
                session.click(Step("toggle", photo=photo), photos)
            elif session.mode != "tournament":
                value = min(5, 1 + worth // 10) if session.mode == "stars" else int(worth >= best)
                session.click(Step("rate", photo=photo, value=value), photos)
        session.click(Step("advance"), photos)


def judged(desk: Desk, photos: Photos, labeller: str, mode: Mode, *, best: int = 0) -> Session:
    """Return the session of a labeller who has judged all there is."""
    session = Session(desk, labeller, mode)
    judge(session, photos, 10_000, best=best)
    return session
