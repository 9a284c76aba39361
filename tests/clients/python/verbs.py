"""A walk over the verbs of the Python client: typed, watched, patched, streamed, and from YAML."""

import json
import os
import threading
import time
import unittest
import uuid

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.stream import portforward, stream
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

IMAGE = os.environ["IMAGE"]


def until(ask, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds}s for {what}")


class Verbs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        config.load_kube_config()
        cls.core = client.CoreV1Api()
        cls.apps = client.AppsV1Api()
        cls.namespace = "python-" + uuid.uuid4().hex[:8]
        cls.core.create_namespace({"metadata": {"name": cls.namespace}})
        accounts = lambda: cls.core.list_namespaced_service_account(cls.namespace).items
        until(accounts, "the namespace's ServiceAccount")
        pod = {
            "metadata": {"name": "shell"},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "shell", "image": IMAGE,
                    "command": ["sh", "-c", "echo hello from the pod; httpd -f -p 8080 -h /etc"],
                }],
            },
        }
        cls.core.create_namespaced_pod(cls.namespace, pod)
        ready = lambda: cls.core.read_namespaced_pod("shell", cls.namespace).status.phase == "Running"
        until(ready, "a pod to run")

    @classmethod
    def tearDownClass(cls):
        cls.core.delete_namespace(cls.namespace)

    def config_map(self, name, data):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}

    def test_create_read_replace_list_delete(self):
        made = self.core.create_namespaced_config_map(self.namespace, self.config_map("whole", {"a": "1"}))
        made.data["b"] = "2"
        self.core.replace_namespaced_config_map("whole", self.namespace, made)
        with self.assertRaises(client.ApiException) as conflict:
            self.core.replace_namespaced_config_map("whole", self.namespace, made)
        self.assertEqual(conflict.exception.status, 409)
        listed = self.core.list_namespaced_config_map(self.namespace, field_selector="metadata.name=whole")
        self.assertEqual([one.data for one in listed.items], [{"a": "1", "b": "2"}])
        self.core.delete_namespaced_config_map("whole", self.namespace)
        with self.assertRaises(client.ApiException) as absent:
            self.core.read_namespaced_config_map("whole", self.namespace)
        self.assertEqual((absent.exception.status, json.loads(absent.exception.body)["reason"]), (404, "NotFound"))

    def test_list_by_pages(self):
        for at in range(5):
            body = self.config_map(f"page-{at}", {})
            body["metadata"]["labels"] = {"pages": "yes"}
            self.core.create_namespaced_config_map(self.namespace, body)
        names, go_on = [], None
        while True:
            page = self.core.list_namespaced_config_map(
                self.namespace, label_selector="pages=yes", limit=2, _continue=go_on)
            names += [one.metadata.name for one in page.items]
            go_on = page.metadata._continue
            if not go_on:
                break
        self.assertEqual(names, [f"page-{at}" for at in range(5)])

    def test_each_patch(self):
        self.core.create_namespaced_config_map(self.namespace, self.config_map("patched", {"a": "1"}))
        dynamic_client = dynamic.DynamicClient(client.ApiClient())
        maps = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
        merge = {"metadata": {"name": "patched"}, "data": {"b": "2"}}
        for kind in ["application/merge-patch+json", "application/strategic-merge-patch+json"]:
            maps.patch(body=merge, namespace=self.namespace, content_type=kind)
        operations = [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "add", "path": "/data/c", "value": "3"}]
        maps.patch(name="patched", body=operations, namespace=self.namespace,
                   content_type="application/json-patch+json")
        applied = self.config_map("patched", {"d": "4"})
        maps.server_side_apply(body=applied, name="patched", namespace=self.namespace, field_manager="python",
                               force_conflicts=True)
        found = self.core.read_namespaced_config_map("patched", self.namespace)
        self.assertEqual(found.data, {"a": "1", "b": "2", "c": "3", "d": "4"})
        managers = {(one.manager, one.operation) for one in found.metadata.managed_fields}
        self.assertIn(("python", "Apply"), managers)
        typed = self.core.patch_namespaced_config_map("patched", self.namespace, {"data": {"a": None}})
        self.assertNotIn("a", typed.data)

    def test_watch_tells_each_change_and_goes_on_after_a_bookmark(self):
        version = self.core.list_namespaced_config_map(self.namespace).metadata.resource_version
        seen = []

        def look():
            for event in watch.Watch().stream(
                    self.core.list_namespaced_config_map, self.namespace, resource_version=version,
                    field_selector="metadata.name=watched", timeout_seconds=20, allow_watch_bookmarks=True):
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    return

        thread = threading.Thread(target=look)
        thread.start()
        self.core.create_namespaced_config_map(self.namespace, self.config_map("watched", {}))
        self.core.patch_namespaced_config_map("watched", self.namespace, {"data": {"a": "1"}})
        self.core.delete_namespaced_config_map("watched", self.namespace)
        thread.join()
        self.assertEqual([kind for kind, _ in seen if kind != "BOOKMARK"], ["ADDED", "MODIFIED", "DELETED"])

    def test_exec_with_input_and_an_exit_code(self):
        text = stream(self.core.connect_get_namespaced_pod_exec, "shell", self.namespace,
                      command=["sh", "-c", "echo out; echo err >&2"], stderr=True, stdout=True, stdin=False, tty=False)
        self.assertEqual(sorted(text.split()), ["err", "out"])
        shell = stream(self.core.connect_get_namespaced_pod_exec, "shell", self.namespace, command=["sh"],
                       stderr=True, stdout=True, stdin=True, tty=False, _preload_content=False)
        shell.write_stdin("echo $((6*7))\nexit 3\n")
        shell.run_forever(timeout=20)
        self.assertEqual((shell.read_stdout().strip(), shell.returncode), ("42", 3))

    def test_log_and_port_forward(self):
        log = self.core.read_namespaced_pod_log("shell", self.namespace)
        # This client gives the text of Python's bytes.
        self.assertIn("hello from the pod", log)
        forward = portforward(self.core.connect_get_namespaced_pod_portforward, "shell", self.namespace, ports="8080")
        socket = forward.socket(8080)
        socket.settimeout(20)
        socket.sendall(b"GET /passwd HTTP/1.0\r\n\r\n")
        answer = b""
        while b"root:" not in answer:
            more = socket.recv(4096)
            self.assertTrue(more, answer)
            answer += more
        self.assertIn(b"200 OK", answer.splitlines()[0])

    def test_scale_status_and_evict(self):
        labels = {"app": "scaled"}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 0,
                     "containers": [{"name": "a", "image": IMAGE, "command": ["sleep", "3600"]}]}}}
        self.apps.create_namespaced_deployment(self.namespace, {"metadata": {"name": "scaled"}, "spec": spec})
        self.apps.patch_namespaced_deployment_scale("scaled", self.namespace, {"spec": {"replicas": 2}})
        ready = lambda: self.apps.read_namespaced_deployment_status("scaled", self.namespace).status.ready_replicas == 2
        until(ready, "two replicas")
        pods = self.core.list_namespaced_pod(self.namespace, label_selector="app=scaled").items
        name = pods[0].metadata.name
        self.core.create_namespaced_pod_eviction(name, self.namespace, {"metadata": {"name": name}})
        gone = lambda: name not in [
            one.metadata.name for one in self.core.list_namespaced_pod(self.namespace, label_selector="app=scaled").items]
        until(gone, "the evicted pod to go")
        self.apps.delete_namespaced_deployment("scaled", self.namespace, propagation_policy="Foreground")

    def test_a_custom_resource_by_the_dynamic_client(self):
        plural, group = "boats", "python.example.com"
        crd = {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced",
                     "names": {"plural": plural, "singular": "boat", "kind": "Boat"},
                     "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                                   "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                                       "spec": {"type": "object", "properties": {
                                           "sails": {"type": "integer", "minimum": 1, "default": 2}}},
                                       "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}}]},
        }
        api = dynamic.DynamicClient(client.ApiClient())
        definitions = api.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
        definitions.create(body=crd)
        try:
            def served():
                conditions = definitions.get(name=crd["metadata"]["name"]).to_dict().get("status", {}).get("conditions") or []
                return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
            until(served, "the definition to be established")
            api = dynamic.DynamicClient(client.ApiClient())
            boats = api.resources.get(api_version=f"{group}/v1", kind="Boat")
            body = {"apiVersion": f"{group}/v1", "kind": "Boat", "metadata": {"name": "one"}, "spec": {}}
            self.assertEqual(boats.create(body=body, namespace=self.namespace).spec.sails, 2)
            with self.assertRaises(dynamic.exceptions.UnprocessibleEntityError):
                boats.patch(name="one", namespace=self.namespace, body={"spec": {"sails": 0}},
                            content_type="application/merge-patch+json")
            body["status"] = {"afloat": True}
            boats.status.patch(name="one", namespace=self.namespace, body={"status": {"afloat": True}},
                               content_type="application/merge-patch+json")
            self.assertTrue(boats.get(name="one", namespace=self.namespace).status.afloat)
            boats.delete(name="one", namespace=self.namespace)
        finally:
            definitions.delete(name=crd["metadata"]["name"])

    def test_create_from_yaml(self):
        documents = [self.config_map("from-yaml", {"a": "1"}),
                     {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "from-yaml"},
                      "spec": {"ports": [{"port": 80}]}}]
        utils.create_from_yaml(client.ApiClient(), yaml_objects=documents, namespace=self.namespace)
        self.assertTrue(self.core.read_namespaced_service("from-yaml", self.namespace).spec.cluster_ip)

    def test_leader_election(self):
        led = threading.Event()
        name = "leader-" + uuid.uuid4().hex[:8]
        lock = ConfigMapLock(name, self.namespace, "me")
        settings = electionconfig.Config(lock, lease_duration=4, renew_deadline=3, retry_period=1,
                                         onstarted_leading=led.set, onstopped_leading=None)
        threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()
        self.assertTrue(led.wait(30))
        holder = lambda: self.core.read_namespaced_config_map(name, self.namespace).metadata.annotations
        until(holder, "the record of the leader")
