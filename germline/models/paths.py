"""Where a node's methods are on the wire: the service's name belongs to model-runner-client."""

SERVICE = "dynamic_subclass.DynamicSubclassService"
SETUP = f"/{SERVICE}/Setup"
CALL = f"/{SERVICE}/Call"
