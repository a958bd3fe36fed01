"""The Pod Security Standards: what each forbids (``checks``), and applying them (``plugin``)."""
