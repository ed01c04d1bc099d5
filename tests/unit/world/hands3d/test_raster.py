"""The rasteriser and the subdivision on shapes whose answer is known."""

import numpy as np

from sfumato.world.hands3d.mesh import split_quads
from sfumato.world.hands3d.raster import draw_depth, pool_labels, rasterise
from sfumato.world.hands3d.source import subdivide

SQUARE = np.array([[2, 2, 1], [2, 8, 1], [8, 8, 1], [8, 2, 1]], np.float32)


def test_a_square_fills_its_pixels_once():
    triangles = split_quads(np.array([[0, 1, 2, 3]], np.int32))
    surface = rasterise(SQUARE, triangles, 10)
    expected = np.zeros((10, 10), bool)
    expected[2:8, 2:8] = True
    assert np.array_equal(surface.triangle >= 0, expected)


def test_back_faces_do_not_show_and_the_nearer_wins():
    back = np.array([[0, 3, 2], [0, 2, 1]], np.int32)
    assert not (rasterise(SQUARE, back, 10).triangle >= 0).any()
    nearer = SQUARE * np.array([1, 1, 2], np.float32)
    points = np.concatenate([SQUARE, nearer])
    front = np.array([[0, 1, 2], [4, 5, 6]], np.int32)
    for triangles, winner in ((front, 1), (front[::-1].copy(), 0)):
        shown = rasterise(points, triangles, 10).triangle
        assert set(np.unique(shown)) == {-1, winner}


def test_corner_weights_follow_perspective():
    # Half way between a corner at depth 1 and one at depth 4, the point on the surface is nearer to the first.
    points = np.array([[0.5, 0.5, 1.0], [0.5, 20.5, 1.0], [20.5, 0.5, 0.25]], np.float32)
    surface = rasterise(points, np.array([[0, 1, 2]], np.int32), 24)
    assert surface.triangle[0, 10] == 0
    share_of_far = 1 - surface.corners[0, 10].sum()
    assert abs(share_of_far - 0.2) < 0.01


def test_depth_maps_keep_the_largest_z():
    points = np.concatenate([SQUARE, SQUARE + np.array([0, 0, 1], np.float32)])
    depth = draw_depth(points, np.array([[0, 1, 2], [4, 5, 6]], np.int32), 10)
    assert depth[6, 3] == 2
    assert depth[0, 0] < -1e8


def test_labels_are_pooled_by_majority():
    fine = np.array([[1, 2, 0, 0], [2, 2, 0, 3], [1, 1, 5, 5], [2, 2, 4, 4]], np.uint8)
    assert pool_labels(fine, 2).tolist() == [[2, 0], [1, 4]]


def test_a_cube_becomes_rounder_and_stays_closed():
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]], np.int32)
    split = subdivide(quads, np.zeros((6, 4, 2), np.float32), 8)
    assert split.matrix.shape == (26, 8)
    assert split.quads.shape == (24, 4)
    assert np.allclose(split.matrix.sum(1), 1)
    fine = split.matrix @ corners
    # Catmull and Clark: a corner of valence 3 moves to (F + 2 R) / 3 = 5/9.
    assert np.allclose(np.abs(fine[:8]), 5 / 9)
    edges = np.sort(np.concatenate([split.quads[:, [side, (side + 1) % 4]] for side in range(4)]), 1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
