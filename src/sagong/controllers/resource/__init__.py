"""resource.k8s.io: claims of devices that pods share or have made for them."""
