"""The files and flags by which an administrator says who is let in and what they may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sagong.cmd.settings_files import read_yaml
from sagong.server.access import AccessSettings
from sagong.server.admission.configuration import AdmissionSettings, settings_from
from sagong.server.authn.oidc import configuration as authentication
from sagong.server.authz import configuration as authorization


@dataclass(frozen=True, slots=True)
class AccessFiles:
    """Kubernetes' own formats, see ``docs/operations.md``; None and empty for the defaults."""

    authentication_config: Path | None = None
    authentication_token_webhook_config_file: Path | None = None
    authorization_config: Path | None = None
    admission_control_config_file: Path | None = None
    enable_admission_plugins: Sequence[str] = ()
    disable_admission_plugins: Sequence[str] = ()

    def access(self) -> AccessSettings:
        """Raises BadConfiguration (of authentication or authorisation), OSError."""
        who, what = self.authentication_config, self.authorization_config
        return AccessSettings(
            authentication=(
                authentication.DEFAULT
                if who is None
                else authentication.parse(read_yaml(who) or {})
            ),
            token_webhook=self.authentication_token_webhook_config_file,
            authorization=(
                authorization.DEFAULT
                if what is None
                else authorization.parse(read_yaml(what), what.parent)
            ),
        )

    def admission(self) -> AdmissionSettings:
        """Raises BadConfiguration (of admission), OSError."""
        return settings_from(
            self.enable_admission_plugins,
            self.disable_admission_plugins,
            self.admission_control_config_file,
        )


NO_FILES = AccessFiles()
