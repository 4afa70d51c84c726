"""Words and looks of the label page. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from photoqual.labels import tournament
from photoqual.labels.desk import Session
from photoqual.labels.desk_photos import Photos
from photoqual.labels.tournament import Mode

STYLE = """<style>
.st-key-label-head h1 { font-size: 1.5rem; padding: 0; }
.stMainBlockContainer { padding-top: 4rem; padding-bottom: 1rem; }
.st-key-label-several { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem; }
.st-key-label-several img { height: max(7rem, min(50vh - 13.5rem, 45vw)); object-fit: contain; }
.st-key-label-one img { height: max(12rem, min(100vh - 20rem, 100vw)); object-fit: contain; }
[class*="st-key-label-photo-"] { gap: .2rem; padding: .3rem; border-radius: .5rem; border: 3px solid transparent;
  background: color-mix(in srgb, currentColor 6%, transparent); }
[class*="-chosen"][class*="st-key-label-photo-"] { border-color: currentColor; }
[class*="st-key-label-photo-"] [data-testid=stText] { font-size: .75rem; overflow-wrap: anywhere; white-space: pre-wrap; }
[class*="st-key-label-photo-"] [data-testid=stElementContainer]:has(.stText) { max-height: 1.2rem; overflow: hidden; }
[class*="st-key-label-photo-"] { position: relative; }
.st-key-label-several [class*="st-key-label-toggle-"] { position: static; }
.st-key-label-several [class*="st-key-label-toggle-"] button::after { content: ""; position: absolute; inset: 0; }
.st-key-label-ahead { display: none; }
[class*="st-key-label_keys"] { position: absolute; }
.pq-progress p { margin: 0 0 .3rem; }
.pq-progress section div { height: .4rem; border-radius: .2rem; margin-bottom: .25rem; position: relative;
  background: color-mix(in srgb, currentColor 15%, transparent); }
.pq-progress section span { display: block; height: 100%; border-radius: .2rem; background: currentColor; opacity: .7; }
.pq-progress section i { position: absolute; top: -.15rem; bottom: -.15rem; width: 3px; background: currentColor; }
@media (max-width: 640px) {
  .st-key-label-several { gap: .4rem; }
  [class*="st-key-label-photo-"] { padding: .2rem; }
}
</style>"""


def marked(number: int, chosen: bool) -> str:
    """Return what the button of photo `number` says."""
    return f"{number} advances ✓" if chosen else f"{number}"


def title_of(mode: Mode, chosen: Collection[str]) -> dict[str, str]:
    """Return the buttons below the photos: what each says, by the key that it stands for."""
    undo = {"u": "Undo (u)"}
    if mode == "tournament":
        return {"Enter": f"Next: {len(chosen) or 'none'} advance{'s' if len(chosen) == 1 else ''} (Enter)"} | undo
    skip = {"s": "Skip (s)"}
    if mode == "stars":
        return {str(value): f"{value} {'★' * value}" for value in range(1, 6)} | skip | undo
    return {"g": "Good (g)", "b": "Bad (b)"} | skip | undo


def advice(mode: Mode) -> str:
    """Return which keys there are."""
    return {
        "tournament": "Keys: 1 to 4 choose what advances, Enter or Space goes on, u or Backspace undoes.",
        "stars": "Keys: 1 to 5 give stars, s skips, u or Backspace undoes.",
        "good": "Keys: g is good, b is bad, s skips, u or Backspace undoes.",
    }[mode]


@dataclass(frozen=True)
class Standing:
    """Where a labeller stands: in `words`, and the shares of the round (else of the photos) that are `done` and, in a
    tournament, of those seen that `advanced`, which is to be `target`.
    """

    words: str
    done: float
    advanced: float | None = None
    target: float | None = None


def standing(session: Session, photos: Photos, refused: Mapping[str, str]) -> Standing:
    """Return where the labeller of `session` stands; photos that are `refused` do not count."""
    progress = session.progress
    number, left = tournament.pending(progress, photos.without(refused))
    kept, seen = progress.seen(number)
    whole = seen + len(left)
    done = seen / whole if whole else 1.0
    if progress.mode != "tournament":
        skipped = f", {seen - kept:,} skipped" if seen > kept else ""
        return Standing(f"{kept:,} labelled{skipped}, {len(left):,} left", done)
    targets = session.desk.settings.targets
    rate = f"{kept / seen:.0%} of them advanced" if seen else "none advanced yet"
    words = f"Round {number + 1} of {len(targets)}: {seen:,} of {whole:,} photos seen; {rate}, the target is {targets[number]:.0%}"
    return Standing(words, done, kept / seen if seen else 0.0, targets[number])


def standing_shown(found: Standing) -> str:
    """Return it as HTML: the words, a bar of what is done, and one of what advanced with a mark at the target."""
    bars = f'<div><span style="width:{100 * found.done:.1f}%"></span></div>'
    if found.advanced is not None and found.target is not None:
        mark = f'<i style="left:{100 * found.target:.1f}%"></i>'
        bars += f'<div><span style="width:{100 * found.advanced:.1f}%"></span>{mark}</div>'
    return f'<div class="pq-progress"><p>{found.words}</p><section aria-hidden="true">{bars}</section></div>'
