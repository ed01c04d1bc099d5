"""Draws a whole person, back to front: hair behind, legs, clothes, head, arms and hands. Start reading at `draw_person`."""

from __future__ import annotations

from sfumato.world.ink import Ink, box_path, oval_path, poly_path, tube_path
from sfumato.world.palette import CLOTHES, METAL, SKIN, WOOD, Colour, darken, lighten
from sfumato.world.people.body import BodyShape, Bone, Limb
from sfumato.world.people.draw_face import draw_back_hair, draw_head
from sfumato.world.people.draw_hand import draw_hand
from sfumato.world.people.draw_marks import draw_scarf
from sfumato.world.truth import PartTree

SHOE: Colour = (0.16, 0.13, 0.12)
_LONG_SLEEVES = ("sweater", "coat")


def draw_person(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    """Draw a person and enter every part under `path` (such as person1)."""
    person = shape.person
    before = ink.edge_scale
    ink.edge_scale = min(1.0, 0.35 + 0.35 * shape.height)
    tree.add(path, kind=person.kind, pose=person.pose, age=person.age)
    _draw_shadow(ink, shape)
    _draw_seat(ink, tree, shape, path)
    draw_back_hair(ink, tree, shape, f"{path}/head")
    for limb in shape.legs:
        _draw_leg(ink, tree, shape, limb, f"{path}/{limb.name}")
    _draw_clothes(ink, tree, shape, path)
    ink.tube(*shape.neck.tube(), darken(SKIN[person.skin], 0.10), tree.add(f"{path}/neck", colour=SKIN[person.skin]))
    draw_scarf(ink, tree, shape, path)
    draw_head(ink, tree, shape, f"{path}/head")
    for limb in shape.arms:
        _draw_arm(ink, tree, shape, limb, f"{path}/{limb.name}")
    ink.edge_scale = before


def _draw_shadow(ink: Ink, shape: BodyShape) -> None:
    if ink.is_cartoon:
        return
    low = max((limb.foot.end.imag for limb in shape.legs if limb.foot), default=None)
    if low is not None:
        ink.wash(oval_path(complex(shape.hip.real, low), 0.16 * shape.height, 0.020 * shape.height), (0, 0, 0), 0.22)


def _draw_seat(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    """Draw the bench of somebody who sits: it belongs to nobody's body."""
    if shape.person.pose != "sitting":
        return
    h, x, top = shape.height, shape.hip.real, shape.hip.imag + 0.015 * shape.height
    low = max(limb.foot.end.imag for limb in shape.legs if limb.foot)
    part = tree.add(f"{path.replace('person', 'bench')}/seat", colour=WOOD)
    for sign in (-1, 1):
        ink.fill(
            box_path(x + sign * 0.15 * h - 0.016 * h, top, x + sign * 0.15 * h + 0.016 * h, low - 0.02 * h),
            darken(WOOD, 0.25),
            part,
        )
    ink.fill(box_path(x - 0.20 * h, top, x + 0.20 * h, top + 0.050 * h), WOOD, part, shade="down")


def _draw_leg(ink: Ink, tree: PartTree, shape: BodyShape, limb: Limb, path: str) -> None:
    person = shape.person
    skin = SKIN[person.skin]
    cloth = CLOTHES[person.bottom.colour]
    bare = person.top.kind == "dress" or person.bottom.kind == "skirt"
    upper = skin if bare else cloth
    lower = skin if bare or person.bottom.kind == "shorts" else cloth
    tree.add(path, side=limb.side, **_limb_facts(limb))
    if limb.ends_at == "hip":
        return
    below = METAL if limb.made_of == "prosthesis" else lower
    if limb.ends_at != "knee" or limb.made_of == "prosthesis":
        if limb.foot is not None:
            shoe = METAL if limb.made_of == "prosthesis" else SHOE
            ink.tube(*limb.foot.tube(), shoe, tree.add(f"{path}/foot", colour=shoe))
        thin = 0.55 if limb.made_of == "prosthesis" else 1.0
        ink.tube(*_thin(limb.lower, thin).tube(), below, tree.add(f"{path}/lower", colour=below))
    ink.tube(*limb.upper.tube(), upper, tree.add(f"{path}/upper", colour=upper))
    if below == upper:
        _hide_joint(ink, limb, upper)


def _limb_facts(limb: Limb) -> dict[str, object]:
    if not limb.ends_at:
        return {}
    return {
        "ends_at": limb.ends_at,
        "made_of": limb.made_of,
        "exception": "prosthesis" if limb.made_of == "prosthesis" else "amputation",
    }


def _hide_joint(ink: Ink, limb: Limb, colour: Colour) -> None:
    if ink.is_cartoon:
        ink.fill(oval_path(limb.upper.end, limb.upper.r_end * 0.96, limb.upper.r_end * 0.96), colour, None, edge=False)


def _thin(bone: Bone, factor: float) -> Bone:
    return Bone(bone.start, bone.end, bone.r_start * factor, bone.r_end * factor)


def _draw_clothes(ink: Ink, tree: PartTree, shape: BodyShape, path: str) -> None:
    person, h, hip = shape.person, shape.height, shape.hip
    colour = CLOTHES[person.top.colour]
    part = tree.add(f"{path}/torso", colour=colour, garment=person.top.kind)
    if person.bottom.kind == "skirt" and person.top.kind != "dress":
        skirt = CLOTHES[person.bottom.colour]
        ink.fill(_skirt(shape, 0.17), skirt, tree.add(f"{path}/skirt", colour=skirt), shade="side")
    elif person.top.kind != "dress":
        seat = CLOTHES[person.bottom.colour]
        ink.fill(
            oval_path(hip + 0.012j * h, 0.088 * h, 0.050 * h), seat, tree.add(f"{path}/hips", colour=seat), edge=False
        )
    if person.top.kind == "dress":
        ink.fill(_skirt(shape, 0.235), colour, part, shade="side")
    elif person.top.kind == "coat":
        ink.fill(_skirt(shape, 0.13, flare=0.016), colour, part, shade="side")
    torso = poly_path(shape.torso, 0.22)
    ink.fill(torso, colour, part, shade="side")
    if person.is_fine:
        ink.texture(torso, 0.20 if person.top.kind == "sweater" else 0.12, 0.16 * h)
    _draw_front(ink, shape, colour)


def _skirt(shape: BodyShape, drop: float, flare: float = 0.05):
    h, hip = shape.height, shape.hip
    if shape.person.pose == "sitting":
        drop *= 0.55
    corners = (
        complex(-0.066, -0.10),
        complex(0.066, -0.10),
        complex(0.088 + flare, drop),
        complex(-0.088 - flare, drop),
    )
    return poly_path([hip + corner * h for corner in corners], 0.12)


def _draw_front(ink: Ink, shape: BodyShape, colour: Colour) -> None:
    """Draw neckline, buttons and the opening of a coat."""
    h, x = shape.height, shape.hip.real
    top = shape.neck.start.imag
    skin = SKIN[shape.person.skin]
    if shape.person.top.kind in ("shirt", "dress"):
        ink.fill(oval_path(complex(x, top - 0.004 * h), 0.042 * h, 0.030 * h), darken(skin, 0.08), None, edge=False)
    if shape.person.top.kind == "coat":
        ink.line((complex(x, top + 0.02 * h), complex(x, shape.hip.imag + 0.12 * h)), darken(colour, 0.45), 0.007 * h)
        for i in range(4):
            ink.fill(
                oval_path(complex(x + 0.017 * h, top + (0.08 + 0.075 * i) * h), 0.008 * h, 0.008 * h),
                lighten(colour, 0.6),
                None,
                edge=False,
            )
        for sign in (-1, 1):
            ink.line(
                (complex(x + sign * 0.045 * h, top - 0.01 * h), complex(x, top + 0.07 * h)),
                darken(colour, 0.4),
                0.009 * h,
            )
    if shape.person.top.kind == "sweater":
        ink.line(
            (complex(x - 0.04 * h, top), complex(x, top + 0.024 * h), complex(x + 0.04 * h, top)),
            lighten(colour, 0.35),
            0.014 * h,
        )


def _draw_arm(ink: Ink, tree: PartTree, shape: BodyShape, limb: Limb, path: str) -> None:
    person = shape.person
    skin, cloth = SKIN[person.skin], CLOTHES[person.top.colour]
    long_sleeve = person.top.kind in _LONG_SLEEVES
    tree.add(path, side=limb.side, **_limb_facts(limb))
    if limb.ends_at == "shoulder":
        return
    metal = limb.made_of == "prosthesis"
    below = METAL if metal else cloth if long_sleeve else skin
    _draw_upper_arm(ink, limb, (cloth, cloth if long_sleeve else skin), tree.add(f"{path}/upper", colour=cloth))
    _hide_shoulder(ink, shape, limb, cloth)
    if limb.ends_at == "elbow" and not metal:
        return
    lower = _thin(limb.lower, 1.15 if long_sleeve and not metal else 1.0)
    has_hand = limb.hand is not None and (not limb.ends_at or metal)
    if has_hand and limb.hand is not None:
        glove = person.exception if person.exception and person.exception.kind == "glove" else None
        tone = METAL if metal else CLOTHES[glove.level] if glove and glove.limb in (limb.name, "both") else skin
        if glove and glove.limb in (limb.name, "both"):
            tree.add(f"{path}/hand", exception="glove")
        if not long_sleeve or metal:
            ink.tube(*lower.tube(), below, tree.add(f"{path}/lower", colour=below))
        draw_hand(ink, tree, limb.hand, tone, f"{path}/hand")
    if long_sleeve or not has_hand:
        ink.tube(*lower.tube(), below, tree.add(f"{path}/lower", colour=below))
    if below == cloth:
        _hide_joint(ink, limb, cloth)


def _draw_upper_arm(ink: Ink, limb: Limb, colours: tuple[Colour, Colour], part: int) -> None:
    sleeve, below = colours
    bone = limb.upper
    if sleeve == below:
        ink.tube(*_thin(bone, 1.12).tube(), sleeve, part)
        return
    ink.tube(*bone.tube(), below, part)
    middle = bone.start + (bone.end - bone.start) * 0.58
    ink.tube(bone.start, middle, bone.r_start * 1.12, bone.r_end * 1.25, sleeve, part)
    ink.mark(tube_path(*bone.tube()), part)


def _hide_shoulder(ink: Ink, shape: BodyShape, limb: Limb, cloth: Colour) -> None:
    """Let a cartoon sleeve run into the torso without an outline between them."""
    if not ink.is_cartoon:
        return
    start, r = limb.upper.start, limb.upper.r_start
    inside = complex(shape.hip.real + (start.real - shape.hip.real) * 0.62, start.imag + 0.004 * shape.height)
    ink.fill(tube_path(inside, start, r * 0.88, r * 0.93), cloth, None, edge=False)
