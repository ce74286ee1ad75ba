"""`import deploy-cli`: the event streams of an auth0-deploy-cli export, as lines that `run` takes."""
