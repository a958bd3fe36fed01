"""Device plugins (``deviceplugin/v1beta1``): who offers devices, which container has which.

Choosing is pure (``choice``); ``pool`` keeps the books; ``registration`` is where plugins announce
themselves. Semantics: upstream's ``pkg/kubelet/cm/devicemanager``.
"""
