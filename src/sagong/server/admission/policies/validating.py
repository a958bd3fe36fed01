"""ValidatingAdmissionPolicy: policies that refuse, warn of or record a write."""

from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import Validating
from sagong.server.admission.policies.index import Around, Policies


class ValidatingAdmissionPolicy(Validating):
    name = "ValidatingAdmissionPolicy"

    def __init__(self, around: Around) -> None:
        self._around = around
        self._policies = Policies("validating")

    async def validate(self, attributes: Attributes) -> None:
        concerned = self._policies.concerned(attributes, self._around.kinds.equivalents)
        if not concerned:
            return
        # Imported here: a server without policies does without CEL.
        from sagong.server.admission.policies.validations import Validations

        validations = Validations(self._around, attributes)
        for bound in concerned:
            await validations.apply(bound)
        validations.finish()
