"""Parts that are asked for as a number of images of each class."""

from collections.abc import Iterable, Mapping

from tasks.split.groups import Group


def take_counts(groups: Iterable[Group], sizes: Mapping[int, int]) -> list[Group]:
    """Whole groups, from the front, each that still fits; exact where every group is a single image.

    Args:
        groups: in the order in which they are taken.
        sizes: label -> number of images. A group of several classes must fit in each of them.
    """
    room, taken = dict(sizes), []
    for group in groups:
        if all(images <= room[label] for label, images in group.labels.items()):
            taken.append(group)
            for label, images in group.labels.items():
                room[label] -= images
    return taken
