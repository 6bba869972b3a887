"""Every key in the store: a prefix, the schema's version, and what the key is for. Nobody else builds one."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one master's journal; the braces keep them in one slot of a Redis cluster.

    Attributes:
        prefix: what all of them begin with; masters that share a server need prefixes of their own.
    """

    prefix: str = "germline"

    @property
    def boot(self) -> str:
        """Counts the starts of masters; only the newest one may write."""
        return f"{self._root}:boot"

    @property
    def owner(self) -> str:
        """The master that owns the store; goes by itself unless that renews it."""
        return f"{self._root}:owner"

    @property
    def store(self) -> str:
        """A random number that tells this store from every other; drawn by its first master."""
        return f"{self._root}:store"

    @property
    def heads(self) -> str:
        """Hash: the number of each experiment, to the number of its last journal entry."""
        return f"{self._root}:heads"

    @property
    def names(self) -> str:
        """Hash: the number of each experiment, to its name, for one that cannot be read any more."""
        return f"{self._root}:names"

    @property
    def deleted(self) -> str:
        """The highest number of an experiment that was deleted: numbers are never used again."""
        return f"{self._root}:deleted"

    def entries(self, number: int) -> str:
        """Stream of an experiment's journal entries since its snapshot; entry n has the id ``n-0``."""
        return f"{self.of(number)}entries"

    def snapshot(self, number: int) -> str:
        """An experiment's newest snapshot."""
        return f"{self.of(number)}snapshot"

    def checkpoint(self, number: int, epoch: int) -> str:
        """A checkpoint of an evolution strategy's centre."""
        return f"{self.of(number)}checkpoint:{epoch}"

    def parts(self, key: str) -> str:
        """Hash: the parts of a large value until all of them are stored."""
        return f"{key}:parts"

    def refill(self, number: int) -> str:
        """Hash: the parts of a snapshot that takes the place of all that is left of an experiment."""
        return f"{self.of(number)}refill:parts"

    @property
    def experiments(self) -> str:
        """What all keys of all experiments begin with."""
        return f"{self._root}:experiment:"

    def of(self, number: int) -> str:
        """What all keys of one experiment begin with."""
        return f"{self._root}:experiment:{number}:"

    @property
    def _root(self) -> str:
        return f"{{{self.prefix}}}:v{SCHEMA_VERSION}"
