"""Runs the Python client's own tests that need a cluster, and verbs.py; a line a test: ok, not ok, skip."""

import os
import sys
import types
import unittest

from kubernetes import client, config

# The client's tests take their configuration from a package that its makers do not publish.
base = types.ModuleType("kubernetes.e2e_test.base")


def get_e2e_configuration():
    made = client.Configuration()
    config.load_kube_config(client_configuration=made)
    return made


base.get_e2e_configuration = get_e2e_configuration
package = types.ModuleType("kubernetes.e2e_test")
package.base = base
sys.modules["kubernetes.e2e_test"] = package
sys.modules["kubernetes.e2e_test.base"] = base


class Lines(unittest.TestResult):
    def name(self, test):
        return test.id()

    def addSuccess(self, test):
        print(f"ok {self.name(test)}", flush=True)

    def addSkip(self, test, reason):
        print(f"skip {self.name(test)}: {reason}", flush=True)

    def told(self, test, error):
        text = self._exc_info_to_string(error, test)
        print(text, file=sys.stderr)
        lines = [line for line in str(error[1]).splitlines() if line.strip()]
        body = next((line for line in lines if "body" in line), lines[0] if lines else error[0].__name__)
        print(f"not ok {self.name(test)}: {error[0].__name__} {body}", flush=True)

    def addError(self, test, error):
        self.told(test, error)

    def addFailure(self, test, error):
        self.told(test, error)


def main():
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    names = ["kubernetes.dynamic.test_client", "kubernetes.dynamic.test_discovery", "verbs"]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""

    def each(tests):
        for test in tests:
            if isinstance(test, unittest.TestSuite):
                yield from each(test)
            elif wanted in test.id():
                yield test

    unittest.TestSuite(each(suite)).run(Lines())


main()
