"""The attributes of a scene as flat labels, for readers and for measuring prompts. Start reading at `make_labels`."""

from __future__ import annotations

from sfumato.world.scene import Scene

Labels = dict[str, str | int]


def make_labels(scene: Scene) -> Labels:
    """List what a reader can be asked about a scene; an attribute that does not apply is left out."""
    labels: Labels = {"shot": scene.shot, "style": scene.style, "place": scene.place.kind, "people": len(scene.people)}
    if len(scene.people) == 1:
        person = scene.people[0][0]
        labels |= {
            "kind": person.kind,
            "age": person.age,
            "hair": person.hair if person.hair_style != "bald" else "none",
            "hair_style": person.hair_style,
            "skin": person.skin,
            "glasses": int(person.glasses),
            "smile": int(person.smile),
            "beard": int(person.beard),
            "top": person.top.kind,
            "top_colour": person.top.colour,
        }
        if scene.shot != "portrait":
            labels |= {"pose": person.pose}
        if scene.shot == "full":
            labels |= {"bottom": "dress" if person.top.kind == "dress" else person.bottom.kind}
            if person.top.kind != "dress":
                labels |= {"bottom_colour": person.bottom.colour}
    if len(scene.things) == 1:
        labels |= {"thing": scene.things[0].kind, "thing_colour": scene.things[0].colour}
    if scene.shot == "hand":
        spec = scene.hands[0].spec
        labels |= {
            "gesture": spec.gesture,
            "digits": len(spec.raised()),
            "hand_side": spec.side,
            "hand_view": spec.view,
        }
    return labels
