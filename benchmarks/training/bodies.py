"""Bodies: articulated assemblies of primitives with named keypoints, one builder per category.

World units: a body is about one unit long, x forward, y left, z up, standing on its own lowest point. Proportions come
from the identity's generator, joint angles from the pose's generator, so one identity can be posed many times.
The order of primitives is fixed per category: primitive number k is the same part on every identity, which is what makes
dense correspondences between identities possible.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.training.body import Body, Floats, move, rot
from benchmarks.training.primitives import BOX, CYLINDER, ELLIPSOID

Rng = np.random.Generator
BODY, LIMB, HEAD, ACCENT, DARK = range(5)
CREATURES = 40


Builder = Callable[[Body, Rng, Rng], None]


def _quadruped(leg: float, neck: float, snout: float, ear: float, tail: float, bulk: float, upright: float) -> Builder:
    def build(b: Body, ident: Rng, pose: Rng) -> None:
        u, g = ident.uniform, pose.uniform
        leg_len, thick = leg * u(0.8, 1.2), 0.05 * bulk * u(0.75, 1.3)
        half, width = 0.36 * u(0.85, 1.15), 0.15 * bulk * u(0.8, 1.2)
        height = width * u(1.0, 1.3)
        root = rot("y", g(-0.12, 0.12))
        b.add(ELLIPSOID, root, (half, width, height), BODY)
        b.add(ELLIPSOID, root @ move(x=half * 0.62), (width * 1.1, width * 1.05, height * u(1.0, 1.2)), BODY)
        b.add(ELLIPSOID, root @ move(x=-half * 0.62), (width * 1.1, width, height * u(0.9, 1.15)), BODY)
        b.mark("back", root @ move(z=height), 0.05)
        base = root @ move(x=half * 0.8, z=height * 0.5) @ rot("y", upright + g(-0.25, 0.35)) @ rot("x", g(-0.3, 0.3))
        b.mark("neck", base @ move(z=0.04), 0.2)
        top = b.limb(base, neck * u(0.8, 1.2), width * 0.75, width * 0.5, BODY)
        hr = 0.105 * u(0.85, 1.2)
        head = top @ rot("y", g(0.1, 0.5) + 1.15 - upright) @ rot("x", g(-0.5, 0.5))
        head = head @ rot("y", -np.pi / 2)
        b.add(ELLIPSOID, head, (hr * 1.15, hr * 0.92, hr), HEAD)
        length = snout * u(0.75, 1.25)
        b.limb(head @ move(x=hr * 0.6, z=-hr * 0.25) @ rot("y", np.pi / 2), length, hr * 0.6, hr * 0.42, HEAD)
        tip = head @ move(x=hr * 0.6 + length, z=-hr * 0.25)
        b.add(ELLIPSOID, tip, (hr * 0.4, hr * 0.4, hr * 0.36), HEAD)
        b.add(ELLIPSOID, tip @ move(x=hr * 0.33, z=hr * 0.12), (hr * 0.17, hr * 0.2, hr * 0.15), DARK)
        b.mark("nose", tip @ move(x=hr * 0.45, z=hr * 0.1), 0.06)
        ear_len, ear_tilt = ear * u(0.7, 1.3), u(0.1, 0.9)
        for side, name in ((1, "left"), (-1, "right")):
            eye = head @ move(x=hr * 0.75, y=side * hr * 0.6, z=hr * 0.42)
            b.add(ELLIPSOID, eye, (hr * 0.18,) * 3, DARK)
            b.mark(f"{name}_eye", eye @ move(x=hr * 0.1, y=side * hr * 0.1), 0.04)
            at = head @ move(x=-hr * 0.2, y=side * hr * 0.65, z=hr * 0.75) @ rot("x", -side * ear_tilt)
            b.add(ELLIPSOID, at @ move(z=ear_len / 2), (hr * 0.2, hr * 0.36, ear_len / 2 + 0.01), ACCENT)
            b.mark(f"{name}_ear", at @ move(z=ear_len), 0.06)
        back = root @ move(x=-half * 0.98, z=height * 0.4) @ rot("y", -g(0.5, 2.2)) @ rot("x", g(-0.5, 0.5))
        b.mark("tail_base", back, 0.12)
        for _ in range(2):
            back = b.limb(back, tail * u(0.9, 1.1) / 2, thick * 0.7, thick * 0.45, ACCENT) @ rot("y", g(-0.6, 0.6))
        b.mark("tail_tip", back, 0.06)
        stride = g(0, 0.6)
        for end, x in (("front", half * 0.68), ("back", -half * 0.68)):
            for side, name in ((1, "left"), (-1, "right")):
                swing = stride * (1 if (end == "front") == (side > 0) else -1) * g(0.5, 1.0)
                hip = root @ move(x=x, y=side * width * 0.72, z=-height * 0.4) @ rot("y", np.pi + swing)
                knee = b.limb(hip, leg_len * 0.5, thick * 1.25, thick * 0.85, LIMB)
                b.mark(f"{name}_{end}_knee", knee, thick * 2.2)
                foot = b.limb(knee @ rot("y", g(-0.5, 0.1)), leg_len * 0.5, thick * 0.85, thick * 0.65, LIMB)
                b.add(ELLIPSOID, foot @ move(x=-thick * 0.5), (thick * 1.3, thick, thick * 0.8), ACCENT)
                b.mark(f"{name}_{end}_paw", foot, thick * 2.0)

    return build


def _bird(b: Body, ident: Rng, pose: Rng) -> None:
    u, g = ident.uniform, pose.uniform
    length, width = 0.3 * u(0.85, 1.2), 0.17 * u(0.8, 1.2)
    root = rot("y", -u(0.1, 0.7) + g(-0.15, 0.15))
    b.add(ELLIPSOID, root, (length, width, width * u(0.9, 1.15)), BODY)
    b.add(ELLIPSOID, root @ move(x=length * 0.4, z=-width * 0.1), (width * 0.95, width * 0.9, width * 0.9), ACCENT)
    b.mark("breast", root @ move(x=length * 0.75, z=-width * 0.45), 0.1)
    b.mark("back", root @ move(z=width * 0.95), 0.06)
    hr = 0.115 * u(0.85, 1.2)
    neck = b.limb(
        root @ move(x=length * 0.7, z=width * 0.3) @ rot("y", 0.5 + g(-0.3, 0.3)),
        u(0.1, 0.25),
        hr * 0.9,
        hr * 0.75,
        HEAD,
    )
    b.mark("nape", neck @ move(x=-hr * 0.7), 0.1)
    yaw = rot("z", g(-0.7, 0.7))
    head = move(*neck[:3, 3]) @ yaw @ rot("y", g(-0.2, 0.3)) @ move(z=hr * 0.5)
    b.add(ELLIPSOID, head, (hr * 1.1, hr * 0.95, hr), HEAD)
    b.mark("crown", head @ move(z=hr), 0.05)
    beak = u(0.08, 0.26)
    b.add(CYLINDER, head @ move(x=hr + beak / 2 - 0.02) @ rot("y", np.pi / 2), (0.028, 0.028, beak / 2), DARK, -0.8)
    b.mark("beak", head @ move(x=hr + beak - 0.02), 0.04)
    spread = g(0, 1) ** 3 * 1.5
    wing_len, wing_wide = 0.34 * u(0.85, 1.2), 0.15 * u(0.8, 1.2)
    for side, name in ((1, "left"), (-1, "right")):
        eye = head @ move(x=hr * 0.55, y=side * hr * 0.72, z=hr * 0.3)
        b.add(ELLIPSOID, eye, (0.024,) * 3, DARK)
        b.mark(f"{name}_eye", eye @ move(y=side * 0.015), 0.035)
        joint = root @ move(x=length * 0.3, y=side * width * 0.85, z=width * 0.3)
        b.mark(f"{name}_shoulder", joint, 0.07)
        wing = joint @ rot("x", side * spread) @ rot("z", side * spread * 0.8)
        b.add(ELLIPSOID, wing @ move(x=-wing_len * 0.75), (wing_len, 0.035, wing_wide), LIMB)
        b.mark(f"{name}_wing_tip", wing @ move(x=-wing_len * 1.7), 0.06)
    tail = root @ move(x=-length * 0.9) @ rot("y", g(-0.3, 0.3))
    tail_len = 0.22 * u(0.7, 1.5)
    b.add(BOX, tail @ move(x=-tail_len * 0.8), (tail_len, 0.07 * u(0.7, 1.3), 0.015), LIMB)
    b.mark("tail_tip", tail @ move(x=-tail_len * 1.8), 0.05)
    for side, name in ((1, "left"), (-1, "right")):
        hip = move(*(root @ move(x=-length * 0.1, y=side * width * 0.45, z=-width * 0.7))[:3, 3])
        foot = b.limb(hip @ rot("y", np.pi + g(-0.4, 0.4)), 0.24 * u(0.7, 1.3), 0.03, 0.018, DARK)
        b.add(ELLIPSOID, move(*foot[:3, 3]) @ move(x=0.03), (0.07, 0.04, 0.015), DARK)
        b.mark(f"{name}_foot", foot, 0.06)


def _car(b: Body, ident: Rng, pose: Rng) -> None:
    u = ident.uniform
    half, width, low = 0.5 * u(0.85, 1.1), 0.21 * u(0.9, 1.15), 0.085 * u(0.85, 1.35)
    root = np.eye(4, dtype=np.float32)
    b.add(BOX, root, (half, width, low), BODY)
    cab_len, cab_h, cab_x = half * u(0.42, 0.68), 0.085 * u(0.8, 1.4), half * u(-0.3, 0.02)
    cab = root @ move(x=cab_x, z=low + cab_h)
    b.add(BOX, cab, (cab_len, width * 0.88, cab_h), HEAD)
    b.add(BOX, cab @ move(z=0.1 * cab_h), (cab_len * 1.02, width * 0.8, cab_h * 0.62), DARK)
    b.add(BOX, cab @ move(z=0.1 * cab_h), (cab_len * 0.86, width * 0.9, cab_h * 0.62), DARK)
    b.add(BOX, cab @ move(z=cab_h), (cab_len * 0.97, width * 0.85, 0.012), BODY)
    b.add(BOX, root @ move(x=half * 1.0, z=-low * 0.55), (0.03, width * 0.98, low * 0.28), LIMB)
    b.add(BOX, root @ move(x=-half * 1.0, z=-low * 0.55), (0.03, width * 0.98, low * 0.28), LIMB)
    b.add(BOX, root @ move(x=half, z=low * 0.15), (0.01, width * 0.4, low * 0.3), DARK)
    b.mark("grille", root @ move(x=half + 0.01, z=low * 0.1), 0.05)
    wheel = 0.105 * u(0.85, 1.2)
    for side, name in ((1, "left"), (-1, "right")):
        for end, x in (("front", half * 0.62), ("back", -half * 0.62)):
            hub = root @ move(x=x, y=side * width * 0.96, z=-low * 0.9)
            b.add(CYLINDER, hub @ rot("x", np.pi / 2), (wheel, wheel, 0.05), DARK)
            b.add(CYLINDER, hub @ rot("x", np.pi / 2), (wheel * 0.55, wheel * 0.55, 0.055), ACCENT)
            b.mark(f"{name}_{end}_wheel", hub @ move(y=side * 0.056), 0.07)
            roof = cab @ move(x=cab_len * (0.95 if x > 0 else -0.95), y=side * width * 0.85, z=cab_h)
            b.mark(f"{name}_{end}_roof", roof, 0.05)
        lamp = root @ move(x=half, y=side * width * 0.72, z=low * 0.3)
        b.add(ELLIPSOID, lamp, (0.03, 0.045, 0.035), ACCENT)
        b.mark(f"{name}_headlight", lamp @ move(x=0.025), 0.05)
        rear = root @ move(x=-half, y=side * width * 0.75, z=low * 0.35)
        b.add(BOX, rear, (0.012, 0.04, 0.03), LIMB)
        b.mark(f"{name}_taillight", rear @ move(x=-0.012), 0.05)
        mirror = cab @ move(x=cab_len, y=side * width * 1.08, z=-cab_h * 0.5)
        b.add(ELLIPSOID, mirror, (0.025, 0.035, 0.025), BODY)
        b.mark(f"{name}_mirror", mirror, 0.05)


def _person(b: Body, ident: Rng, pose: Rng) -> None:
    u, g = ident.uniform, pose.uniform
    wide, deep, torso = 0.12 * u(0.85, 1.2), 0.075 * u(0.85, 1.3), 0.2 * u(0.9, 1.1)
    root = rot("y", g(-0.15, 0.3))
    b.add(ELLIPSOID, root @ move(z=torso * 0.6), (deep, wide, torso * 0.7), BODY)
    b.add(ELLIPSOID, root @ move(z=-torso * 0.25), (deep * 0.95, wide * 0.9, torso * 0.5), ACCENT)
    b.mark("chest", root @ move(x=deep * 0.9, z=torso * 0.7), 0.06)
    b.mark("pelvis", root @ move(x=deep * 0.9, z=-torso * 0.25), 0.06)
    neck = b.limb(root @ move(z=torso * 1.15), 0.08, 0.04, 0.035, HEAD)
    hr = 0.075 * u(0.9, 1.25)
    head = neck @ rot("z", g(-0.6, 0.6)) @ rot("y", g(-0.2, 0.4)) @ move(z=hr * 0.7)
    b.add(ELLIPSOID, head, (hr, hr * 0.85, hr * 1.15), HEAD)
    b.add(ELLIPSOID, head @ move(x=-hr * 0.2, z=hr * 0.35), (hr * 0.95, hr * 0.93, hr * 0.95), DARK)
    b.add(ELLIPSOID, head @ move(x=hr * 0.98), (hr * 0.2, hr * 0.15, hr * 0.2), HEAD)
    b.mark("nose", head @ move(x=hr * 1.1), 0.05)
    b.mark("head_top", head @ move(z=hr * 1.2), 0.06)
    arm, leg_len = 0.2 * u(0.9, 1.1), 0.26 * u(0.85, 1.15)
    for side, name in ((1, "left"), (-1, "right")):
        shoulder = root @ move(y=side * wide * 0.95, z=torso * 1.0)
        b.mark(f"{name}_shoulder", shoulder, 0.08)
        at = shoulder @ rot("x", side * g(0.1, 1.6)) @ rot("y", np.pi - g(-0.6, 1.3))
        elbow = b.limb(at, arm, 0.042, 0.033, BODY)
        b.mark(f"{name}_elbow", elbow, 0.07)
        wrist = b.limb(elbow @ rot("y", -g(0, 1.6)), arm * 0.9, 0.033, 0.026, HEAD)
        b.add(ELLIPSOID, wrist @ move(z=0.03), (0.03, 0.02, 0.045), HEAD)
        b.mark(f"{name}_wrist", wrist, 0.06)
        hip = root @ move(y=side * wide * 0.5, z=-torso * 0.5)
        b.mark(f"{name}_hip", hip, 0.1)
        knee = b.limb(
            move(*hip[:3, 3]) @ rot("x", side * g(-0.05, 0.35)) @ rot("y", np.pi - g(-0.4, 0.9)),
            leg_len,
            0.062,
            0.045,
            ACCENT,
        )
        b.mark(f"{name}_knee", knee, 0.08)
        ankle = b.limb(knee @ rot("y", g(0, 0.9)), leg_len, 0.045, 0.032, LIMB)
        b.add(ELLIPSOID, ankle @ move(x=-0.05, z=0.02), (0.085, 0.038, 0.03), DARK)
        b.mark(f"{name}_ankle", ankle, 0.06)


def _mouse(b: Body, ident: Rng, pose: Rng) -> None:
    u, g = ident.uniform, pose.uniform
    half, width = 0.3 * u(0.85, 1.15), 0.16 * u(0.85, 1.2)
    bend = g(-0.6, 0.6)
    root = np.eye(4, dtype=np.float32)
    b.add(ELLIPSOID, root, (half, width * 1.05, width * 0.9), BODY)
    b.add(ELLIPSOID, root @ move(x=-half * 0.35, y=-0.03 * bend), (half * 0.65, width * 1.2, width), BODY)
    b.mark("back", root @ move(z=width * 0.95), 0.06)
    neck = root @ move(x=half * 0.75) @ rot("z", bend)
    b.mark("neck", neck @ move(z=width * 0.65), 0.08)
    b.add(ELLIPSOID, neck, (width * 0.9, width * 0.85, width * 0.75), BODY)
    head = neck @ move(x=width * 0.8) @ rot("z", g(-0.4, 0.4))
    b.add(ELLIPSOID, head, (width * 0.85, width * 0.62, width * 0.6), HEAD)
    b.add(
        CYLINDER,
        head @ move(x=width * 0.85, z=-0.02) @ rot("y", np.pi / 2),
        (width * 0.36,) * 2 + (width * 0.42,),
        HEAD,
        -0.5,
    )
    b.add(ELLIPSOID, head @ move(x=width * 1.28, z=-0.02), (0.026,) * 3, ACCENT)
    b.mark("nose", head @ move(x=width * 1.32, z=-0.02), 0.06)
    ear = 0.07 * u(0.7, 1.4)
    for side, name in ((1, "left"), (-1, "right")):
        at = head @ move(x=-width * 0.25, y=side * width * 0.62, z=width * 0.38) @ rot("x", -side * 0.7)
        b.add(ELLIPSOID, at, (ear * 0.5, ear, ear), ACCENT)
        b.mark(f"{name}_ear", at, 0.08)
        eye = head @ move(x=width * 0.5, y=side * width * 0.4, z=width * 0.3)
        b.add(ELLIPSOID, eye, (0.022,) * 3, DARK)
        b.mark(f"{name}_eye", eye, 0.05)
        for end, x in (("front", half * 0.7), ("back", -half * 0.5)):
            paw = root @ move(x=x + g(-0.05, 0.05), y=side * width * 1.1, z=-width * 0.75) @ rot("z", side * g(0, 0.7))
            b.add(ELLIPSOID, paw, (0.075, 0.03, 0.025), ACCENT)
            b.mark(f"{name}_{end}_paw", paw @ move(x=0.06), 0.07)
    tail = root @ move(x=-half * 0.98, z=-width * 0.3) @ rot("y", -np.pi / 2) @ rot("x", g(-0.5, 0.5))
    b.mark("tail_base", tail, 0.14)
    curl = g(-0.45, 0.45)
    for i in range(4):
        tail = b.limb(tail, 0.14, 0.028 - 0.004 * i, 0.024 - 0.004 * i, ACCENT) @ rot("x", curl)
        if i == 1:
            b.mark("tail_middle", tail, 0.06)
    b.mark("tail_tip", tail, 0.05)


def _hand(b: Body, ident: Rng, pose: Rng) -> None:
    u, g = ident.uniform, pose.uniform
    palm_l, palm_w, deep = 0.2 * u(0.9, 1.1), 0.17 * u(0.9, 1.1), 0.05 * u(0.85, 1.2)
    root = np.eye(4, dtype=np.float32)
    b.add(ELLIPSOID, root, (palm_l * 1.1, palm_w * 1.1, deep), BODY)
    b.add(BOX, root @ move(x=palm_l * 0.1), (palm_l * 0.7, palm_w * 0.8, deep * 0.8), BODY)
    wrist = root @ move(x=-palm_l * 0.9) @ rot("y", -np.pi / 2) @ rot("x", g(-0.4, 0.4))
    b.mark("wrist", wrist, 0.1)
    b.limb(wrist, 0.4 * u(0.8, 1.2), palm_w * 0.5, palm_w * 0.62, LIMB)
    curl = g(0, 1.3)
    names, lengths = ("index", "middle", "ring", "little"), (0.95, 1.05, 0.97, 0.75)
    for i, (name, rel) in enumerate(zip(names, lengths, strict=True)):
        y = palm_w * (0.72 - 0.48 * i)
        at: Floats = root @ move(x=palm_l * 0.85, y=y) @ rot("z", (1.5 - i) * g(0.02, 0.16)) @ rot("y", np.pi / 2)
        b.mark(f"{name}_knuckle", at, 0.08)
        length = 0.13 * rel * u(0.9, 1.15)
        for _ in range(2):
            at = b.limb(at @ rot("y", np.clip(curl + g(-0.3, 0.3), 0, 1.5)), length, 0.037, 0.031, BODY)
        b.add(ELLIPSOID, at, (0.032,) * 3, HEAD)
        b.mark(f"{name}_tip", at, 0.06)
    at = root @ move(x=-palm_l * 0.25, y=palm_w * 0.85) @ rot("z", g(0.3, 1.0)) @ rot("y", np.pi / 2 - 0.2)
    b.mark("thumb_base", at, 0.09)
    for _ in range(2):
        at = b.limb(at @ rot("x", g(0, 0.35)), 0.12 * u(0.9, 1.1), 0.045, 0.037, BODY)
    b.add(ELLIPSOID, at, (0.036,) * 3, HEAD)
    b.mark("thumb_tip", at, 0.07)


def _chair(b: Body, ident: Rng, pose: Rng) -> None:
    u = ident.uniform
    w, d, h, leg = 0.24 * u(0.85, 1.2), 0.24 * u(0.85, 1.15), 0.34 * u(0.7, 1.4), 0.36 * u(0.7, 1.2)
    root = np.eye(4, dtype=np.float32)
    b.add(BOX, root, (d, w, 0.03 * u(0.7, 2.0)), BODY)
    b.mark("seat", root @ move(z=0.03), 0.06)
    back = root @ move(x=-d * 0.95) @ rot("y", -u(0.0, 0.3))
    b.add(BOX, back @ move(z=h * 1.2), (0.025, w * 0.95, h * u(0.4, 0.8)), HEAD)
    b.mark("back_centre", back @ move(z=h * 1.2), 0.06)
    r = 0.026 * u(0.7, 1.6)
    for side, name in ((1, "left"), (-1, "right")):
        post = back @ move(y=side * w * 0.9)
        top = b.limb(post, h * 1.8, r, r, LIMB)
        b.mark(f"{name}_back_top", top, 0.06)
        for end, x in (("front", 0.9), ("back", -0.9)):
            at = root @ move(x=x * d, y=side * w * 0.9)
            b.mark(f"{name}_{end}_corner", at @ move(z=0.03), 0.07)
            foot = b.limb(at @ rot("y", np.pi + u(-0.12, 0.12)), leg, r * 1.1, r * 0.9, LIMB)
            b.mark(f"{name}_{end}_foot", foot, 0.06)
        arm = b.limb(root @ move(x=d * 0.6, y=side * w), h * 0.7, r, r, ACCENT)
        b.add(BOX, arm @ move(x=-d * 0.7), (d * 0.85, r * 1.3, r), ACCENT)
        b.mark(f"{name}_arm", arm @ move(z=r), 0.06)


def _airplane(b: Body, ident: Rng, pose: Rng) -> None:
    u = ident.uniform
    half, r = 0.5, 0.075 * u(0.8, 1.35)
    root = np.eye(4, dtype=np.float32)
    b.add(ELLIPSOID, root, (half, r, r), BODY)
    b.add(ELLIPSOID, root @ move(x=half * 0.62, z=r * 0.5), (half * 0.18, r * 0.6, r * 0.5), DARK)
    b.mark("cockpit", root @ move(x=half * 0.62, z=r * 0.95), 0.05)
    b.mark("nose", root @ move(x=half), 0.05)
    b.mark("belly", root @ move(z=-r), 0.05)
    span, chord, sweep = 0.5 * u(0.75, 1.15), 0.1 * u(0.8, 1.5), u(0.0, 0.6)
    fin_h = 0.13 * u(0.8, 1.4)
    b.add(BOX, root @ move(x=-half * 0.85, z=fin_h * 0.8) @ rot("y", -0.4), (0.06, 0.012, fin_h), ACCENT)
    b.mark("fin_top", root @ move(x=-half * 0.85, z=fin_h * 0.8) @ rot("y", -0.4) @ move(z=fin_h), 0.06)
    for side, name in ((1, "left"), (-1, "right")):
        wing = root @ move(x=half * 0.1) @ rot("z", side * sweep) @ rot("x", side * u(-0.05, 0.15))
        b.add(BOX, wing @ move(y=side * span / 2), (chord, span / 2, 0.015), LIMB)
        b.mark(f"{name}_wing_tip", wing @ move(y=side * span), 0.06)
        b.mark(f"{name}_wing_root", wing @ move(y=side * r * 1.2, z=0.01), 0.06)
        tail = root @ move(x=-half * 0.85) @ rot("z", side * sweep)
        b.add(BOX, tail @ move(y=side * span * 0.18), (chord * 0.55, span * 0.2, 0.012), ACCENT)
        b.mark(f"{name}_tail_tip", tail @ move(y=side * span * 0.38), 0.05)
        engine = wing @ move(x=chord * 0.5, y=side * span * 0.42, z=-0.04)
        b.add(CYLINDER, engine @ rot("y", np.pi / 2), (0.04, 0.04, 0.08), HEAD)
        b.mark(f"{name}_engine", engine @ move(x=0.08), 0.06)


def _guitar(b: Body, ident: Rng, pose: Rng) -> None:
    u = ident.uniform
    low, up, deep = 0.2 * u(0.85, 1.15), 0.145 * u(0.85, 1.2), 0.05 * u(0.6, 1.4)
    root = np.eye(4, dtype=np.float32)
    b.add(CYLINDER, root @ rot("y", np.pi / 2), (low, low * u(0.9, 1.15), deep), BODY)
    b.add(CYLINDER, root @ move(z=low * 1.05) @ rot("y", np.pi / 2), (up, up, deep), BODY)
    b.add(CYLINDER, root @ move(x=deep, z=low * 0.75) @ rot("y", np.pi / 2), (0.062, 0.062, 0.006), DARK)
    b.add(BOX, root @ move(x=deep, z=-low * 0.35), (0.015, 0.075, 0.018), DARK)
    b.mark("bridge", root @ move(x=deep + 0.01, z=-low * 0.35), 0.05)
    b.mark("sound_hole", root @ move(x=deep, z=low * 0.75), 0.04)
    b.mark("bottom", root @ move(z=-low), 0.08)
    neck_len, top = 0.24 * u(0.85, 1.2), low * 1.05 + up
    b.add(BOX, root @ move(x=deep, z=top + neck_len * 0.7), (0.02, 0.028, neck_len), LIMB)
    b.mark("neck_base", root @ move(x=deep + 0.02, z=top), 0.05)
    b.mark("neck_middle", root @ move(x=deep + 0.02, z=top + neck_len * 0.8), 0.05)
    head = root @ move(x=deep, z=top + neck_len * 1.7)
    b.mark("nut", head @ move(x=0.02), 0.05)
    b.add(BOX, head @ move(z=0.08), (0.015, 0.045 * u(0.8, 1.4), 0.085), HEAD)
    b.mark("head_top", head @ move(z=0.165), 0.05)
    for side, name in ((1, "left"), (-1, "right")):
        b.mark(f"{name}_lower_bout", root @ move(y=side * low), 0.1)
        b.mark(f"{name}_upper_bout", root @ move(y=side * up, z=low * 1.05), 0.1)
        for i in range(2):
            b.add(ELLIPSOID, head @ move(y=side * 0.06, z=0.05 + 0.06 * i), (0.014, 0.03, 0.014), ACCENT)


def _creature(number: int) -> Builder:
    """A random symmetric assembly: a spine of solids with limb pairs and ornaments, fixed by its number."""

    def build(b: Body, ident: Rng, pose: Rng) -> None:
        plan, u, g = np.random.default_rng([991, number]), ident.uniform, pose.uniform
        kinds = (ELLIPSOID, ELLIPSOID, BOX, CYLINDER)
        at = np.eye(4, dtype=np.float32) @ rot("y", plan.uniform(-0.9, 0.3))
        for i in range(int(plan.integers(2, 5))):
            size = [v * u(0.85, 1.18) for v in (plan.uniform(0.1, 0.26), *plan.uniform(0.07, 0.2, 2))]
            kind, material = kinds[plan.integers(4)], int(plan.choice([BODY, BODY, HEAD, ACCENT]))
            turn = rot("y", plan.uniform(-0.7, 0.7) + g(-0.15, 0.15)) @ rot("z", g(-0.25, 0.25))
            b.add(kind, at, (size[0], size[1], size[2]), material, plan.uniform(-0.5, 0.5) if kind == CYLINDER else 0.0)
            b.mark(f"top_{i}", at @ move(z=size[2]), 0.05)
            b.mark(f"front_{i}", at @ move(x=size[0]), 0.05)
            for j in range(int(plan.integers(0, 3)) if i else 1):
                x, tilt, yaw = plan.uniform(-0.7, 0.7), plan.uniform(0.3, 2.8), plan.uniform(-0.8, 0.8)
                length, r0 = plan.uniform(0.1, 0.34), plan.uniform(0.02, 0.06)
                bend, r1, knob = plan.uniform(-1.2, 1.2), r0 * plan.uniform(0.4, 1.3), plan.uniform(0.02, 0.07)
                part = int(plan.choice([LIMB, LIMB, ACCENT]))
                wave, bent, length = g(-0.3, 0.3), bend + g(-0.3, 0.3), length * u(0.85, 1.2)
                for side, name in ((1, "left"), (-1, "right")):
                    root = at @ move(x=x * size[0], y=side * size[1] * 0.75) @ rot("z", side * yaw)
                    mid = b.limb(root @ rot("x", -side * tilt) @ rot("y", wave), length, r0, (r0 + r1) / 2, part)
                    end = b.limb(mid @ rot("x", -side * bent), length * 0.8, (r0 + r1) / 2, r1, part)
                    b.add(ELLIPSOID, end, (knob, knob * 0.7, knob), ACCENT)
                    b.mark(f"{name}_mid_{i}_{j}", mid, 0.08)
                    b.mark(f"{name}_end_{i}_{j}", end, knob * 1.5)
            if plan.random() < 0.6:
                spot = at @ move(x=size[0] * plan.uniform(-0.6, 0.9), z=size[2] * plan.uniform(0.5, 1.0))
                b.add(kinds[plan.integers(4)], spot, tuple(plan.uniform(0.03, 0.08, 3)), int(plan.choice([DARK, HEAD])))
            at = at @ move(x=size[0] * plan.uniform(0.9, 1.4)) @ turn

    return build


CATEGORIES: dict[str, Builder] = {
    "dog": _quadruped(0.42, 0.16, 0.1, 0.13, 0.34, 1.0, 0.75),
    "horse": _quadruped(0.62, 0.32, 0.18, 0.1, 0.36, 0.95, 0.6),
    "cat": _quadruped(0.34, 0.11, 0.035, 0.1, 0.5, 0.9, 0.7),
    "bird": _bird,
    "car": _car,
    "person": _person,
    "mouse": _mouse,
    "hand": _hand,
    "chair": _chair,
    "airplane": _airplane,
    "guitar": _guitar,
}
"""Named categories: what is measured and what the sample collection shows."""

CREATURE_CATEGORIES: dict[str, Builder] = {f"creature_{i:02d}": _creature(i) for i in range(CREATURES)}
"""Nameless random categories: variety for training only. In captions they are all "object"."""

BUILDERS: dict[str, Builder] = {**CATEGORIES, **CREATURE_CATEGORIES}


def keypoint_names(category: str) -> tuple[str, ...]:
    """Names of a category's keypoints in their fixed order."""
    body = Body(0)
    BUILDERS[category](body, np.random.default_rng(0), np.random.default_rng(0))
    return tuple(body.keypoints)


def twin_pairs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Left/right pairs (0-based) read off the names."""
    return tuple(
        (i, names.index("right" + n[4:]))
        for i, n in enumerate(names)
        if n.startswith("left") and "right" + n[4:] in names
    )
