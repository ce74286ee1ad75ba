"""From an export of auth0-deploy-cli into a tenant and out again to Terraform, by the real commands."""

from __future__ import annotations

import json
import re

from tests.scenarios.rig import ENV_SECRET, SECRET, Desk, Server

EXPORT = f"""
eventStreams:
  - name: Audit trail
    destination:
      type: webhook
      configuration:
        webhook_endpoint: https://##HOOKS##/audit
        webhook_authorization:
          method: bearer
          token: '##EVENT_STREAM_WEBHOOK_BEARER_TOKEN##'
    status: enabled
    subscriptions:
      - event_type: user.created
  - name: crm
    destination:
      type: webhook
      configuration:
        webhook_endpoint: https://crm.acme.example/hook
        webhook_authorization:
          method: basic
          username: auth0
          password: {SECRET}
    status: disabled
    subscriptions: @@EVENTS@@
  - name: lake
    destination:
      type: eventbridge
      configuration:
        aws_account_id: '012345678901'
        aws_region: eu-central-1
"""

MAPPINGS = {"HOOKS": "hooks.acme.example", "EVENTS": [{"event_type": "user.deleted"}]}


def test_an_export_is_imported_filled_in_run_and_handed_to_terraform(desk: Desk, server: Server) -> None:
    """What is imported is valid once its variables are set, is created as it was, and comes out as import blocks."""
    desk.write("tenant.yaml", EXPORT.encode())
    desk.write("config.json", json.dumps({"AUTH0_KEYWORD_REPLACE_MAPPINGS": MAPPINGS}).encode())
    flags = ["--mappings", "config.json", "--output", "in.jsonl", "--env-template", "in.env"]
    ended = desk.run("import", "deploy-cli", "tenant.yaml", *flags)
    assert (ended.code, ended.out) == (0, ""), ended
    names = (desk.folder / "in.env").read_text().replace("=", "").split()
    assert names == ["AUDIT_TRAIL_TOKEN", "CRM_PASSWORD"]
    assert desk.run("validate", "in.jsonl").code == 1, "the variables are not set"
    env = dict.fromkeys(names, ENV_SECRET)
    assert desk.run("validate", "in.jsonl", env=env).code == 0
    ended = desk.provision(server, "in.jsonl", env=env)
    assert (ended.code, ended.records) == (0, {"total": 3, "created": 3}), ended
    live = {one["name"]: one for one in server.streams()}
    assert live["Audit trail"]["destination"]["configuration"]["webhook_endpoint"] == "https://hooks.acme.example/audit"
    assert (live["crm"]["status"], live["crm"]["subscriptions"]) == ("disabled", MAPPINGS["EVENTS"])
    ended = desk.run("results", "in.ledger.db", "--format", "terraform")
    found = re.findall(r'to = auth0_event_stream\.(\w+)\n  id = "(\w+)"', ended.out)
    assert dict(found) == {
        label: live[name]["id"] for label, name in (("audit_trail", "Audit trail"), ("crm", "crm"), ("lake", "lake"))
    }


def test_an_import_tells_by_its_exit_code_what_it_needs(desk: Desk) -> None:
    """0: all is there; 1: a person must see to something, and the lines are there all the same; 2: no export."""
    desk.write("tenant.yaml", EXPORT.encode())
    desk.write("config.json", json.dumps(MAPPINGS).encode())
    whole = desk.run("import", "deploy-cli", "tenant.yaml", "--mappings", "config.json")
    assert (whole.code, len(whole.rows)) == (0, 3)
    assert "\nAUDIT_TRAIL_TOKEN\nCRM_PASSWORD\n" in whole.err
    open_ = desk.run("import", "deploy-cli", "tenant.yaml")
    assert (open_.code, len(open_.rows)) == (1, 3)
    assert 'tenant.yaml:7: the stream "Audit trail": destination.configuration.webhook_endpoint holds' in open_.err
    none = desk.run("import", "deploy-cli", "config.json", "--output", "x.jsonl")
    assert (none.code, none.out) == (2, "")
    assert not (desk.folder / "x.jsonl").exists()
    assert desk.run("import", "deploy-cli", "tenant.yaml", "--replce").code == 2


def test_an_export_without_streams_is_told_as_that(desk: Desk) -> None:
    """An empty folder is converted, and nobody looks for the lines."""
    (desk.folder / "event-streams").mkdir()
    ended = desk.run("import", "deploy-cli", ".")
    assert (ended.code, ended.out) == (0, "")
    assert "holds no event streams, so there was nothing to convert" in ended.err
