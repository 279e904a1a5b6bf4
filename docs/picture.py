"""Draws the picture of the README: `python3 docs/picture.py > docs/picture.svg`. tests/it/docs.rs compares the two."""

WIDTH, HEIGHT, W, H = 770, 292, 160, 54
# Name: the place of the box, what stands in it, and whose it is.
BOXES = {
    "program": (10, 20, "your program", "plans a meeting", "theirs"),
    "schedule": (200, 20, "schedule", "function", "ours"),
    "scheduler": (405, 20, "EventBridge", "a one-time schedule", "aws"),
    "launch": (600, 20, "launch", "function", "ours"),
    "record": (200, 122, "DynamoDB", "the meeting's record", "aws"),
    "teacher": (405, 122, "EC2", "the teacher's machine", "aws"),
    "student": (600, 122, "EC2", "the student's machine", "aws"),
    "status": (10, 224, "status, operate", "functions", "ours"),
    "reconcile": (200, 224, "reconcile", "function, every 5 minutes", "ours"),
    "end": (405, 224, "end", "function", "ours"),
}
# From, to, what happens; where it starts and ends, as shares of a box.
ARROWS = [
    ("program", "schedule", (1, 0.5), (0, 0.5)),
    ("schedule", "scheduler", (1, 0.5), (0, 0.5)),
    ("scheduler", "launch", (1, 0.5), (0, 0.5)),
    ("schedule", "record", (0.5, 1), (0.5, 0)),
    ("launch", "record", (0.1, 1), (1, 0.1)),
    ("launch", "teacher", (0.4, 1), (0.7, 0)),
    ("launch", "student", (0.6, 1), (0.6, 0)),
    ("reconcile", "record", (0.5, 0), (0.5, 1)),
    ("reconcile", "teacher", (0.85, 0), (0.2, 1)),
    ("end", "teacher", (0.5, 0), (0.5, 1)),
    ("end", "student", (0.85, 0), (0.3, 1)),
    ("status", "record", (0.8, 0), (0, 0.7)),
]
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; text-anchor: middle }
  .what { font-size: 11px; fill: #59636e }
  rect { fill: #f6f8fa; stroke: #59636e }
  .ours { fill: #ddf4ff; stroke: #0969da }
  path { fill: none; stroke: #59636e; marker-end: url(#tip) }
  .tip { fill: #59636e; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .what { fill: #9198a1 }
    rect { fill: #151b23; stroke: #9198a1 }
    .ours { fill: #121d2f; stroke: #4493f8 }
    path { stroke: #9198a1 }
    .tip { fill: #9198a1 }
  }
"""


def box(x, y, name, what, whose):
    corner = 10 if whose == "aws" else 2
    yield f'<rect x="{x}" y="{y}" width="{W}" height="{H}" rx="{corner}" class="{whose}"/>'
    yield f'<text x="{x + W / 2:g}" y="{y + 23}">{name}</text>'
    yield f'<text x="{x + W / 2:g}" y="{y + 41}" class="what">{what}</text>'


def arrow(start, end, leaves, arrives):
    at = lambda name, share: (BOXES[name][0] + share[0] * W, BOXES[name][1] + share[1] * H)  # noqa: E731
    (x, y), (to_x, to_y) = at(start, leaves), at(end, arrives)
    return f'<path d="M{x:g} {y:g} L{to_x:g} {to_y:g}"/>'


def picture():
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    yield "<title>A meeting is scheduled, launched, kept, shown and ended</title>"
    yield f"<style>{STYLE}</style>"
    yield '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    yield '<path class="tip" d="M0 0 L8 4 L0 8 z" style="marker-end: none"/></marker>'
    yield from (arrow(*each) for each in ARROWS)
    for each in BOXES.values():
        yield from box(*each)
    yield "</svg>"


if __name__ == "__main__":
    print("\n".join(picture()))
