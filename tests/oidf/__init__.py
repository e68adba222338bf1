"""What the official conformance suite of OpenID Connect asks of a provider, plan by plan and module by module: asked
here of a running service, from outside. A test has the name of its module; what the suite warns of fails here too."""
