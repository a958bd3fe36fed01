"""MutatingAdmissionPolicy: policies that change an object before it is validated."""

from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import Mutating
from sagong.server.admission.policies.index import Around, Policies
from sagong.server.admission.webhooks.mutating import Rounds, encoded


class MutatingAdmissionPolicy(Mutating):
    name = "MutatingAdmissionPolicy"

    def __init__(self, around: Around) -> None:
        self._around = around
        self._policies = Policies("mutating")

    async def admit(self, attributes: Attributes) -> None:
        concerned = self._policies.concerned(attributes, self._around.kinds.equivalents)
        if not concerned or attributes.obj is None:
            return
        rounds: Rounds = attributes.memory.setdefault(self.name, Rounds())
        if attributes.is_again and encoded(attributes.obj) != rounds.last:
            rounds.changed()  # by other plugins, since the first round
        # Imported here: a server without policies does without CEL.
        from sagong.server.admission.policies.mutations import Mutations

        mutations = Mutations(self._around, attributes, rounds)
        try:
            for bound in concerned:
                await mutations.apply(bound)
            mutations.finish()
        finally:
            rounds.last = encoded(attributes.obj)
